//! Ops that work element by element, with NumPy's broadcasting.

use std::cmp::Ordering;

use arignote_core::Result;
use arignote_core::error::{Error, ErrorKind};
use arignote_core::ops::promote_operands;
use arignote_core::special;
use arignote_core::tensor::{DType, Shape, Tensor, broadcast_shapes};

use crate::kernel::KernelCall;
use crate::values::{allocate, broadcast_offsets, count, floats, from_floats, from_integers, integers};

/// What is computed for each element.
#[derive(Clone, Copy)]
pub enum Elementwise {
    /// A function of floats; integer operands are converted first.
    Float1(fn(f64) -> f64),
    /// A function of two floats; integer operands are converted first.
    Float2(fn(f64, f64) -> f64),
    /// A function of three floats; integer operands are converted first.
    Float3(fn(f64, f64, f64) -> f64),
    /// A function of four floats; integer operands are converted first.
    Float4(fn(f64, f64, f64, f64) -> f64),
    /// A function in the result's own dtype: one for floats and one for integers.
    Own1(fn(f64) -> f64, fn(i128) -> i128),
    /// A function of two operands in the result's own dtype.
    Own2(fn(f64, f64) -> f64, fn(i128, i128) -> i128),
    /// A comparison in the operands' common dtype; `None` stands for a NaN among them.
    Compare(fn(Option<Ordering>) -> bool),
    /// A question about a float; of other dtypes the answer is given.
    Predicate(fn(f64) -> bool, bool),
    /// A function of truth values.
    Logical1(fn(bool) -> bool),
    /// A function of two truth values.
    Logical2(fn(bool, bool) -> bool),
    /// A function of two integers and the width of the dtype in bits.
    Bits2(fn(i128, i128, i128) -> i128),
    /// Negation of every bit.
    BitwiseNot,
    /// `gelu`, whose attribute chooses the form.
    Gelu,
    /// `clip(x, lo, hi)`.
    Clip,
    /// `where(condition, x, y)`.
    Where,
    /// A change of dtype, or none.
    Cast,
}

