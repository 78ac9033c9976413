//! Ops: what each one is called, takes, gives, differentiates to.
//!
//! An [`Op`] is everything the compiler knows about an operation except how to compute it; that is a
//! backend's. Ops live in one file per family; a family registers its ops with one `register`
//! function, named once in [`FAMILIES`]. Nothing outside this folder knows an op's Rust type:
//! everything else finds ops by name in the [`Registry`] and asks through the trait.

/// The methods of [`Op`] that are fields in every op of the core.
macro_rules! described {
    () => {
        fn name(&self) -> &str {
            self.name
        }

        fn params(&self) -> &[Param] {
            &self.params
        }

        fn doc(&self) -> &str {
            self.doc
        }
    };
}

pub mod assume;
mod attributes;
mod batch;
mod composed;
pub mod control;
pub mod create;
pub mod cumulative;
pub mod effects;
pub mod einsum;
pub mod elementwise;
pub mod fft;
mod fold;
pub mod gradient;
pub mod host;
pub mod index;
mod infer;
mod jacobian;
pub mod linalg;
pub mod matmul;
pub mod nn;
pub mod order;
mod places;
pub mod random;
pub mod reduce;
mod registry;
pub mod shape;
mod signal;
mod sizes;
pub mod statistics;
mod symbolic;

pub use attributes::{Attribute, Attributes, IndexBound, IndexItem, normalize_axis};
pub use batch::{Batch, Batched};
pub use create::{arange, eye, full, ones, zeros};
pub(crate) use batch::{behind_first, spread};
pub(crate) use composed::{length, vector as vector_of_sizes};
pub use elementwise::where_;
pub use host::{host_call, inspect};
pub(crate) use symbolic::pullback_outputs;
pub use symbolic::{Gradient, grad, hessian_vector_product, jvp, vjp};
pub use infer::{Inferred, Operand, ShapeOperand, broadcast_operands, complete_attributes, infer, promote_operands, settle, settle_float};
pub use random::RandomStream;
pub use registry::{Registry, registry, update_registry};
pub use jacobian::{hessian, jacobian, vectorize, vmap};
pub(crate) use jacobian::vectorized_operands;
pub use shape::{linspace, meshgrid_ij};

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{DType, Shape, Type};

/// The `register` function of each op family, in the order in which `arignote ops` lists them.
pub const FAMILIES: &[fn(&mut Registry)] = &[
    elementwise::register,
    reduce::register,
    fold::register,
    cumulative::register,
    statistics::register,
    order::register,
    places::register,
    matmul::register,
    linalg::register,
    einsum::register,
    shape::register,
    nn::register,
    fft::register,
    signal::register,
    index::register,
    create::register,
    random::register,
    effects::register,
    host::register,
    gradient::register,
    assume::register,
    control::register,
    symbolic::register,
    jacobian::register,
];

/// How an op takes one of its arguments, in the order in which they may be given by position.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// The keyword.
    pub name: &'static str,
    /// What may stand there.
    pub kind: ParamKind,
    /// One line of documentation.
    pub doc: &'static str,
}

/// What may stand at a [`Param`]'s place.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamKind {
    /// One operand.
    Operand,
    /// One operand that may be left out. Only the last operands of an op may be optional.
    OptionalOperand,
    /// All remaining positional arguments, each one operand: `grad(cost, x, y)`.
    Operands,
    /// One list of operands: `concatenate([a, b])`.
    OperandList,
    /// One `i64` vector of sizes, written as a list or a vector: `reshape(x, [2, -1])`.
    Sizes,
    /// The same, or the sizes one by one as all remaining positional arguments: `zeros(2, n)`.
    SpreadSizes,
    /// A literal attribute. `None` means that it must be given.
    Attribute(AttributeKind, Option<Attribute>),
}

impl Param {
    /// An operand that must be given.
    pub fn operand(name: &'static str, doc: &'static str) -> Param {
        Param { name, kind: ParamKind::Operand, doc }
    }

    /// An attribute; without a default it must be given.
    pub fn attribute(
        name: &'static str, kind: AttributeKind, default: Option<Attribute>, doc: &'static str,
    ) -> Param {
        Param { name, kind: ParamKind::Attribute(kind, default), doc }
    }
}

/// What literals an attribute takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeKind {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// Any number; a whole one is converted.
    Float,
    /// A string.
    Str,
    /// A number, which keeps its kind, or a string.
    NumberOrStr,
    /// A whole number, a list of them, possibly nested, or a string.
    IntsOrStr,
    /// A dtype word, or `none`.
    DType,
    /// A whole number, a list of them, or `none`: an axis or axes.
    Axes,
    /// A list of whole numbers, possibly nested.
    Ints,
    /// The items of an index expression, which have their own syntax.
    Index,
    /// A graph inside the node; `scan` and `if` have their own syntax.
    Body,
}

