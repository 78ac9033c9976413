//! The rows of the family.

use super::gradients as d;
use super::special as s;
use super::{Elementwise, Partial, Typing};
use crate::ops::{Attribute, AttributeKind, Param};

/// All elementwise ops.
pub(super) fn ops() -> Vec<Elementwise> {
    let mut ops = Vec::new();
    let operand = |name| Param::operand(name, "an operand");
    let mut add = |name, operands: &[&'static str], typing, partial: Option<Partial>, doc| {
        let commutative = matches!(
            name,
            "add" | "mul" | "maximum" | "minimum" | "logaddexp" | "hypot" | "eq" | "ne" | "logical_and" | "logical_or"
                | "logical_xor" | "bitwise_and" | "bitwise_or" | "bitwise_xor"
        );
        let params = operands.iter().map(|name| operand(name)).collect();
        ops.push(Elementwise { name, params, typing, doc, partial, commutative });
    };
    let (one, two, two_orders) = (&["x"][..], &["x", "y"][..], &["v", "x"][..]);
    use Typing::*;

    add("add", two, Same, Some(d::add), "The sum `x + y`. Bools: logical or.");
    add("sub", two, Number, Some(d::sub), "The difference `x - y`.");
    add("mul", two, Same, Some(d::mul), "The product `x * y`. Bools: logical and.");
    add("div", two, Float, Some(d::div), "The quotient `x / y`; integers give floats.");
    add("floor_div", two, Number, Some(d::steps), "The quotient rounded toward minus infinity, `x // y`; an integer divided by 0 gives 0. Its gradient is 0.");
    add("mod", two, Number, Some(d::modulo), "The remainder of `x // y`, with the sign of `y`; an integer modulo 0 gives 0.");
    add("pow", two, Number, Some(d::pow), "`x` to the power `y`, `x ** y`.");
    add("maximum", two, Same, Some(d::maximum), "The larger of the two; NaN if either is. At ties the gradient is split evenly.");
    add("minimum", two, Same, Some(d::minimum), "The smaller of the two; NaN if either is. At ties the gradient is split evenly.");
    add("arctan2", two, Float, Some(d::arctan2), "The angle of the point (y, x): `arctan2(x, y)` takes the ordinate first, as NumPy.");
    add("logaddexp", two, Float, Some(d::logaddexp), "`log(exp(x) + exp(y))` without overflow.");
    add("logsubexp", two, Float, Some(d::logsubexp), "`log(exp(x) - exp(y))` without overflow or cancellation; NaN where x is less than y.");
    add("hypot", two, Float, Some(d::hypot), "`sqrt(x**2 + y**2)` without overflow.");
    add("xlogy", two, Float, Some(d::xlogy), "`x * log(y)`, and 0 where x is 0.");
    add("xlog1py", two, Float, Some(d::xlog1py), "`x * log1p(y)`, and 0 where x is 0.");
    add("copysign", two, Float, Some(d::copysign), "The magnitude of x with the sign of y; its gradient is 0 where x is 0.");
    add("fmod", two, Number, Some(d::fmod), "The remainder of `trunc(x / y)`, with the sign of `x`; an integer modulo 0 gives 0.");

    add("neg", one, Number, Some(d::neg), "`-x`.");
    add("abs", one, Number, Some(d::abs), "The absolute value; its gradient at 0 is 0.");
    add("sign", one, Number, Some(d::steps), "-1, 0 or 1, by the sign; NaN stays NaN. Its gradient is 0.");
    add("square", one, Number, Some(d::square), "`x * x`.");
    add("relu", one, Number, Some(d::relu), "`maximum(x, 0)`, with gradient 0 at 0.");
    add("floor", one, Number, Some(d::steps), "Rounded toward minus infinity. The gradient is 0, as of all that is constant in steps.");
    add("ceil", one, Number, Some(d::steps), "Rounded toward infinity. Its gradient is 0.");
    add("rint", one, Number, Some(d::steps), "Rounded to the nearest whole number, halves to even. Its gradient is 0.");
    add("trunc", one, Number, Some(d::steps), "Rounded toward zero. Its gradient is 0.");
    add("cbrt", one, Float, Some(d::cbrt), "The cube root, of negative numbers too.");
    add("reciprocal", one, Float, Some(d::reciprocal), "`1 / x`.");
    add("sqrt", one, Float, Some(d::sqrt), "The square root; NaN for negative numbers.");
    add("exp", one, Float, Some(d::exp), "e to the power x.");
    add("exp2", one, Float, Some(d::exp2), "2 to the power x.");
    add("expm1", one, Float, Some(d::expm1), "`exp(x) - 1`, exact near 0.");
    add("log", one, Float, Some(d::log), "The natural logarithm.");
    add("log2", one, Float, Some(d::log2), "The logarithm to base 2.");
    add("log10", one, Float, Some(d::log10), "The logarithm to base 10.");
    add("log1p", one, Float, Some(d::log1p), "`log(1 + x)`, exact near 0.");
    add("log1pmx", one, Float, Some(d::log1pmx), "`log(1 + x) - x`, exact near 0.");
    add("sin", one, Float, Some(d::sin), "The sine; x in radians.");
    add("cos", one, Float, Some(d::cos), "The cosine; x in radians.");
    add("tan", one, Float, Some(d::tan), "The tangent; x in radians.");
    add("arcsin", one, Float, Some(d::arcsin), "The inverse sine, in radians.");
    add("arccos", one, Float, Some(d::arccos), "The inverse cosine, in radians.");
    add("arctan", one, Float, Some(d::arctan), "The inverse tangent, in radians.");
    add("sinh", one, Float, Some(d::sinh), "The hyperbolic sine.");
    add("cosh", one, Float, Some(d::cosh), "The hyperbolic cosine.");
    add("tanh", one, Float, Some(d::tanh), "The hyperbolic tangent.");
    add("sech_squared", one, Float, Some(d::sech_squared), "`1 - tanh(x)**2`, the derivative of `tanh`, exact where that is nearly 1.");
    add("arcsinh", one, Float, Some(d::arcsinh), "The inverse hyperbolic sine.");
    add("arccosh", one, Float, Some(d::arccosh), "The inverse hyperbolic cosine.");
    add("arctanh", one, Float, Some(d::arctanh), "The inverse hyperbolic tangent.");

    add("erf", one, Float, Some(s::erf), "The error function (DLMF 7.2.1).");
    add("erfc", one, Float, Some(s::erfc), "`1 - erf(x)`, exact where that is small (DLMF 7.2.2).");
    add("erfcx", one, Float, Some(s::erfcx), "`exp(x**2) * erfc(x)`, which does not underflow (DLMF 7.12.1).");
    add("ierfcx", one, Float, Some(s::ierfcx), "`exp(x**2)` times the integral of `erfc` from x on (DLMF 7.18.2): `1 / sqrt(pi) - x * erfcx(x)` without cancellation.");
    add("erfinv", one, Float, Some(s::erfinv), "The inverse of `erf`.");
    add("erfcinv", one, Float, Some(s::erfcinv), "The inverse of `erfc`.");
    add("ndtr", one, Float, Some(s::ndtr), "The distribution function of the standard normal distribution, `erfc(-x / sqrt(2)) / 2`.");
    add("ndtri", one, Float, Some(s::ndtri), "The inverse of `ndtr`; NaN outside of 0 to 1.");
    add("log_ndtr", one, Float, Some(s::log_ndtr), "`log(ndtr(x))`, also where `ndtr` underflows.");
    add("ndtri_exp", one, Float, Some(s::ndtri_exp), "The inverse of `log_ndtr`: `ndtri(exp(x))`, also where that underflows.");
    add("owens_t", &["h", "a"], Float, Some(s::owens_t), "Owen's T function: the probability of `X > h` and `0 < Y < a * X` for independent standard normal numbers (Owen 1956).");
    add("gamma", one, Float, Some(s::gamma), "The gamma function (DLMF 5.2.1).");
    add("lgamma", one, Float, Some(s::lgamma), "The logarithm of the absolute value of the gamma function.");
    add("digamma", one, Float, Some(s::digamma), "The derivative of `lgamma` (DLMF 5.2.2).");
    add("gammainc_da", &["n", "a", "x"], Order, Some(s::gammainc_da),
        "The derivative of order `n`, a whole number, of `gammainc(a, x)` in `a`; NaN where n is negative or above 16.\n\n    gammainc_da(1, a, x)");
    add("polygamma", &["n", "x"], Order, Some(s::polygamma),
        "The derivative of order `n`, a whole number, of `digamma` at `x` (DLMF 5.15); NaN where n is negative or above 1000.\n\n    polygamma(1, x)");
    add("gammainc", &["a", "x"], Float, Some(s::gammainc),
        "The regularized lower incomplete gamma function `P(a, x)` (DLMF 8.2.4), for a and x not negative.");
    add("gammaincc", &["a", "x"], Float, Some(s::gammaincc),
        "`1 - gammainc(a, x)`, exact where that is small.");
    add("gammal", &["a", "x"], Float, Some(s::gammal),
        "The lower incomplete gamma function, `gamma(a) * gammainc(a, x)` (DLMF 8.2.1), for a above 0 and x not negative.");
    add("gammau", &["a", "x"], Float, Some(s::gammau),
        "The upper incomplete gamma function, `gamma(a) * gammaincc(a, x)` (DLMF 8.2.2), for a above 0 and x not negative.");
    add("chi2sf", &["x", "k"], Float, Some(s::chi2sf),
        "The probability that a sum of k squared standard normal numbers exceeds x: `gammaincc(k / 2, x / 2)`.");
    add("beta", &["a", "b"], Float, Some(s::beta), "The beta function `gamma(a) * gamma(b) / gamma(a + b)` (DLMF 5.12.1); NaN at negative integers.");
    add("betaln", &["a", "b"], Float, Some(s::betaln), "The logarithm of the absolute value of `beta`.");
    add("betainc", &["a", "b", "x"], Float, Some(s::betainc),
        "The regularized incomplete beta function `I_x(a, b)` (DLMF 8.17.2), for positive a and b, finite ones up to 1e8, and x in 0 to 1. It has no gradient in `a` and `b`.");
    add("gammaincinv", &["a", "p"], Float, Some(s::gammaincinv), "The x with `gammainc(a, x) = p`; NaN unless a is above 0 and p within 0 to 1.");
    add("gammainccinv", &["a", "q"], Float, Some(s::gammainccinv), "The x with `gammaincc(a, x) = q`; NaN unless a is above 0 and q within 0 to 1.");
    add("betaincinv", &["a", "b", "p"], Float, Some(s::betaincinv),
        "The x with `betainc(a, b, x) = p`; NaN unless a and b are above 0, up to 1e8, and p within 0 to 1. It has no gradient in `a` and `b`.");
    add("poch", &["x", "m"], Float, Some(s::poch), "The Pochhammer symbol `gamma(x + m) / gamma(x)` (DLMF 5.2.5).");
    add("hyp2f1", &["a", "b", "c", "x"], Float, Some(s::hyp2f1),
        "Gauss' hypergeometric function (DLMF 15.2.1) for x up to 1; beyond only where it is a polynomial, else NaN. It has a gradient in `x` alone.");
    add("kv", two_orders, Float, Some(s::kv), "The modified Bessel function of the second kind of real order `v` (DLMF 10.25.3); NaN below 0 and for orders above 1e5. It has no gradient in `v`.");
    add("kn", &["n", "x"], Order, Some(s::kn), "The modified Bessel function of the second kind of order `n`, a whole number.");
    add("kve", two_orders, Float, Some(s::kve), "`exp(x) * kv(v, x)`, which does not underflow. It has no gradient in `v`.");
    add("log_kv", two_orders, Float, Some(s::log_kv), "`log(kv(v, x))`, exact also where `kv` underflows, overflows or is near 1. It has no gradient in `v`.");
    add("log_kv_dx", two_orders, Float, Some(s::log_kv_dx), "The derivative of `log_kv` in `x`. It has no gradient in `v`.");
    add("i0", one, Float, Some(s::i0), "The modified Bessel function of order 0, as `np.i0` (DLMF 10.25.2).");
    add("i1", one, Float, Some(s::i1), "The modified Bessel function of order 1.");
    add("iv", two_orders, Float, Some(s::iv), "The modified Bessel function of real order `v`, of at most 100 in magnitude, else NaN (DLMF 10.25.2). It has no gradient in `v`.");
    add("i0e", one, Float, Some(s::i0e), "`exp(-abs(x)) * i0(x)`, which does not overflow; its gradient at 0 is 0.");
    add("i1e", one, Float, Some(s::i1e), "`exp(-abs(x)) * i1(x)`, which does not overflow.");
    add("ive", two_orders, Float, Some(s::ive), "`exp(-abs(x)) * iv(v, x)`, which does not overflow. It has no gradient in `v`.");
    add("log_iv", two_orders, Float, Some(s::log_iv), "`log(iv(v, x))`, exact also where `iv` underflows, overflows or is near 1. It has no gradient in `v`.");
    add("log_iv_dx", two_orders, Float, Some(s::log_iv_dx), "The derivative of `log_iv` in `x`. It has no gradient in `v`.");
    add("j0", one, Float, Some(s::j0), "The Bessel function of order 0 (DLMF 10.2.2).");
    add("j1", one, Float, Some(s::j1), "The Bessel function of order 1.");
    add("jv", two_orders, Float, Some(s::jv), "The Bessel function of real order `v`, of at most 100 in magnitude, else NaN (DLMF 10.2.2). It has no gradient in `v`.");
    add("logit", one, Float, Some(s::logit), "`log(x / (1 - x))`, the inverse of `sigmoid`, exact near 1/2.");
    add("sigmoid", one, Float, Some(s::sigmoid), "The logistic function `1 / (1 + exp(-x))`.");
    add("log_sigmoid", one, Float, Some(s::log_sigmoid), "`log(sigmoid(x))` without cancellation.");
    add("softplus", one, Float, Some(s::softplus), "`log(1 + exp(x))` without overflow.");
    add("log1mexp", one, Float, Some(s::log1mexp), "`log(1 - exp(x))` for negative x without cancellation (Maechler 2012).");
    add("selu", one, Float, Some(s::selu), "`scale * elu(x, alpha)` with the constants that keep mean 0 and variance 1 (arXiv 1706.02515).");
    add("softsign", one, Float, Some(s::softsign), "`x / (1 + abs(x))`.");
    add("hard_sigmoid", one, Float, Some(s::hard_sigmoid), "`clip(0.2 * x + 0.5, 0, 1)`, as Theano's; its gradient at the corners is 0.");
    add("silu", one, Float, Some(s::silu), "`x * sigmoid(x)`.");

    add("eq", two, Compare, None, "`x == y`.");
    add("ne", two, Compare, None, "`x != y`.");
    add("lt", two, Compare, None, "`x < y`.");
    add("le", two, Compare, None, "`x <= y`.");
    add("gt", two, Compare, None, "`x > y`.");
    add("ge", two, Compare, None, "`x >= y`.");
    add("isnan", one, Logical, None, "Whether x is not a number.");
    add("isinf", one, Logical, None, "Whether x is infinite.");
    add("isfinite", one, Logical, None, "Whether x is neither infinite nor NaN.");
    add("logical_and", two, Logical, None, "Whether both are non-zero.");
    add("logical_or", two, Logical, None, "Whether either is non-zero.");
    add("logical_xor", two, Logical, None, "Whether just one is non-zero.");
    add("logical_not", one, Logical, None, "Whether x is zero.");
    add("bitwise_and", two, Bits, None, "Bits set in both, `x & y`.");
    add("bitwise_or", two, Bits, None, "Bits set in either, `x | y`.");
    add("bitwise_xor", two, Bits, None, "Bits set in just one, `x ^ y`.");
    add("bitwise_not", one, Bits, None, "All bits flipped, `~x`; bools are negated.");
    add("shift_left", two, Bits, None, "`x << y`; a shift by the width or more gives 0.");
    add("shift_right", two, Bits, None, "`x >> y`; a shift by the width or more gives 0, or -1 for negative x.");

    add("clip", &["x", "lo", "hi"], Same, Some(d::clip), "`minimum(maximum(x, lo), hi)`; the gradient in x is 1 within the bounds, ends included.");
    add("where", &["condition", "x", "y"], Where, Some(d::select), "x where the condition holds, else y. Gradients are selected likewise, never multiplied by 0.");
    add("stop_gradient", one, Same, Some(d::held), "x, as a constant for gradients.");
    add("grad_barrier", one, Same, Some(d::identity), "x, out of reach of rewrites until gradients with respect to it are expanded.");

    let dtype = Param::attribute("dtype", AttributeKind::DType, None, "the dtype to convert to");
    ops.push(Elementwise {
        name: "cast", params: vec![operand("x"), dtype], typing: Typing::Cast, partial: Some(d::identity),
        doc: "x converted to `dtype`: integers wrap, floats to integers truncate, to bool asks whether non-zero.",
        commutative: false,
    });
    let approximate = Param::attribute(
        "approximate", AttributeKind::Str, Some(Attribute::Str("none".into())), "\"none\" for erf, \"tanh\" for the tanh form",
    );
    ops.push(Elementwise {
        name: "gelu", params: vec![operand("x"), approximate], typing: Typing::Float, partial: Some(s::gelu),
        doc: "`x * (1 + erf(x / sqrt(2))) / 2` (Hendrycks and Gimpel, arXiv 1606.08415).", commutative: false,
    });
    ops
}
