//! Kernels, one file per op family.

use std::sync::atomic::{AtomicUsize, Ordering};

use arignote_core::ops::Attributes;
use arignote_core::plugin::Host;
use arignote_core::tensor::{DType, Kind};
use arignote_core::{Error, ErrorKind, Result};

use crate::buffer::{View, ViewMut};
use crate::kernel::compiled::Cache;

/// Calls `$body` with `$T` bound to the type in which elementwise kernels compute a dtype.
macro_rules! number_type {
    ($dtype:expr, $T:ident => $body:expr) => {{
        use ::arignote_core::tensor::DType;
        match $dtype {
            DType::Bool | DType::U8 => { type $T = u8; $body }
            DType::I8 => { type $T = i8; $body }
            DType::I16 => { type $T = i16; $body }
            DType::I32 => { type $T = i32; $body }
            DType::I64 => { type $T = i64; $body }
            DType::U16 => { type $T = u16; $body }
            DType::U32 => { type $T = u32; $body }
            DType::U64 => { type $T = u64; $body }
            DType::F16 | DType::BF16 | DType::F32 => { type $T = f32; $body }
            DType::F64 => { type $T = f64; $body }
        }
    }};
}

pub mod conv;
pub mod create;
pub mod effects;
pub mod elementwise;
pub mod index;
pub mod linalg;
mod logsumexp;
pub mod matmul;
mod narrow;
pub mod nn;
pub mod number;
pub mod order;
pub mod packed;
pub mod pool;
pub mod random;
pub mod reduce;
pub mod shape;
pub mod sliding;
mod stacks;
mod turn;
pub mod vector;

/// What kernels work with: the host's threads and the kernels that are compiled.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The host.
    pub host: &'a dyn Host,
    /// How many threads to use at most.
    pub threads: usize,
    /// Compiled kernels.
    pub cache: &'a Cache,
}

impl Context<'_> {
    /// Calls `body` with 0, 1, ... `count - 1`, in no fixed order.
    pub fn parallel(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        let workers = self.threads.min(count);
        if workers <= 1 {
            (0..count).for_each(body);
            return;
        }
        let next = AtomicUsize::new(0);
        self.host.parallel_for(workers, &|_| loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                break;
            }
            body(at);
        });
    }

    /// As [`Context::parallel`], for so many multiplications in all: few are done sooner than a second thread wakes.
    pub fn multiply(&self, multiplications: usize, count: usize, body: &(dyn Fn(usize) + Sync)) {
        /// What one thread does in about 10 µs.
        const FEW: usize = 1 << 19;
        if multiplications <= FEW { (0..count).for_each(body) } else { self.parallel(count, body) }
    }

    /// Calls `body` with the number and elements of each chunk of `size` elements.
    pub fn chunks<T: Send>(&self, elements: &mut [T], size: usize, body: &(dyn Fn(usize, &mut [T]) + Sync)) {
        let size = size.max(1);
        let length = elements.len();
        struct Start<T>(*mut T);
        // SAFETY: the chunks that threads take are disjoint.
        unsafe impl<T: Send> Sync for Start<T> {}
        let start = Start(elements.as_mut_ptr());
        self.parallel(length.div_ceil(size), &|chunk| {
            let start = &start;
            let from = chunk * size;
            // SAFETY: `parallel` calls with each chunk once, and the chunk is inside the slice.
            body(chunk, unsafe { std::slice::from_raw_parts_mut(start.0.add(from), size.min(length - from)) });
        });
    }
}

/// One call of a kernel.
pub struct Call<'a, 'b> {
    /// Threads.
    pub context: &'b Context<'b>,
    /// The op's attributes.
    pub attributes: &'b Attributes,
    /// The operands; `None` where the result holds the operand's elements and overwrites them.
    pub operands: &'b [Option<View<'a>>],
    /// The results.
    pub results: &'b mut [ViewMut<'a>],
    /// What is told of a matrix product.
    pub product: OfProduct<'b>,
    /// What computes elements of the second operand of `set_at` and `add_at`, whose bytes are then not there. No other
    /// kernel is given it.
    pub source: Option<Source<'b>>,
}

/// What is told of a matrix product, and of no other op.
#[derive(Clone, Copy, Default)]
pub struct OfProduct<'a> {
    /// For an operand that does not lie as its shape does, elements from one entry of each axis to the next; its bytes are
    /// those up to its last element.
    pub strides: &'a [Option<&'a [usize]>],
    /// What is called for each part of the result when that is computed.
    pub after: Option<After<'a>>,
    /// The operand on the right as [`packed::pack`] has it.
    pub packed: Option<&'a [u8]>,
}

/// Takes elements of a result, whose address it is given, in any order and on several threads.
pub type After<'a> = &'a (dyn Fn(*mut u8, std::ops::Range<usize>) + Sync);

