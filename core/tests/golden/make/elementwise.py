"""Elementwise ops: ordinary and special numbers of every dtype, casts, promotion."""

import numpy as np

from case import DTYPES, Family, spread, weights

SPECIAL = np.array(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        3.0,
        -3.0,
        1e-310,
        -5e-324,
        1e-8,
        30.0,
        -710.0,
        1e300,
        -1e300,
        np.inf,
        -np.inf,
        np.nan,
    ]
)
PAIR = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -3.0, 1e-310, 1e200, -1e200, np.inf, -np.inf, np.nan])
INTEGERS = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"]
ANY, POSITIVE, WITHIN, ABOVE, NEGATIVE = (-2.0, 2.0), (0.3, 4.0), (-0.9, 0.9), (1.1, 4.0), (-0.9, -0.1)


def extremes(dtype):
    limits = np.iinfo(DTYPES[dtype])
    low = [limits.min, limits.min + 1, -7, -3, -2, -1] if limits.min else []
    return np.array(low + [0, 1, 2, 3, 7, limits.max - 1, limits.max], dtype=DTYPES[dtype])


def unary(family):
    rows = {
        "abs": (ANY,),
        "neg": (ANY,),
        "sign": (ANY,),
        "sqrt": (POSITIVE,),
        "square": (ANY,),
        "reciprocal": (POSITIVE, NEGATIVE),
        "cbrt": (POSITIVE, NEGATIVE),
        "exp": (ANY, (-30.0, 30.0)),
        "exp2": (ANY, (-30.0, 30.0)),
        "expm1": (ANY, NEGATIVE),
        "log": (POSITIVE,),
        "log2": (POSITIVE,),
        "log10": (POSITIVE,),
        "log1p": (POSITIVE, NEGATIVE),
        "sin": (ANY, (-50.0, 50.0)),
        "cos": (ANY, (-50.0, 50.0)),
        "tan": ((-1.4, 1.4),),
        "arcsin": (WITHIN,),
        "arccos": (WITHIN,),
        "arctan": (ANY, (-50.0, 50.0)),
        "sinh": (ANY,),
        "cosh": (ANY,),
        "tanh": (ANY, (-15.0, 15.0)),
        "arcsinh": (ANY, (-50.0, 50.0)),
        "arccosh": (ABOVE,),
        "arctanh": (WITHIN,),
        "floor": (ANY,),
        "ceil": (ANY,),
        "round": (ANY,),
        "trunc": (ANY,),
        "deg2rad": (ANY,),
        "rad2deg": (ANY,),
    }
    names = {"neg": "negative", "reciprocal": "reciprocal", "round": "rint"}
    for op, domains in rows.items():
        name = names.get(op, op)
        f = lambda m, x, name=name: getattr(m, name)(x)
        values = SPECIAL
        if op in ("sin", "cos", "tan"):
            values = np.append(SPECIAL, [1e5, -1e15])
        if op == "round":
            values = np.append(SPECIAL, [1.5, 2.5, -1.5, -2.5, 0.49999999999999994, 4503599627370497.5])
        family.case(f"{op}(x)", {"x": values}, f)
        for low, high in domains:
            # JAX's derivative of tanh loses its digits where the tangent is nearly 1.
            grad = (lambda x: [weights(x.shape) / np.cosh(x) ** 2]) if op == "tanh" else True
            family.case(f"{op}(x)", {"x": spread(op, (2, 3), low, high)}, f, grad=grad)
        low, high = domains[0]
        x = spread(op + "f32", (5,), low, high, "f32")
        family.case(
            f"{op}(x)", {"x": x}, lambda m, x, name=name: getattr(m, name)(x.astype(np.float64)), dtypes="f32"
        )
        if op not in ("floor", "ceil", "round", "trunc", "neg", "abs", "sign", "square", "reciprocal"):
            values = {"arccosh": [1, 2, 7], "arctanh": [0], "arcsin": [-1, 0, 1], "arccos": [-1, 0, 1]}.get(
                op, [0, 1, 2, 3]
            )
            for dtype in ["i32", "u64"] if min(values) >= 0 else ["i32"]:
                family.case(f"{op}(x)", {"x": np.array(values, dtype=DTYPES[dtype])}, f)
    for op, name in [
        ("isnan", "isnan"),
        ("isinf", "isinf"),
        ("isfinite", "isfinite"),
        ("isposinf", "isposinf"),
        ("isneginf", "isneginf"),
        ("logical_not", "logical_not"),
    ]:
        for dtype in ["f64", "f32", "f16"]:
            family.case(f"{op}(x)", {"x": SPECIAL.astype(DTYPES[dtype])}, lambda m, x: getattr(m, name)(x))
    for dtype in INTEGERS:
        for op, name in [
            ("abs", "abs"),
            ("sign", "sign"),
            ("square", "square"),
            ("neg", "negative"),
            ("bitwise_not", "invert"),
            ("logical_not", "logical_not"),
            ("floor", "floor"),
            ("round", "rint"),
        ]:
            cast = None if op not in ("floor", "round") else dtype
            family.case(f"{op}(x)", {"x": extremes(dtype)}, lambda m, x: x if cast else getattr(m, name)(x))


