"""Writes table.txt: what expressions are whose plain evaluation loses digits, and their gradients, exactly.

Run only when asked, after a change of rows.py: pip install mpmath gmpy2 numpy; python make.py
The expressions are the language's and Python's at once: here they run over numbers of 1200 digits with exponents
without bounds. A gradient is a central difference with a step of 300 digits below the operand.
"""

import pathlib

import numpy as np
from mpmath import mp, mpf
import mpmath

from rows import ROWS

mp.dps = 1200
HERE = pathlib.Path(__file__).parent
elementwise = lambda f: lambda *x: np.frompyfunc(f, len(x), 1)(*[np.asarray(value, dtype=object) for value in x])


def log_modulus(x):
    return mp.log(x) if x != 0 else -mp.inf


def reduce(f):
    def reduced(x, axis=None, keepdims=False):
        axis = tuple(axis) if isinstance(axis, list) else axis
        return f(x, axis, keepdims)
    return reduced


def total(x, axis, keepdims):
    return np.sum(x, axis=axis, keepdims=keepdims)


def determinant(a):
    return mp.det(mp.matrix(a.tolist()))


def inverse(a):
    return np.array((mp.matrix(a.tolist()) ** -1).tolist(), dtype=object)


NAMES = {
    name: elementwise(f) for name, f in {
        "exp": mp.exp, "exp2": lambda x: mpf(2) ** x, "log": log_modulus, "log2": lambda x: mp.log(x, 2),
        "log1p": lambda x: log_modulus(1 + x), "expm1": lambda x: mp.exp(x) - 1, "sqrt": mp.sqrt,
        "square": lambda x: x * x, "reciprocal": lambda x: 1 / x, "abs": abs,
        "sigmoid": lambda x: 1 / (1 + mp.exp(-x)), "log_sigmoid": lambda x: -mp.log(1 + mp.exp(-x)),
        "softplus": lambda x: mp.log(1 + mp.exp(x)), "log1mexp": lambda x: mp.log(1 - mp.exp(x)),
        "logit": lambda x: mp.log(x / (1 - x)), "tanh": mp.tanh, "sinh": mp.sinh, "cosh": mp.cosh, "sin": mp.sin,
        "cos": mp.cos, "erf": mp.erf, "erfc": mp.erfc, "erfcx": lambda x: mp.exp(x * x) * mp.erfc(x),
        "sign": mp.sign, "digamma": mp.digamma, "polygamma": lambda n, x: mp.psi(int(n), x),
        "iv": lambda v, x: mp.besseli(v, x), "kv": lambda v, x: mp.besselk(v, x), "logaddexp": lambda x, y: mp.log(mp.exp(x) + mp.exp(y)),
        "maximum": max, "minimum": min, "xlogy": lambda x, y: x * mp.log(y),
        "where": lambda c, x, y: x if c else y,
    }.items()
}
NAMES.update({
    "sum": reduce(total),
    "mean": reduce(lambda x, axis, keepdims: total(x, axis, keepdims) / (x.size // total(x, axis, False).size if axis is not None else x.size)),
    "prod": reduce(lambda x, axis, keepdims: np.prod(x, axis=axis, keepdims=keepdims)),
    "max": reduce(lambda x, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims)),
    "argmax": lambda x, axis=None: np.argmax(x, axis=axis),
    "logsumexp": reduce(lambda x, axis, keepdims: NAMES["log"](total(NAMES["exp"](x), axis, keepdims))),
    "softmax": lambda x, axis=-1: NAMES["exp"](x) / total(NAMES["exp"](x), axis, True),
    "log_softmax": lambda x, axis=-1: x - NAMES["log"](total(NAMES["exp"](x), axis, True)),
    "argmin": lambda x, axis=None: np.argmin(x, axis=axis),
    "transpose": np.transpose, "expand_dims": np.expand_dims, "arange": np.arange, "assume": lambda x, facts: x,
    "one_hot": lambda i, n: np.array([[mpf(int(j == k)) for k in range(n)] for j in i], dtype=object),
    "det": lambda a: np.array(determinant(a), dtype=object), "inv": inverse,
    "solve": lambda a, b: inverse(a) @ b, "true": True, "false": False, "inf": mp.inf, "nan": mp.nan,
})


def value(text, inputs):
    """What the statements give."""
    names = dict(NAMES, **inputs)
    *before, last = text.split("; ")
    for statement in before:
        exec(statement, names)
    result = np.asarray(eval(last, names), dtype=object)
    return result


def derivative(text, inputs, name):
    """Of the sum of the results, in every element of an input."""
    x = inputs[name]
    result = np.empty(x.shape, dtype=object)
    for place in np.ndindex(x.shape):
        step = (abs(x[place]) or mpf(1)) * mpf(10) ** -300
        sides = []
        for side in (step, -step):
            moved = x.copy()
            moved[place] += side
            sides.append(value(text, dict(inputs, **{name: moved})).sum())
        result[place] = (sides[0] - sides[1]) / (2 * step)
    return result


def rounded(x, dtype):
    """The nearest number of a dtype, as Python writes it."""
    if isinstance(x, (bool, int, np.integer, np.bool_)):
        return str(x)
    x = mpf(x)
    if mp.isnan(x):
        return "nan"
    bits, least, most = (24, -149, 128) if dtype == "f32" else (53, -1074, 1024)
    if x == 0 or mp.isinf(x):
        return repr(float(x)).removesuffix(".0")
    mantissa, exponent = mp.frexp(abs(x))
    ulp = mpf(2) ** max(int(exponent) - bits, least)
    near = mp.nint(abs(x) / ulp) * ulp
    if near >= mpf(2) ** most:
        near = mp.inf
    return repr(float(mp.sign(x) * near)).removesuffix(".0")


def tensor(x, dtype):
    shape = ", ".join(str(length) for length in x.shape)
    elements = " ".join(rounded(element, dtype) for element in x.flat)
    return f"{dtype}[{shape}] {elements}".rstrip()


def case(name, text, inputs, dtype, given, most):
    """One block of the file."""
    lines = [f"case {name} {text}"]
    if most:
        lines.append(f"most {most}")
    operands = {}
    for key, points in inputs.items():
        points = np.asarray(points)
        if points.dtype.kind in "ib" and key in ("i", "k"):
            operands[key] = points.astype(np.int64)
            lines.append(f"{key} {tensor(operands[key], 'i64')}")
            continue
        points = points.astype(np.float32 if dtype == "f32" else np.float64).astype(np.float64)
        operands[key] = np.vectorize(mpf, otypes=[object])(points)
        lines.append(f"{key} {tensor(operands[key], dtype)}")
    if given:
        results = {key: np.vectorize(mpf, otypes=[object])(np.asarray(points, dtype=float)) for key, points in given.items()}
    else:
        results = {"=": value(text, operands)}
        if results["="].dtype.kind == "O" and not isinstance(results["="].flat[0], (int, np.integer)):
            results.update({"d" + key: derivative(text, operands, key) for key in inputs if key not in ("i", "k")})
    for key, result in results.items():
        whole = isinstance(result.flat[0], (int, np.integer))
        lines.append(f"{key} {tensor(result, 'i64' if whole else dtype)}")
    return "\n".join(lines)


def main():
    blocks = ["# Made by make.py from rows.py."]
    for row in ROWS:
        for dtype in ("f64", "f32"):
            inputs = row.get(dtype, row.get("both"))
            if inputs is not None:
                try:
                    blocks.append(case(row["row"], row["text"], inputs, dtype, row.get("given"), row.get("most")))
                except Exception as error:
                    print(row["row"], row["text"], dtype, repr(error))
    (HERE / "table.txt").write_text("\n\n".join(blocks) + "\n")


main()
