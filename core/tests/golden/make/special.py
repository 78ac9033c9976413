"""Special functions and activations of one or a few numbers: mpmath's values with 50 digits, and derivatives of those."""

import mpmath
import numpy as np
import scipy.special as sp
from mpmath import mpf

from case import Family, spread, weights

mpmath.mp.dps = 50
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 1e-300, 1e300, -1e300, np.inf, -np.inf, np.nan])


def exactly(f, *operands):
    """f of each element, rounded to f64."""
    operands = np.broadcast_arrays(*operands)
    values = [
        float(mpmath.re(f(*[mpf(float(element)) for element in elements])))
        for elements in zip(*[o.ravel() for o in operands])
    ]
    return np.array(values).reshape(operands[0].shape)


def slope(f, place, *operands):
    """The derivative of f in one operand, element by element."""

    def derivative(*elements):
        return mpmath.diff(f, elements, tuple(int(i == place) for i in range(len(elements))))

    return exactly(derivative, *operands)


def functions(family):
    root = mpmath.sqrt(2)
    ndtri = lambda p: root * mpmath.erfinv(2 * p - 1)
    softplus = lambda x: mpmath.log1p(mpmath.exp(x))
    rows = {
        "erf": (mpmath.erf, [(-2, 2), (1, 5)]),
        "erfc": (mpmath.erfc, [(-2, 2), (2, 20)]),
        "erfcx": (lambda x: mpmath.exp(x * x) * mpmath.erfc(x), [(-2, 2), (2, 20)]),
        "erfinv": (mpmath.erfinv, [(-0.9, 0.9)]),
        "erfcinv": (lambda x: mpmath.erfinv(1 - x), [(0.2, 1.8)]),
        "ndtr": (mpmath.ncdf, [(-2, 2), (-20, -3)]),
        "ndtri": (ndtri, [(0.1, 0.9)]),
        "gamma": (mpmath.gamma, [(0.2, 4), (-0.9, -0.1), (20, 100)]),
        "lgamma": (lambda x: mpmath.log(abs(mpmath.gamma(x))), [(2.3, 9), (0.1, 0.9), (-0.9, -0.1), (20, 100)]),
        "digamma": (mpmath.digamma, [(1.7, 6), (0.1, 0.9), (-0.3, -0.1), (20, 100)]),
        "trigamma": (lambda x: mpmath.psi(1, x), [(0.2, 6), (-0.9, -0.1)]),
        "i0": (lambda x: mpmath.besseli(0, x), [(-3, 3), (10, 60)]),
        "i1": (lambda x: mpmath.besseli(1, x), [(-3, 3), (10, 60)]),
        "i0e": (lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(0, x), [(0.2, 60)]),
        "i1e": (lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(1, x), [(0.2, 60)]),
        "j0": (lambda x: mpmath.besselj(0, x), [(-2, 2), (10, 50)]),
        "j1": (lambda x: mpmath.besselj(1, x), [(-2, 2), (10, 50)]),
        "log1mexp": (lambda x: mpmath.log(1 - mpmath.exp(x)), [(-3, -0.1), (-40, -10)]),
        "logit": (lambda x: mpmath.log(x / (1 - x)), [(0.1, 0.45), (0.55, 0.9)]),
        "sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), [(-3, 3), (-30, 30)]),
        "log_sigmoid": (lambda x: -softplus(-x), [(-3, 3), (-30, 30)]),
        "softplus": (softplus, [(-3, 3), (-30, 30)]),
        "softsign": (lambda x: x / (1 + abs(x)), [(0.1, 5), (-5, -0.1)]),
        "silu": (lambda x: x / (1 + mpmath.exp(-x)), [(-3, 3), (-30, 30)]),
        "gelu": (lambda x: x * mpmath.ncdf(x), [(-3, 3)]),
        'gelu(approximate="tanh")': (
            lambda x: x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpf("0.044715") * x**3))),
            [(-3, 3)],
        ),
        "mish": (lambda x: x * mpmath.tanh(softplus(x)), [(-3, 3)]),
        "hard_sigmoid": (None, []),
        "hard_swish": (None, []),
        "hard_tanh": (None, []),
        "relu6": (None, []),
        "elu": (lambda x: x if x > 0 else mpmath.expm1(x), [(0.1, 3), (-3, -0.1)]),
        "elu(alpha=0.5)": (lambda x: x if x > 0 else mpmath.expm1(x) / 2, [(-3, -0.1)]),
        "celu(alpha=0.5)": (lambda x: x if x > 0 else mpmath.expm1(2 * x) / 2, [(0.1, 3), (-3, -0.1)]),
        "selu": (
            lambda x: (
                mpf("1.0507009873554804934193349852946")
                * (x if x > 0 else mpf("1.6732632423543772848170429916717") * mpmath.expm1(x))
            ),
            [(0.1, 3), (-3, -0.1)],
        ),
        "relu": (lambda x: max(x, mpf(0)), [(0.1, 3), (-3, -0.1)]),
        "leaky_relu": (lambda x: x if x > 0 else x * mpf(0.01), [(0.1, 3), (-3, -0.1)]),
    }
    for name, (f, domains) in rows.items():
        op, _, attributes = name.partition("(")
        text = f"{op}(x, {attributes}" if attributes else f"{op}(x)"
        for number, (low, high) in enumerate(domains):
            x = spread(f"{name}{number}", (2, 4), low, high)
            y, dy = exactly(f, x), slope(f, 0, x) * weights(x.shape)
            family.case(
                text,
                {"x": x},
                lambda m, x: y,
                grad=lambda x: [dy],
                gradients="2000 of the largest" if name in ("erfcx", "i0e", "i1e") else None,
            )
            single = spread(f"{name}{number}f32", (4,), low, high, "f32")
            y32 = exactly(f, single)
            family.case(text, {"x": single}, lambda m, x: y32, dtypes="f32")
    # What they are at special points SciPy knows.
    for name, f in {
        "erf": sp.erf,
        "erfc": sp.erfc,
        "erfcx": sp.erfcx,
        "erfinv": sp.erfinv,
        "erfcinv": sp.erfcinv,
        "ndtr": sp.ndtr,
        "ndtri": sp.ndtri,
        "gamma": sp.gamma,
        "lgamma": sp.gammaln,
        "digamma": sp.digamma,
        "i0": sp.i0,
        "i1": sp.i1,
        "i0e": sp.i0e,
        "i1e": sp.i1e,
        "logit": sp.logit,
        "sigmoid": sp.expit,
        "log_sigmoid": sp.log_expit,
    }.items():
        # SciPy says NaN of the Bessel functions at infinity, and loses the sign of 0 in the inverses.
        points = (
            SPECIAL[abs(SPECIAL) < 1e300]
            if name in ("i0", "i1")
            else np.append(SPECIAL[2:], 0.0)
            if name == "erfinv"
            else SPECIAL[SPECIAL != 1]
            if name == "erfcinv"
            else SPECIAL
            if name not in ("gamma", "lgamma", "digamma", "i1e", "i0e", "erfcx")
            else np.array([1.0, 2.0, np.inf, np.nan, 0.0])
        )
        family.case(f"{name}(x)", {"x": points}, lambda m, x: f(x))
    relu6 = lambda m, x: m.clip(x, 0, 6)
    clipped = {"relu6": relu6, "hard_tanh": lambda m, x: m.clip(x, -1, 1), "relu": lambda m, x: m.maximum(x, 0)}
    for op, f in clipped.items():
        # NumPy leaves it to the processor which of 0 and -0 is larger.
        family.case(f"{op}(x)", {"x": np.delete(SPECIAL, 1)}, f)
        family.case(f"{op}(x)", {"x": spread(op, (3, 4), -8, 8)}, f, grad=True)
    prelu = lambda m, x, alpha: m.where(x > 0, x, alpha * x)
    family.case("prelu(x, alpha)", {"x": spread("prelu", (3, 2)), "alpha": np.array([0.25, 0.5])}, prelu, grad=True)
    family.case("glu(x)", {"x": spread("glu", (3, 4))}, lambda m, x: x[..., :2] / (1 + m.exp(-x[..., 2:])), grad=True)
    family.case("glu(x, axis=0)", {"x": spread("glu0", (2, 3))}, lambda m, x: x[:1] / (1 + m.exp(-x[1:])), grad=True)