/// An operation.
///
/// Implementations are stateless; all that varies between two uses is in operands and attributes.
pub trait Op: Send + Sync + 'static {
    /// The name in the language: `add`, or `plugin::op` for a plugin's.
    fn name(&self) -> &str;

    /// Grows when the meaning of the op or of an attribute changes.
    fn revision(&self) -> u32 {
        1
    }

    /// What the op takes, in NumPy's order.
    fn params(&self) -> &[Param];

    /// Documentation in Markdown: meaning, formula and its source, an example.
    fn doc(&self) -> &str;

    /// Settles what only the config's `float` decides: fills in attributes, and gives the dtype to which
    /// each operand is cast first (nothing: no operand is). Applications in a graph, and so the programs
    /// that devices read, mean the same under every config.
    fn settle(&self, operands: &[&Type], attributes: &mut Attributes) -> Vec<Option<DType>> {
        let _ = (operands, attributes);
        Vec::new()
    }

    /// Types (and, for small integers, symbolic contents) of the results.
    ///
    /// # Errors
    /// If the operands or attributes do not fit; the message says what was expected and found. The
    /// caller adds op, operand types and place.
    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>>;

    /// Concrete shapes of the results from the operands' concrete shapes.
    ///
    /// # Errors
    /// If the shapes do not fit.
    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>>;

    /// The operands, of these types, whose values, not only shapes, decide the shapes of the results.
    fn size_operands(&self, types: &[&Type], attributes: &Attributes) -> Vec<usize> {
        let _ = (types, attributes);
        Vec::new()
    }

    /// Cotangents of the operands from the cotangents of the results (reverse mode). `None` says that
    /// an operand does not influence any result differentiably (it is *disconnected*).
    ///
    /// # Errors
    /// If the op has no gradient. The default is [`no_gradient`] unless there is a decomposition.
    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let _ = context;
        Err(no_gradient(self.name()))
    }

    /// Tangents of the results from tangents of the operands (forward mode). `None` says zero.
    ///
    /// # Errors
    /// If the op has no forward-mode derivative.
    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        let _ = context;
        Err(no_gradient(self.name()))
    }

    /// The results for many rows at once. Ops that are elementwise or given by others need no rule.
    ///
    /// # Errors
    /// If the operands do not fit.
    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        let _ = context;
        Ok(Batched::Default)
    }

    /// The results in terms of simpler ops, for ops that are given by one.
    fn decompose(&self, operands: &[Var], attributes: &Attributes) -> Option<Result<Vec<Var>>> {
        let _ = (operands, attributes);
        None
    }

    /// Whether [`Op::decompose`] gives something.
    fn has_decomposition(&self) -> bool {
        false
    }

    /// Whether [`Op::vjp`] and [`Op::jvp`] are to be asked although [`Op::decompose`] gives something.
    fn has_own_derivative(&self) -> bool {
        false
    }

    /// Pairs (operand, result) such that a kernel may write the result over the operand, if dtype
    /// and shape agree.
    fn may_overwrite(&self) -> &[(usize, usize)] {
        &[]
    }

    /// Whether the op computes each element of its one result from the elements of its operands at
    /// the same (broadcast) place, so that it can be fused.
    fn is_elementwise(&self) -> bool {
        false
    }

    /// Whether the order of the two operands does not matter, for matching.
    fn is_commutative(&self) -> bool {
        false
    }

    /// Whether a call can fail for reasons that types do not show, such as an index out of range.
    fn can_fail(&self) -> bool {
        false
    }

    /// Whether kernels find all that is wrong with a call before they write anything: a kernel that overwrites an
    /// operand and fails leaves it as it was. Devices that offer an overwrite of such an op promise this.
    fn fails_before_writing(&self) -> bool {
        false
    }

    /// Whether a call does something besides giving the results, so that an application is neither merged
    /// with an equal one, nor computed while compiling. Its first result is its first operand's value.
    fn has_effect(&self) -> bool {
        false
    }

    /// Whether the value is that of the first operand, of which only derivatives differ: compilation takes
    /// such nodes out once derivatives are expanded.
    fn is_identity(&self) -> bool {
        false
    }

    /// Whether compilation replaces every use before a backend sees it (`grad` and the like).
    fn is_symbolic(&self) -> bool {
        false
    }
}

impl fmt::Debug for dyn Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What [`Op::vjp`] works from.
pub struct Vjp<'a> {
    /// The operands.
    pub operands: &'a [Var],
    /// The results of the application itself, to be reused in formulas.
    pub results: &'a [Var],
    /// The cotangent of each result; `None` is zero. At least one is `Some`.
    pub cotangents: &'a [Option<Var>],
    /// The attributes of the application.
    pub attributes: &'a Attributes,
}

/// What [`Op::jvp`] works from.
pub struct Jvp<'a> {
    /// The operands.
    pub operands: &'a [Var],
    /// The results of the application itself, to be reused in formulas.
    pub results: &'a [Var],
    /// The tangent of each operand; `None` is zero. At least one is `Some`.
    pub tangents: &'a [Option<Var>],
    /// The attributes of the application.
    pub attributes: &'a Attributes,
}

/// One of the operands of a call, of a list that may be too short.
fn nth<T>(operands: &[T], index: usize) -> Result<&T> {
    operands.get(index).ok_or_else(|| Error::new(ErrorKind::Type, format!("operand {index} is missing")))
}

/// The error of an op that has no gradient.
pub fn no_gradient(op: &str) -> Error {
    Error::new(ErrorKind::Gradient, format!("`{op}` has no gradient"))
        .note("wrap the operand in `stop_gradient` to treat the result as a constant")
}

/// The dtype that numbers take to which nothing else gives one: the config's `float`.
pub fn default_float() -> DType {
    match DEFAULT_FLOAT.load(std::sync::atomic::Ordering::Relaxed) {
        0 => DType::F64,
        _ => DType::F32,
    }
}

/// Sets [`default_float`] for all graphs built from now on; anything but `f32` means `f64`.
pub fn set_default_float(dtype: DType) {
    DEFAULT_FLOAT.store(u8::from(dtype == DType::F32), std::sync::atomic::Ordering::Relaxed);
}

static DEFAULT_FLOAT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);