/// The function of the op with this name.
pub fn function(op: &str) -> Option<Elementwise> {
    use Elementwise::*;
    Some(match op {
        "add" => Own2(|x, y| x + y, i128::wrapping_add),
        "sub" => Own2(|x, y| x - y, i128::wrapping_sub),
        "mul" => Own2(|x, y| x * y, i128::wrapping_mul),
        "div" => Float2(|x, y| x / y),
        "floor_div" => Own2(float_floor_div, integer_floor_div),
        "mod" => Own2(float_mod, integer_mod),
        "pow" => Own2(libm::pow, integer_pow),
        "maximum" => Own2(|x, y| if x >= y || x.is_nan() { x } else { y }, i128::max),
        "minimum" => Own2(|x, y| if x <= y || x.is_nan() { x } else { y }, i128::min),
        "arctan2" => Float2(libm::atan2),
        "logaddexp" => Float2(special::logaddexp),
        "logsubexp" => Float2(special::logsubexp),
        "hypot" => Float2(libm::hypot),
        "xlogy" => Float2(special::xlogy),
        "xlog1py" => Float2(special::xlog1py),
        "copysign" => Float2(f64::copysign),
        "fmod" => Own2(libm::fmod, |x, y| if y == 0 { 0 } else { x % y }),
        "gammainc" => Float2(special::gammainc),
        "gammaincc" => Float2(special::gammaincc),
        "gammal" => Float2(special::gammal),
        "gammau" => Float2(special::gammau),
        "chi2sf" => Float2(special::chi2sf),
        "beta" => Float2(special::beta),
        "betaln" => Float2(special::betaln),
        "owens_t" => Float2(special::owens_t),
        "gammaincinv" => Float2(special::gammaincinv),
        "gammainccinv" => Float2(special::gammainccinv),
        "poch" => Float2(special::poch),
        "kv" => Float2(special::kv),
        "kn" => Float2(special::kv),
        "kve" => Float2(special::kve),
        "log_kv" => Float2(special::log_kv),
        "log_kv_dx" => Float2(special::log_kv_dx),
        "log_iv" => Float2(special::log_iv),
        "log_iv_dx" => Float2(special::log_iv_dx),
        "betaincinv" => Float3(special::betaincinv),
        "hyp2f1" => Float4(special::hyp2f1),
        "betainc" => Float3(special::betainc),
        "gammainc_da" => Float3(special::gammainc_da),
        "iv" => Float2(special::iv),
        "ive" => Float2(special::ive),
        "jv" => Float2(special::jv),
        "polygamma" => Float2(special::polygamma),

        "exp" => Float1(libm::exp),
        "exp2" => Float1(libm::exp2),
        "expm1" => Float1(libm::expm1),
        "log" => Float1(libm::log),
        "log2" => Float1(libm::log2),
        "log10" => Float1(libm::log10),
        "log1p" => Float1(libm::log1p),
        "sqrt" => Float1(f64::sqrt),
        "reciprocal" => Float1(|x| 1.0 / x),
        "sin" => Float1(libm::sin),
        "cos" => Float1(libm::cos),
        "tan" => Float1(libm::tan),
        "arcsin" => Float1(libm::asin),
        "arccos" => Float1(libm::acos),
        "arctan" => Float1(libm::atan),
        "sinh" => Float1(libm::sinh),
        "cosh" => Float1(libm::cosh),
        "tanh" => Float1(libm::tanh),
        "arcsinh" => Float1(libm::asinh),
        "arccosh" => Float1(special::arccosh),
        "arctanh" => Float1(libm::atanh),
        "erf" => Float1(special::erf),
        "erfc" => Float1(special::erfc),
        "erfcx" => Float1(special::erfcx),
        "ierfcx" => Float1(special::ierfcx),
        "log_ndtr" => Float1(special::log_ndtr),
        "ndtri_exp" => Float1(special::ndtri_exp),
        "sech_squared" => Float1(special::sech_squared),
        "log1pmx" => Float1(special::log1pmx),
        "erfinv" => Float1(special::erfinv),
        "erfcinv" => Float1(special::erfcinv),
        "ndtr" => Float1(special::ndtr),
        "ndtri" => Float1(special::ndtri),
        "i0" => Float1(special::i0),
        "i1" => Float1(special::i1),
        "i0e" => Float1(special::i0e),
        "i1e" => Float1(special::i1e),
        "j0" => Float1(special::j0),
        "j1" => Float1(special::j1),
        "logit" => Float1(special::logit),
        "cbrt" => Float1(libm::cbrt),
        "selu" => Float1(special::selu),
        "softsign" => Float1(special::softsign),
        "hard_sigmoid" => Float1(special::hard_sigmoid),
        "gamma" => Float1(special::gamma),
        "lgamma" => Float1(special::lgamma),
        "digamma" => Float1(special::digamma),
        "sigmoid" => Float1(special::sigmoid),
        "softplus" => Float1(special::softplus),
        "log_sigmoid" => Float1(special::log_sigmoid),
        "log1mexp" => Float1(special::log1mexp),
        "silu" => Float1(special::silu),
        "gelu" => Gelu,

        "neg" => Own1(|x| -x, i128::wrapping_neg),
        "abs" => Own1(f64::abs, i128::wrapping_abs),
        "sign" => Own1(|x| if x.is_nan() { x } else { f64::from(i8::from(x > 0.0) - i8::from(x < 0.0)) }, i128::signum),
        "square" => Own1(|x| x * x, |x| x.wrapping_mul(x)),
        "relu" => Own1(|x| if x > 0.0 || x.is_nan() { x } else { 0.0 }, |x| x.max(0)),
        "floor" => Own1(f64::floor, |x| x),
        "ceil" => Own1(f64::ceil, |x| x),
        "rint" => Own1(f64::round_ties_even, |x| x),
        "trunc" => Own1(f64::trunc, |x| x),

        "clip" => Clip,
        "where" => Where,
        "cast" | "stop_gradient" | "grad_barrier" => Cast,

        "eq" => Compare(|order| order == Some(Ordering::Equal)),
        "ne" => Compare(|order| order != Some(Ordering::Equal)),
        "lt" => Compare(|order| order == Some(Ordering::Less)),
        "le" => Compare(|order| order.is_some_and(Ordering::is_le)),
        "gt" => Compare(|order| order == Some(Ordering::Greater)),
        "ge" => Compare(|order| order.is_some_and(Ordering::is_ge)),
        "isnan" => Predicate(f64::is_nan, false),
        "isinf" => Predicate(f64::is_infinite, false),
        "isfinite" => Predicate(f64::is_finite, true),

        "logical_and" => Logical2(|x, y| x && y),
        "logical_or" => Logical2(|x, y| x || y),
        "logical_xor" => Logical2(|x, y| x != y),
        "logical_not" => Logical1(|x| !x),

        "bitwise_and" => Bits2(|x, y, _| x & y),
        "bitwise_or" => Bits2(|x, y, _| x | y),
        "bitwise_xor" => Bits2(|x, y, _| x ^ y),
        "bitwise_not" => BitwiseNot,
        "shift_left" => Bits2(|x, y, width| if (0..width).contains(&y) { x << y } else { 0 }),
        "shift_right" => Bits2(|x, y, width| x >> if (0..width).contains(&y) { y } else { 127 }),
        _ => return None,
    })
}