/// Computes elements, to memory in which the first of all would be at the address.
pub type Source<'a> = &'a dyn Fn(*mut u8, std::ops::Range<usize>);

impl<'a> Call<'a, '_> {
    /// An operand that cannot be overwritten.
    #[allow(clippy::missing_errors_doc)]
    pub fn operand(&self, number: usize) -> Result<View<'a>> {
        self.optional(number).ok_or_else(|| Error::new(ErrorKind::Internal, format!("operand {number} is missing")))
    }

    /// An operand that may be left out.
    pub fn optional(&self, number: usize) -> Option<View<'a>> {
        self.operands.get(number).copied().flatten()
    }
}

/// A kernel.
pub type Kernel = fn(&mut Call<'_, '_>) -> Result<()>;

/// The kernel of an op, and which (operand, result) it can overwrite.
pub fn lookup(name: &str) -> Option<(Kernel, &'static [(usize, usize)])> {
    const FIRST: &[(usize, usize)] = &[(0, 0)];
    Some(match name {
        "sum" | "prod" | "mean" | "max" | "min" | "argmax" | "argmin" | "all" | "any" | "logsumexp" | "vector_norm" => match name {
            "sum" => (reduce::sum, &[]),
            "prod" => (reduce::prod, &[]),
            "mean" => (reduce::mean, &[]),
            "max" => (reduce::max, &[]),
            "min" => (reduce::min, &[]),
            "argmax" => (reduce::argmax, &[]),
            "argmin" => (reduce::argmin, &[]),
            "all" => (reduce::all, &[]),
            "any" => (reduce::any, &[]),
            "vector_norm" => (reduce::vector_norm, &[]),
            _ => (logsumexp::logsumexp, &[]),
        },
        "sum_to" => (reduce::sum_to, &[]),
        "matmul" => (matmul::matmul, &[]),
        "reshape" | "expand_dims" | "squeeze" | "flatten" => (shape::reshape, FIRST),
        "transpose" => (shape::transpose, &[]),
        "broadcast_to" => (shape::broadcast_to, &[]),
        "concatenate" => (shape::concatenate, &[]),
        "stack" => (shape::stack, &[]),
        "shape" => (shape::shape, &[]),
        "flip" => (shape::flip, &[]),
        "index" => (index::index, &[]),
        "set_at" => (index::set_at, FIRST),
        "add_at" => (index::add_at, FIRST),
        "take" => (index::take, &[]),
        "one_hot" => (index::one_hot, &[]),
        "zeros" | "zeros_like" => (create::zeros, &[]),
        "ones" | "ones_like" => (create::ones, &[]),
        "full" => (create::full, &[]),
        "arange" => (create::arange, &[]),
        "eye" => (create::eye, &[]),
        "softmax" => (nn::softmax, &[]),
        "log_softmax" => (nn::log_softmax, &[]),
        "cross_entropy" => (nn::cross_entropy, &[]),
        "cross_entropy_with_gradient" => (nn::cross_entropy_with_gradient, &[]),
        "uniform" => (random::uniform, &[]),
        "normal" => (random::normal, &[]),
        "fold_in" => (random::fold_in, &[]),
        "conv1d" | "conv2d" | "conv3d" => (conv::forward, &[]),
        "conv1d_input_gradient" | "conv2d_input_gradient" | "conv3d_input_gradient" => (conv::input_gradient, &[]),
        "conv1d_weight_gradient" | "conv2d_weight_gradient" | "conv3d_weight_gradient" => (conv::weight_gradient, &[]),
        "max_pool1d" => (pool::max::<1>, &[]),
        "max_pool2d" => (pool::max::<2>, &[]),
        "max_pool3d" => (pool::max::<3>, &[]),
        "max_pool1d_gradient" => (pool::max_gradient::<1>, &[]),
        "max_pool2d_gradient" => (pool::max_gradient::<2>, &[]),
        "max_pool3d_gradient" => (pool::max_gradient::<3>, &[]),
        "max_pool1d_tangent" => (pool::max_tangent::<1>, &[]),
        "max_pool2d_tangent" => (pool::max_tangent::<2>, &[]),
        "max_pool3d_tangent" => (pool::max_tangent::<3>, &[]),
        "sum_pool1d" => (pool::sum::<1>, &[]),
        "sum_pool2d" => (pool::sum::<2>, &[]),
        "sum_pool3d" => (pool::sum::<3>, &[]),
        "sum_pool1d_gradient" => (pool::sum_gradient::<1>, &[]),
        "sum_pool2d_gradient" => (pool::sum_gradient::<2>, &[]),
        "sum_pool3d_gradient" => (pool::sum_gradient::<3>, &[]),
        "avg_pool1d" => (pool::mean::<1>, &[]),
        "avg_pool2d" => (pool::mean::<2>, &[]),
        "avg_pool3d" => (pool::mean::<3>, &[]),
        "avg_pool1d_gradient" => (pool::mean_gradient::<1>, &[]),
        "avg_pool2d_gradient" => (pool::mean_gradient::<2>, &[]),
        "avg_pool3d_gradient" => (pool::mean_gradient::<3>, &[]),
        "cumsum" => (order::cumsum, &[]),
        "cumprod" => (order::cumprod, &[]),
        "argsort" => (order::argsort, &[]),
        "searchsorted" => (order::searchsorted, &[]),
        "cholesky" => (linalg::cholesky, &[]),
        "factorize" => (linalg::factorize, &[]),
        "inv" => (linalg::inv, &[]),
        "solve" => (linalg::solve, &[]),
        "solve_by_factors" => (linalg::solve_by_factors, &[]),
        "solve_triangular" => (linalg::solve_triangular, &[]),
        "det" => (linalg::det, &[]),
        "slogdet" => (linalg::slogdet, &[]),
        "after" => (effects::after, FIRST),
        "assert" => (effects::assert, FIRST),
        "print" => (effects::print, FIRST),
        _ => return None,
    })
}