def several(family):
    rows = {
        "xlogy": (lambda x, y: x * mpmath.log(y), [(-2, 2), (0.2, 5)]),
        "xlog1py": (lambda x, y: x * mpmath.log1p(y), [(-2, 2), (-0.8, 3)]),
        "logaddexp": (lambda x, y: mpmath.log(mpmath.exp(x) + mpmath.exp(y)), [(1, 30), (1, 30)]),
        "logsubexp": (lambda x, y: mpmath.log(mpmath.exp(x) - mpmath.exp(y)), [(10, 30), (-20, 9)]),
        "beta": (mpmath.beta, [(0.2, 9), (0.2, 9)]),
        "betaln": (lambda a, b: mpmath.log(mpmath.beta(a, b)), [(1.5, 9), (1.5, 9)]),
    }
    for op, (f, domains) in rows.items():
        for number, shapes in enumerate([((2, 3), (2, 3)), ((2, 1), (3,)), ((), (4,))]):
            x, y = [spread(f"{op}{number}{place}", shape, *domains[place]) for place, shape in enumerate(shapes)]
            value = exactly(f, x, y)
            w = weights(value.shape)
            from elementwise import sum_to

            slopes = [sum_to(slope(f, place, x, y) * w, shape) for place, shape in enumerate(shapes)]
            family.case(f"{op}(x, y)", {"x": x, "y": y}, lambda m, x, y: value, grad=lambda x, y: slopes)
    x, y = SPECIAL[:, None], SPECIAL
    family.case("xlogy(x, y)", {"x": x, "y": y}, lambda m, x, y: sp.xlogy(x, y))
    family.case("xlog1py(x, y)", {"x": x, "y": y}, lambda m, x, y: sp.xlog1py(x, y))
    lower = lambda a, x: mpmath.gammainc(a, 0, x, regularized=True)
    upper = lambda a, x: mpmath.gammainc(a, x, regularized=True)
    rows = {
        "gammainc(a, x)": (lower, [(0.3, 6), (0.2, 8)]),
        "gammaincc(a, x)": (upper, [(0.3, 6), (0.2, 8)]),
        "chi2sf(x, a)": (lambda a, x: upper(a / 2, x / 2), [(1, 9), (0.2, 12)]),
        "betainc(a, 1.5, x)": (lambda a, x: mpmath.betainc(a, 1.5, 0, x, regularized=True), [(0.3, 6), (0.1, 0.9)]),
        "iv(a, x)": (mpmath.besseli, [(-3, 4), (0.3, 9)]),
        "jv(a, x)": (mpmath.besselj, [(-3, 4), (0.3, 9)]),
        "ive(a, x)": (lambda a, x: mpmath.exp(-x) * mpmath.besseli(a, x), [(-3, 4), (0.3, 9)]),
        "iv(a + 0.25, x)": (lambda a, x: mpmath.besseli(a + 0.25, x), [(-3, 4), (0.3, 9)]),
        "jv(a + 0.25, x)": (lambda a, x: mpmath.besselj(a + 0.25, x), [(-3, 4), (0.3, 9)]),
        "gammal(a, x)": (lambda a, x: mpmath.gammainc(a, 0, x), [(0.3, 6), (0.2, 8)]),
        "gammau(a, x)": (lambda a, x: mpmath.gammainc(a, x), [(0.3, 6), (0.2, 8)]),
        "polygamma(a, x)": (lambda a, x: mpmath.psi(int(a), x), [(0, 5), (0.3, 9)]),
    }
    for text, (f, domains) in rows.items():
        whole = text[:2] in ("iv", "jv", "po")
        for number, shapes in enumerate([((2, 3), (2, 3)), ((3, 1), (2,))]):
            a = spread(f"{text}a{number}", shapes[0], *domains[0], "i64" if whole else "f64")
            x = spread(f"{text}x{number}", shapes[1], *domains[1])
            value = exactly(f, a, x)
            from elementwise import sum_to

            dx = sum_to(slope(f, 1, a, x) * weights(value.shape), shapes[1])
            family.case(text, {"a": a, "x": x}, lambda m, a, x: value, grad=lambda a, x: [dx], wrt=["x"])
    for text, f in {"gammainc(a, x)": sp.gammainc, "gammaincc(a, x)": sp.gammaincc}.items():
        a, x = np.array([0.5, 1.0, 30.0])[:, None], np.array([0.0, np.inf, np.nan])
        family.case(text, {"a": a, "x": x}, lambda m, a, x: f(a, x))
    family.case(
        "betainc(a, b, x)",
        {"a": np.array([0.5, 1.0, 3.0])[:, None], "b": np.array(2.0), "x": np.array([0.0, 1.0, np.nan, 2.0, -1.0])},
        lambda m, a, b, x: sp.betainc(a, b, x),
    )


def families():
    family = Family(
        "special",
        "8 of each",
        "64 of the largest",
        """
Special functions and activations: mpmath's values, of 50 digits, and derivatives of them. Derivatives are products and
sums of special functions, each of which may be 4 ulp off; of erfcx, i0e and i1e at large numbers these sums cancel.""",
    )
    functions(family)
    several(family)
    return [family]