/// Applies a function to the operands of a call.
///
/// # Errors
/// If the operands' shapes do not broadcast.
pub fn run(function: &Elementwise, call: &KernelCall<'_>) -> Result<Tensor> {
    use Elementwise::*;
    let dtype = call.dtype()?;
    match *function {
        Float1(f) => float_map(call, dtype, |x| Ok(f(take(x, 0)?))),
        Float2(f) => float_map(call, dtype, |x| Ok(f(take(x, 0)?, take(x, 1)?))),
        Float3(f) => float_map(call, dtype, |x| Ok(f(take(x, 0)?, take(x, 1)?, take(x, 2)?))),
        Float4(f) => float_map(call, dtype, |x| Ok(f(take(x, 0)?, take(x, 1)?, take(x, 2)?, take(x, 3)?))),
        Own1(f, _) if dtype.is_float() => float_map(call, dtype, |x| Ok(f(take(x, 0)?))),
        Own1(_, f) => integer_map(call, dtype, dtype, |x| Ok(f(take(x, 0)?))),
        Own2(f, _) if dtype.is_float() => float_map(call, dtype, |x| Ok(f(take(x, 0)?, take(x, 1)?))),
        Own2(_, f) => integer_map(call, dtype, dtype, |x| Ok(f(take(x, 0)?, take(x, 1)?))),
        Compare(f) => {
            let (common, _) = promote_operands(call.types);
            if common.is_float() {
                let compare = |x: &[f64]| Ok(i128::from(f(take(x, 0)?.partial_cmp(&take(x, 1)?))));
                let (values, shape) = map(&lists(call, common, floats), compare)?;
                from_integers(dtype, values, &shape)
            } else {
                integer_map(call, common, dtype, |x| Ok(i128::from(f(Some(take(x, 0)?.cmp(&take(x, 1)?))))))
            }
        }
        Predicate(f, otherwise) => {
            let x = call.operand(0)?;
            let is_float = x.dtype().is_float();
            let ask = |value: f64| i128::from(if is_float { f(value) } else { otherwise });
            from_integers(dtype, floats(x).into_iter().map(ask).collect(), x.shape())
        }
        Logical1(f) => integer_map(call, DType::Bool, dtype, |x| Ok(i128::from(f(take(x, 0)? != 0)))),
        Logical2(f) => {
            integer_map(call, DType::Bool, dtype, |x| Ok(i128::from(f(take(x, 0)? != 0, take(x, 1)? != 0))))
        }
        Bits2(f) => {
            let width = dtype.size() as i128 * 8;
            integer_map(call, dtype, dtype, |x| Ok(f(take(x, 0)?, take(x, 1)?, width)))
        }
        BitwiseNot if dtype == DType::Bool => {
            integer_map(call, dtype, dtype, |x| Ok(i128::from(take(x, 0)? == 0)))
        }
        BitwiseNot => integer_map(call, dtype, dtype, |x| Ok(!take(x, 0)?)),
        Gelu => match call.attributes.str("approximate")? {
            "none" => float_map(call, dtype, |x| Ok(special::gelu(take(x, 0)?))),
            "tanh" => float_map(call, dtype, |x| Ok(special::gelu_tanh(take(x, 0)?))),
            other => {
                let message = format!("`approximate` must be \"none\" or \"tanh\", not {other:?}");
                Err(Error::new(ErrorKind::Type, message))
            }
        },
        Clip if dtype.is_float() => float_map(call, dtype, |x| {
            let (x, lo, hi) = (take(x, 0)?, take(x, 1)?, take(x, 2)?);
            let raised = if x >= lo || x.is_nan() { x } else { lo };
            Ok(if raised <= hi || raised.is_nan() { raised } else { hi })
        }),
        Clip => integer_map(call, dtype, dtype, |x| Ok(take(x, 0)?.max(take(x, 1)?).min(take(x, 2)?))),
        Where => choose(call, dtype),
        Cast => call.as_result(0),
    }
}

fn float_map(call: &KernelCall<'_>, dtype: DType, f: impl Fn(&[f64]) -> Result<f64>) -> Result<Tensor> {
    let (values, shape) = map(&lists(call, dtype, floats), f)?;
    from_floats(dtype, values, &shape)
}

fn integer_map(
    call: &KernelCall<'_>, common: DType, result: DType, f: impl Fn(&[i128]) -> Result<i128>,
) -> Result<Tensor> {
    let (values, shape) = map(&lists(call, common, integers), f)?;
    from_integers(result, values, &shape)
}