def binary(family):
    rows = {
        "add": (ANY, ANY),
        "sub": (ANY, ANY),
        "mul": (ANY, ANY),
        "div": (ANY, POSITIVE),
        "floor_div": (ANY, POSITIVE),
        "mod": (ANY, POSITIVE),
        "fmod": (ANY, POSITIVE),
        "pow": (POSITIVE, ANY),
        "maximum": (ANY, ANY),
        "minimum": (ANY, ANY),
        "arctan2": (ANY, POSITIVE),
        "hypot": (POSITIVE, ANY),
        "logaddexp": ((0.5, 2.0), (0.5, 2.0)),
        "copysign": (POSITIVE, ANY),
        "heaviside": (ANY, ANY),
    }
    names = {"sub": "subtract", "mul": "multiply", "div": "divide", "floor_div": "floor_divide", "pow": "power"}
    for op, (of_x, of_y) in rows.items():
        f = lambda m, x, y, name=names.get(op, op): getattr(m, name)(x, y)
        # Which of 0 and -0 is the larger NumPy leaves to the processor.
        special = PAIR[PAIR != 0] if op in ("maximum", "minimum") else PAIR
        family.case(f"{op}(x, y)", {"x": special[:, None], "y": special}, f)
        single = np.array(
            [0.0, *([] if op in ("maximum", "minimum") else [-0.0]), 1.0, -2.5, 3e-39, 1e30, np.inf, np.nan],
            dtype=np.float32,
        )
        if op not in ("hypot", "logaddexp", "arctan2", "pow"):
            family.case(f"{op}(x, y)", {"x": single[:, None], "y": single}, f)
        else:
            family.case(
                f"{op}(x, y)",
                {"x": single[:, None], "y": single},
                lambda m, x, y: f(m, x.astype(np.float64), y.astype(np.float64)),
                dtypes="f32",
            )
        # JAX has no derivative of these quotients in y where x / y is whole; here it never is.
        for left, right in [((2, 3), (2, 3)), ((2, 1), (3,)), ((), (2, 2)), ((3,), ()), ((2, 1, 2), (3, 1))]:
            x, y = spread(f"{op}x{left}", left, *of_x), spread(f"{op}y{right}", right, *of_y)
            exact = op in ("floor_div", "heaviside")
            grad = None if exact else True
            if op == "fmod":
                grad = lambda x, y: remainder_gradient(x, y, np.trunc(x / y))
            if op == "mod":
                grad = lambda x, y: remainder_gradient(x, y, np.floor(x / y))
            family.case(f"{op}(x, y)", {"x": x, "y": y}, f, grad=grad)
    operators = {
        "x + y": "add",
        "x - y": "subtract",
        "x * y": "multiply",
        "x // y": "floor_divide",
        "x % y": "remainder",
        "x & y": "bitwise_and",
        "x | y": "bitwise_or",
        "x ^ y": "bitwise_xor",
        "maximum(x, y)": "maximum",
        "minimum(x, y)": "minimum",
        "x == y": "equal",
        "x != y": "not_equal",
        "x < y": "less",
        "x <= y": "less_equal",
        "x > y": "greater",
        "x >= y": "greater_equal",
        "x / y": "divide",
        "fmod(x, y)": "fmod",
        "logical_and(x, y)": "logical_and",
        "logical_or(x, y)": "logical_or",
        "logical_xor(x, y)": "logical_xor",
    }
    for dtype in INTEGERS:
        x = extremes(dtype)
        for text, name in operators.items():
            family.case(text, {"x": x[:, None], "y": x}, lambda m, x, y: getattr(m, name)(x, y))
        shifts = np.array([0, 1, 2, 7, 8, 31, 32, 63, 64, 100]).astype(DTYPES[dtype])
        family.case("x << y", {"x": x[:, None], "y": shifts}, lambda m, x, y: np.left_shift(x, y))
        family.case("x >> y", {"x": x[:, None], "y": shifts}, lambda m, x, y: np.right_shift(x, y))
        family.case(
            "x ** y", {"x": x[:, None], "y": np.array([0, 1, 2, 3, 13]).astype(DTYPES[dtype])}, lambda m, x, y: x**y
        )
    bits = np.array([False, True])
    for text in [
        "x + y",
        "x * y",
        "x & y",
        "x | y",
        "x ^ y",
        "maximum(x, y)",
        "x == y",
        "x < y",
        "logical_xor(x, y)",
    ]:
        family.case(text, {"x": bits[:, None], "y": bits}, lambda m, x, y: getattr(m, operators[text])(x, y))
    for text in ["x == y", "x != y", "x < y", "x <= y", "x > y", "x >= y"]:
        family.case(text, {"x": PAIR[:, None], "y": PAIR}, lambda m, x, y: getattr(m, operators[text])(x, y))
    # Comparisons across kinds are of the promoted values, as NumPy's arrays.
    big = np.array([2**53, 2**53 + 1, -1, 0, 2**62])
    family.case("x == y", {"x": big, "y": big.astype(np.float64)}, lambda m, x, y: x == y)
    family.case(
        "x < y", {"x": np.array([-1, 0, 5]), "y": np.array([1, 0, 2**63], dtype=np.uint64)}, lambda m, x, y: x < y
    )
    family.case("isclose(x, y)", {"x": PAIR[:, None], "y": PAIR * (1 + 1e-6)}, lambda m, x, y: m.isclose(x, y))
    family.case(
        "isclose(x, y, rtol=0.5, atol=0.25, equal_nan=true)",
        {"x": PAIR[:, None], "y": PAIR},
        lambda m, x, y: m.isclose(x, y, rtol=0.5, atol=0.25, equal_nan=True),
    )
    for y in [0.0, 1e-9, 1e-4]:
        family.case(
            "allclose(x, x + y)", {"x": spread("close", (3,)), "y": np.array(y)}, lambda m, x, y: m.allclose(x, x + y)
        )