/// An operand's dtype, its shape, and its strides if it does not lie as the shape does.
type Lies<'a> = (DType, &'a [usize], Option<&'a [usize]>);

/// What is known of a call before it.
pub struct Sketch<'a> {
    /// The op's attributes.
    pub attributes: &'a Attributes,
    /// How many threads there are.
    pub threads: usize,
    /// The operands.
    pub operands: Vec<Lies<'a>>,
    /// The first result.
    pub result: (DType, &'a [usize]),
    /// As [`OfProduct::packed`].
    pub is_packed: bool,
    /// As [`Call::source`].
    pub is_computed: bool,
}

/// Bytes of scratch memory that the kernel of an op takes at most, of all threads together; what `faer` packs is not among
/// them, nor the few that any kernel may take.
pub fn scratch(name: &str, sketch: &Sketch<'_>) -> usize {
    let Sketch { attributes, threads, ref operands, result, .. } = *sketch;
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    let narrow = |dtype: DType| matches!(dtype, DType::F16 | DType::BF16);
    let own = match (name, operands.as_slice()) {
        ("matmul", _) if sketch.is_packed => 0,
        ("matmul", &[x, y]) => matmul::scratch(result.0, (x.1, x.2), (y.1, y.2), threads),
        ("conv1d" | "conv2d" | "conv3d", &[x, w]) => conv::scratch(name, attributes, x.0, [x.1, w.1, result.1], threads),
        (_, &[x, w, g]) if name.starts_with("conv") => conv::scratch(name, attributes, x.0, [x.1, w.1, g.1], threads),
        ("set_at" | "add_at", &[_, source, ..]) => index::scratch(count(source.1) * source.0.size(), source.1.last().copied().unwrap_or(1) * source.0.size(), sketch.is_computed),
        ("sum" | "prod" | "mean" | "max" | "min" | "all" | "any" | "logsumexp" | "vector_norm", &[x]) => {
            let Ok(axes) = attributes.axes("axis", x.1.len()) else { return 0 };
            let elements = match name {
                "logsumexp" => logsumexp::scratch(x.1, &axes, threads),
                "vector_norm" => count(x.1) + count(result.1) + reduce::scratch(x.1, &axes, threads),
                _ => reduce::scratch(x.1, &axes, threads),
            };
            elements * reduce::accumulator(result.0).size()
        }
        _ => 0,
    };
    // What is computed in a wider dtype.
    let widened = operands.iter().map(|operand| (operand.0, operand.1)).chain([result]).filter(|value| narrow(value.0)).map(|value| 4 * count(value.1)).sum::<usize>();
    own + widened
}

/// Why the kernel of an op does not take operands of these types, if it does not: the op then runs by its
/// decomposition.
pub fn refuses(name: &str, operands: &[arignote_core::tensor::Type]) -> Option<String> {
    let slides = name.starts_with("conv") || name.contains("_pool");
    let first = operands.first()?.dtype;
    if name == "searchsorted" {
        // Their common dtype has not all of their values.
        let mixed = |a: DType, b: DType| a == DType::U64 && b.kind() == Kind::Signed;
        let second = operands.get(1)?.dtype;
        return (mixed(first, second) || mixed(second, first)).then(|| format!("the cpu backend searches no {second} in {first}"));
    }
    (slides && (!first.is_float() || operands.iter().any(|ty| ty.dtype != first)))
        .then(|| format!("the cpu backend's kernel for `{name}` takes floats of one dtype"))
}

/// Whether a kernel of this backend can fail on values.
pub fn can_fail(name: &str) -> bool {
    matches!(name, "index" | "set_at" | "add_at" | "take" | "one_hot" | "cross_entropy" | "cross_entropy_with_gradient" | "print" | "max" | "min" | "argmax" | "argmin" | "arange" | "cholesky" | "factorize" | "inv" | "solve" | "solve_by_factors" | "solve_triangular" | "searchsorted")
}