/// The selected operand's element, bit for bit.
fn choose(call: &KernelCall<'_>, dtype: DType) -> Result<Tensor> {
    let condition = call.operand(0)?.cast(DType::Bool);
    let (x, y) = (call.as_result(1)?, call.as_result(2)?);
    let shape = common_shape([condition.shape(), x.shape(), y.shape()])?;
    let offsets = broadcast_offsets(condition.shape(), &shape)?;
    let condition = condition.as_slice::<bool>()?;
    let (at_x, at_y) = (broadcast_offsets(x.shape(), &shape)?, broadcast_offsets(y.shape(), &shape)?);
    arignote_core::dispatch_dtype!(dtype, T => {
        let (x, y) = (x.as_slice::<T>()?, y.as_slice::<T>()?);
        let mut elements: Vec<T> = allocate(&shape)?;
        for (i, &offset) in offsets.iter().enumerate() {
            elements.push(if condition[offset] { x[at_x[i]] } else { y[at_y[i]] });
        }
        Tensor::from_vec(elements, &shape)
    })
}

/// The operands cast to a common dtype, as lists with their shapes.
fn lists<A>(call: &KernelCall<'_>, dtype: DType, read: fn(&Tensor) -> Vec<A>) -> Vec<(Vec<A>, Shape)> {
    call.operands.iter().map(|operand| (read(&operand.cast(dtype)), operand.shape().into())).collect()
}

fn common_shape<'a>(shapes: impl IntoIterator<Item = &'a [usize]>) -> Result<Shape> {
    shapes.into_iter().try_fold(Shape::new(), |common, shape| broadcast_shapes(&common, shape))
}

/// Calls `f` with the elements that meet in each place of the common shape.
fn map<A: Copy, R>(lists: &[(Vec<A>, Shape)], f: impl Fn(&[A]) -> Result<R>) -> Result<(Vec<R>, Shape)> {
    let shape = common_shape(lists.iter().map(|(_, shape)| shape.as_slice()))?;
    let offsets =
        lists.iter().map(|(_, own)| broadcast_offsets(own, &shape)).collect::<Result<Vec<Vec<usize>>>>()?;
    let mut results = allocate(&shape)?;
    let mut elements = Vec::with_capacity(lists.len());
    for place in 0..count(&shape)? {
        elements.clear();
        elements.extend(lists.iter().zip(&offsets).map(|((list, _), offsets)| list[offsets[place]]));
        results.push(f(&elements)?);
    }
    Ok((results, shape))
}

fn take<A: Copy>(elements: &[A], number: usize) -> Result<A> {
    elements.get(number).copied().ok_or_else(|| {
        let message = format!("operand {number} is missing, there are {}", elements.len());
        Error::new(ErrorKind::Type, message)
    })
}

/// As NumPy's `npy_divmod`: the remainder is exact, so the quotient is a whole number but for rounding.
fn float_floor_div(x: f64, y: f64) -> f64 {
    if y == 0.0 {
        return x / y;
    }
    let remainder = libm::fmod(x, y);
    let mut quotient = (x - remainder) / y;
    if remainder != 0.0 && (y < 0.0) != (remainder < 0.0) {
        quotient -= 1.0;
    }
    if quotient == 0.0 {
        return 0f64.copysign(x / y);
    }
    let floor = quotient.floor();
    if quotient - floor > 0.5 { floor + 1.0 } else { floor }
}

fn float_mod(x: f64, y: f64) -> f64 {
    let remainder = libm::fmod(x, y);
    if y == 0.0 || remainder.is_nan() {
        f64::NAN
    } else if remainder == 0.0 {
        0f64.copysign(y)
    } else if (y < 0.0) != (remainder < 0.0) {
        remainder + y
    } else {
        remainder
    }
}

fn integer_floor_div(x: i128, y: i128) -> i128 {
    if y == 0 {
        return 0;
    }
    x / y - i128::from(x % y != 0 && (x < 0) != (y < 0))
}

fn integer_mod(x: i128, y: i128) -> i128 {
    if y == 0 { 0 } else { x - integer_floor_div(x, y) * y }
}

/// By squaring, wrapping. A negative exponent leaves 0, except of 1 and -1.
fn integer_pow(base: i128, exponent: i128) -> i128 {
    if exponent < 0 {
        return match base {
            1 => 1,
            -1 => if exponent % 2 == 0 { 1 } else { -1 },
            _ => 0,
        };
    }
    let (mut result, mut square, mut rest) = (1i128, base, exponent);
    while rest > 0 {
        if rest % 2 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        rest /= 2;
    }
    result
}