def remainder_gradient(x, y, whole):
    w = weights(np.broadcast_shapes(x.shape, y.shape))
    return [sum_to(w, x.shape), sum_to(-w * whole, y.shape)]


def sum_to(value, shape):
    value = value.sum(axis=tuple(range(value.ndim - len(shape))))
    axes = tuple(axis for axis, length in enumerate(shape) if length == 1 and value.shape[axis] != 1)
    return value.sum(axis=axes, keepdims=True)


def ternary(family):
    condition = np.array([True, False, True])
    where = lambda m, c, x, y: m.where(c, x, y)
    for shapes in [((3,), (3,)), ((2, 1), (3,)), ((), (2, 3))]:
        x, y = spread(f"wx{shapes}", shapes[0]), spread(f"wy{shapes}", shapes[1])
        family.case("where(c, x, y)", {"c": condition, "x": x, "y": y}, where, grad=True)
    family.case("where(c, x, y)", {"c": condition, "x": np.int8([1, 2, 3]), "y": np.float32(0.5)}, where)
    family.case(
        "where(c, x, y)",
        {"c": condition, "x": np.array([np.nan, 1, np.inf]), "y": np.array([1.0, np.nan, 2.0])},
        where,
    )
    clip = lambda m, x, lo, hi: m.clip(x, lo, hi)
    family.case("clip(x, lo, hi)", {"x": SPECIAL, "lo": np.array(-1.0), "hi": np.array(2.0)}, clip)
    family.case("clip(x, lo, hi)", {"x": SPECIAL, "lo": np.array(np.nan), "hi": np.array(2.0)}, clip)
    # Bounds in the wrong order give the upper one.
    family.case("clip(x, lo, hi)", {"x": SPECIAL, "lo": np.array(2.0), "hi": np.array(-1.0)}, clip)
    for shapes in [((2, 3), (), ()), ((3,), (2, 1), ()), ((2, 3), (3,), (2, 1))]:
        bounds = {
            "lo": spread(f"lo{shapes}", shapes[1], -1.5, -0.5),
            "hi": spread(f"hi{shapes}", shapes[2], 0.3, 1.4),
        }
        family.case("clip(x, lo, hi)", {"x": spread(f"clip{shapes}", shapes[0]), **bounds}, clip, grad=True)
    for dtype in ["i8", "u8", "i64"]:
        family.case(
            "clip(x, lo, hi)", {"x": extremes(dtype), "lo": scalar_of(dtype, 1), "hi": scalar_of(dtype, 5)}, clip
        )


def scalar_of(dtype, value):
    return np.array(value, dtype=DTYPES[dtype])


def casts_and_promotion(family):
    for source in DTYPES:
        for target in DTYPES:
            if source == "bool":
                x = np.array([True, False])
            elif source.startswith(("i", "u")):
                x = extremes(source)
            else:
                least = 0 if target.startswith("u") else -3
                x = np.array([0.0, 0.4, 2.9, 100.5, least + 0.0, least * 0.9, -0.0], dtype=DTYPES[source])
                if target.startswith("f"):
                    x = np.append(
                        x, np.array([1e-8, 6e-8, 65519.0, 65520.0, 1e39, -1e39, 1 / 3, 2049.0, np.inf, np.nan])
                    ).astype(DTYPES[source])
                if target == "bool":
                    x = np.append(x, [np.nan, np.inf, 1e-30]).astype(DTYPES[source])
            family.case(f"cast(x, {target})", {"x": x}, lambda m, x: x.astype(DTYPES[target]))
    for left in DTYPES:
        for right in DTYPES:
            x = np.array([1, 2] if left != "bool" else [True, False], dtype=DTYPES[left])
            y = np.array([1, 3] if right != "bool" else [True, True], dtype=DTYPES[right])
            op, f = ("x * y", lambda m, x, y: x * y) if left < right else ("x + y", lambda m, x, y: x + y)
            family.case(op, {"x": x, "y": y}, f)


def families():
    exact = Family(
        "arithmetic",
        "4 of each",
        "16 of the largest",
        """
Elementwise ops of NumPy at ordinary and special points. Results of integers and bools are equal; NumPy's own
functions are within an ulp or two of the exact value, and so are ours.""",
    )
    unary(exact)
    binary(exact)
    ternary(exact)
    casts = Family(
        "dtypes",
        "0 of each",
        "0 of each",
        "Casts between all dtypes that NumPy has, and what the promotion of two gives.",
    )
    casts_and_promotion(casts)
    return [exact, casts]
