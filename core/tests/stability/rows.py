"""The expressions of table.txt, each with the points at which it is evaluated in f64 and in f32.

`given` tells results that no limit of arbitrary-precision arithmetic gives: at poles, ties and infinities.
"""

import math
import random

INF = float("inf")
NAN = float("nan")
ROWS = []


def row(name, text, both=None, given=None, most=None, **inputs):
    """`most`: how many units in the last place are allowed, and why."""
    ROWS.append({"row": name, "text": text, "both": both, "given": given, "most": most, **inputs})


def one(name, text, f64, f32, worst=(), worst32=()):
    """An expression of x alone, elementwise: at these points, between them, and where it was found to be worst."""
    draw = random.Random(f"{name} {text}")
    f64, f32 = f64 + between(f64, draw) + list(worst), f32 + between(f32, draw) + list(worst32)
    row(name, text, f64={"x": f64}, f32={"x": f32})


def between(points, draw, count=1):
    """Numbers at random between neighbours, by magnitude where that is of other orders."""
    drawn = []
    points = sorted(set(points))
    for low, high in zip(points, points[1:]):
        sign = -1 if high < 0 else 1
        near, far = sorted([abs(low), abs(high)])
        for _ in range(count):
            if low * high > 0 and far > 10 * near:
                drawn.append(sign * math.exp(draw.uniform(math.log(near), math.log(far))))
            else:
                drawn.append(draw.uniform(low, high))
    return drawn


def pairs(name, text, draw_f64, draw_f32, f64=(), f32=(), count=16, most=None, names="xyz"):
    """An expression of several numbers, at random ones and where it was found to be worst."""
    inputs = []
    for draw_one, worst in ((draw_f64, f64), (draw_f32, f32)):
        draw = random.Random(f"{name} {text}")
        drawn = list(worst) + [draw_one(draw) for _ in range(count)]
        inputs.append({key: list(values) for key, values in zip(names, zip(*drawn))})
    row(name, text, f64=inputs[0], f32=inputs[1], most=most)


def descending(draw, bound):
    """Two numbers, the exponential of the first larger; of one third their difference is near 1."""
    if draw.random() < 1 / 3:
        x = draw.uniform(0.01, min(bound, 25.0))
        return x, math.log(math.expm1(x))
    while True:
        x, y = sorted(apart(bound, bound)(draw), reverse=True)
        if x - y > 1e-3:
            return x, y


def apart(*bounds):
    """Numbers within bounds, as many as there are, of one half near one another."""
    def drawn(draw):
        first = draw.uniform(-bounds[0], bounds[0])
        if draw.random() < 0.5:
            return [first] + [draw.uniform(-bound, bound) for bound in bounds[1:]]
        return [first] + [first + draw.uniform(-1, 1) * 10 ** draw.uniform(-6, 0) for _ in bounds[1:]]
    return drawn


TINY = [1e-300, 1e-20, 1e-10, 3e-5]
TINY32 = [1e-37, 1e-20, 1e-8, 3e-4]
SMALL = [1e-300, -1e-20, 1e-10, -3e-5, 0.02, 0.3, -0.4]
SMALL32 = [1e-37, -1e-20, 1e-8, -3e-4, 0.02, 0.3, -0.4]
WIDE = [-745.2, -700.0, -300.0, -50.0, -36.7, -20.0, -3.0, -0.4, -1e-9, 1e-17, 0.3, 2.0, 18.0, 36.9, 60.0, 300.0, 705.0, 800.0, 1900.0]
WIDE32 = [-103.0, -88.0, -50.0, -16.7, -9.0, -3.0, -0.4, -1e-6, 1e-9, 0.3, 2.0, 9.0, 17.0, 40.0, 88.0, 120.0, 500.0]
NEGATIVE = [-745.0, -300.0, -40.0, -20.0, -3.0, -0.7, -0.1, -1e-8, -1e-20, -1e-300]
NEGATIVE32 = [-103.0, -88.0, -40.0, -20.0, -3.0, -0.7, -0.1, -1e-6, -1e-20, -1e-37]
POSITIVE = [-x for x in NEGATIVE]
POSITIVE32 = [-x for x in NEGATIVE32]
UNIT = [1e-300, 1e-20, 1e-5, 0.1, 0.4, 0.7, 0.99, 1 - 1e-10]
UNIT32 = [1e-37, 1e-20, 1e-5, 0.1, 0.4, 0.7, 0.99, 1 - 1e-6]

# N1
one("N1", "log(1 + x)", SMALL + [5.0, 1e300], SMALL32 + [5.0, 1e30])
one("N1", "log(x + 1)", SMALL + [5.0, 1e300], SMALL32 + [5.0, 1e30])
one("N1", "log(1 - x)", SMALL + [-5.0, -1e300], SMALL32 + [-5.0, -1e30])
one("N1", "log(0.5 + x + 0.5)", SMALL, SMALL32)
row("N1", "log(1 + x + y)", f64={"x": [1e-20, 1e-10, 0.3], "y": [1e-22, 3e-11, 0.2]}, f32={"x": [1e-20, 1e-8, 0.3], "y": [1e-22, 3e-9, 0.2]})
row("N1", "log(1 + x + y + z)", f64={"x": [1e-20, 1e-10, 0.3], "y": [1e-22, 3e-11, 0.2], "z": [1e-17, -2e-12, 5.0]},
    f32={"x": [1e-20, 1e-8, 0.3], "y": [1e-22, 3e-9, 0.2], "z": [1e-12, -2e-10, 5.0]})
row("N1", "log(1 - x - y)", f64={"x": [1e-17, 1e-10, 0.3], "y": [1e-22, 3e-11, 0.2]}, f32={"x": [1e-12, 1e-8, 0.3], "y": [1e-22, 3e-9, 0.2]})
one("N1", "log(x - -1)", SMALL + [5.0, 1e300], SMALL32 + [5.0, 1e30])
# N2
for text in ("exp(x) - 1", "-1 + exp(x)", "exp(x) + -1", "1 - exp(x)"):
    one("N2", text, SMALL + [-50.0, 2.0, 700.0], SMALL32 + [-50.0, 2.0, 85.0])
# N3
one("N3", "log1p(exp(x))", WIDE, WIDE32)
one("N3", "log(1 + exp(x))", WIDE, WIDE32)
one("N3", "log(1 + exp(-x))", WIDE, WIDE32)
# N4, N5
for text in ("log1p(-exp(x))", "log(1 - exp(x))"):
    one("N4", text, NEGATIVE, NEGATIVE32)
one("N5", "log(-expm1(x))", NEGATIVE, NEGATIVE32)
# N6
row("N6", "log(exp(x) - exp(y))", f64={"x": [800.0, 1.0, -800.0, 3.0, 5.0], "y": [799.0, 0.99, -801.0, -300.0, 4.5]},
    f32={"x": [100.0, 1.0, -120.0, 3.0, 5.0], "y": [99.0, 0.99, -121.0, -50.0, 4.5]})
pairs("N6", "log(exp(x) - exp(y))", lambda draw: descending(draw, 300.0), lambda draw: descending(draw, 40.0), f64=[(26.6, -29.72)], f32=[(26.6, -29.72)])
for text in ("log(exp(x) - 2)", "log(exp(x) + -2)"):
    one("N6", text, [0.7, 0.9, 1.09, 1.1, 3.0, 30.0, 740.0], [0.7, 0.9, 1.09, 1.1, 3.0, 30.0, 100.0])
one("N6", "log(exp(x) - exp(-50.0))", [-49.0, -40.0, -1e-3, 1e-3, 5.0, 740.0], [-49.0, -40.0, -1e-3, 1e-3, 5.0, 100.0])
one("N6", "log(2 - exp(x))", [-800.0, -1.0, -1e-3, 1e-3, 0.3, 0.6], [-100.0, -1.0, -1e-3, 1e-3, 0.3, 0.6])
one("N6", "log(0.75 - exp(x))", [-800.0, -3.0, -1.0, -0.3], [-100.0, -3.0, -1.0, -0.3])
# N7 to N10
for text in ("log(sigmoid(x))", "log(1 / (1 + exp(-x)))", "-log(1 + exp(-x))"):
    one("N7", text, WIDE, WIDE32)
# Where the product is near 1.
one("N7", "log(2 * sigmoid(x))", [-800.0, -3.0, -1e-9, 1e-17, 0.3, 40.0], [-120.0, -3.0, -1e-6, 1e-9, 0.3, 20.0])
one("N7", "log(1.5 * sigmoid(x))", [-800.0, -3.0, 0.6, 0.6931471805599453, 0.7, 40.0], [-120.0, -3.0, 0.6, 0.6931471824645996, 0.7, 20.0])
one("N7", "log(sigmoid(x) / 0.375)", [-800.0, -3.0, -0.6, -0.5108256237659907, -0.4, 40.0], [-120.0, -3.0, -0.6, -0.5108256340026855, -0.4, 20.0])
one("N7", "log(0.99999988079071044921875 * sigmoid(x))", [-800.0, -3.0, 0.7, 14.0, 17.0, 40.0], [-120.0, -3.0, 0.7, 14.0, 17.0, 20.0])
for text in ("log(1 - sigmoid(x))", "log(1 - 1 / (1 + exp(-x)))"):
    one("N8", text, WIDE, WIDE32)
one("N9", "log1p(-sigmoid(x))", WIDE, WIDE32)
one("N10", "1 - sigmoid(x)", WIDE, WIDE32)
# N11
for text in ("exp(x) / (1 + exp(x))", "3 / (1 + exp(x))", "-exp(x) / (1 + exp(x))", "2.5 * exp(x) / (exp(x) + 1)"):
    one("N11", text, WIDE, WIDE32)
row("N11", "y * exp(x) / (1 + exp(x))", f64={"x": [-600.0, 0.3, 800.0], "y": [1e200, 3.0, 1e-200]}, f32={"x": [-60.0, 0.3, 100.0], "y": [1e20, 3.0, 1e-20]})
pairs("N11", "y * exp(x) / (1 + exp(x))", apart(30.0, 30.0), apart(30.0, 30.0))
# N12
for text in ("1 / (1 + exp(x))", "reciprocal(1 + exp(-x))", "1 / (exp(-x) + 1)"):
    one("N12", text, WIDE, WIDE32)
# N13
for text in ("exp(x) * sigmoid(-x)", "exp(-x) * sigmoid(x)", "-exp(x) * sigmoid(-x)"):
    one("N13", text, WIDE, WIDE32)
row("N13", "y * exp(x) * z * sigmoid(-x)", f64={"x": [-300.0, 0.5, 800.0], "y": [3.0, 2.0, 0.5], "z": [0.1, 7.0, 3.0]},
    f32={"x": [-50.0, 0.5, 100.0], "y": [3.0, 2.0, 0.5], "z": [0.1, 7.0, 3.0]})
# N14
for text in ("sigmoid(log(x / (1 - x)))", "sigmoid(logit(x))", "sigmoid(log(x) - log(1 - x))"):
    one("N14", text, UNIT, UNIT32)
# N15
one("N15", "sigmoid(x) / (1 - sigmoid(x))", [x for x in WIDE if abs(x) < 706], [x for x in WIDE32 if abs(x) < 87])
one("N15", "(1 - sigmoid(x)) / sigmoid(x)", [x for x in WIDE if abs(x) < 706], [x for x in WIDE32 if abs(x) < 87])
one("N15", "log(sigmoid(x) / (1 - sigmoid(x)))", WIDE, WIDE32)
# N16
row("N16", "log(exp(x) + exp(y))", f64={"x": [800.0, -800.0, 1.0, 0.5, -3.0], "y": [799.0, -805.0, 300.0, 0.5, -3.5]},
    f32={"x": [100.0, -120.0, 1.0, 0.5, -3.0], "y": [99.0, -125.0, 60.0, 0.5, -3.5]})
row("N16", "log(exp(x) + exp(y) + exp(z))", f64={"x": [800.0, -800.0, 1.0], "y": [799.0, -805.0, 300.0], "z": [801.0, -801.0, 2.0]},
    f32={"x": [100.0, -120.0, 1.0], "y": [99.0, -125.0, 60.0], "z": [101.0, -121.0, 2.0]})
pairs("N16", "log(exp(x) + exp(y))", apart(30.0, 30.0), apart(30.0, 30.0), f64=[(-29.72, 26.596)], f32=[(-29.72, 26.596)])
pairs("N16", "log(exp(x) + exp(y) + exp(z))", apart(30.0, 30.0, 30.0), apart(30.0, 30.0, 30.0), f64=[(-29.72, 26.596, 3.3), (-2.086434623073809, -0.3234564766558598, -1.8823782914453575)],
    f32=[(-29.72, 26.596, 3.3), (-2.0864346230738096, -0.3234564766558598, -1.8823782914453575)])
# N17
ROWSOF = [[1000.0, 999.0, 990.0], [-1000.0, -1001.0, -1003.0], [0.5, -0.25, 3.0]]
ROWSOF32 = [[200.0, 199.0, 190.0], [-200.0, -201.0, -203.0], [0.5, -0.25, 3.0]]
for text in ("log(sum(exp(x), axis=1))", "log(sum(exp(x), axis=-1, keepdims=true))", "log(sum(exp(x), axis=0))", "log(sum(exp(x)))"):
    row("N17", text, f64={"x": ROWSOF}, f32={"x": ROWSOF32})
# Where the sum of exponentials is near 1.
NEAR_ONE = [[math.log(0.2), math.log(0.3), math.log(0.5)], [-3.5, -1.2, math.log(1 - math.exp(-3.5) - math.exp(-1.2))], [-1e-9, -21.0, -22.5]]
row("N17", "log(sum(exp(x), axis=1))", both={"x": NEAR_ONE})
for text in ("log(mean(exp(x), axis=1))", "log(mean(exp(x), axis=0, keepdims=true))", "log(mean(exp(x)))"):
    row("N17", text, f64={"x": ROWSOF}, f32={"x": ROWSOF32})
NEAR_ZERO = [[1e-10, 3e-10, 2e-10], [-1e-20, -1e-22, -5e-21], [0.3, 0.4, 0.45]]
row("N17", "log(mean(exp(x), axis=1))", both={"x": NEAR_ZERO})
row("N17", "log(sum(exp(x)))", both={"x": [-INF, -INF]}, given={"=": -INF, "dx": [0, 0]})
# N18 to N22: weighted, as the sum of a softmax has no gradient.
WEIGHTS = [[0.5, 3.0, -1.0], [2.0, 0.25, 1.0], [-3.0, 1.5, 0.75]]
# Rows of which one element is nearly all: its gradient is what the others have.
PEAKS = [[40.0, 0.0, -3.0], [-1.0, 30.3, 2.0], [20.7, -16.3, 3.1]]
PEAKS32 = [[17.0, 0.0, -3.0], [-1.0, 18.3, 2.0], [20.7, -6.3, 3.1]]
FIRST = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
for name, text in (
    ("N18", "exp(x) / sum(exp(x), axis=-1, keepdims=true) * w"),
    ("N18", "exp(x) / sum(exp(x), keepdims=true) * w"),
    ("N18", "exp(x) / sum(exp(x), axis=[0, 1], keepdims=true) * w"),
    ("N18", "exp(x) / sum(exp(x), axis=1)[:, None] * w"),
    ("N18", "exp(x) / expand_dims(sum(exp(x), axis=1), axis=1) * w"),
    ("N18", "exp(x) / sum(exp(x), axis=0) * w"),
    ("N18", "exp(x) / sum(exp(x)) * w"),
    ("N18", "transpose(transpose(exp(x)) / sum(exp(x), axis=1)) * w"),
    ("N19", "log(softmax(x, axis=-1)) * w"),
    ("N19", "log(exp(x) / sum(exp(x), axis=1, keepdims=true)) * w"),
    ("N19", "log(exp(x) / sum(exp(x), axis=1)[:, None]) * w"),
    ("N19", "log(exp(x) / sum(exp(x))) * w"),
    ("N19", "log(exp(x) / sum(exp(x), keepdims=true)) * w"),
    ("N19", "log(exp(x) / sum(exp(x), axis=[0, 1], keepdims=true)) * w"),
    ("N19", "log(softmax(x, axis=-1)[1:]) * w[1:]"),
    ("N19", "log(transpose(softmax(x, axis=-1))) * transpose(w)"),
    ("N21", "exp(log_softmax(x, axis=-1)) * w"),
    ("N22", "(x - logsumexp(x, axis=-1, keepdims=true)) * w"),
    ("N22", "(x - log(sum(exp(x), axis=-1, keepdims=true))) * w"),
    ("N22", "(x - logsumexp(x, axis=1)[:, None]) * w"),
    ("N22", "(x - logsumexp(x, axis=0)) * w"),
    ("N22", "(x - logsumexp(x, axis=[0, 1], keepdims=true)) * w"),
    ("N22", "(x - log(sum(exp(x)))) * w"),
    ("N22", "transpose(transpose(x) - logsumexp(x, axis=1)) * w"),
):
    most = "8 its gradient is a difference to a weighted mean" if text.startswith(("exp", "transpose(transpose(exp")) else None
    row(name, text, f64={"x": ROWSOF, "w": WEIGHTS}, f32={"x": ROWSOF32, "w": WEIGHTS}, most=most)
    row(name, text, f64={"x": PEAKS, "w": FIRST}, f32={"x": PEAKS32, "w": FIRST}, most=most)
    draw = random.Random(f"{name} {text}")
    # Of one element, as its gradient then is no difference of what the dtype has rounded.
    scores = [[draw.uniform(-9, 9) for _ in range(3)] for _ in range(3)]
    weights = [[0.0, 0.0, 0.0], [0.0, draw.uniform(-9, 9), 0.0], [0.0, 0.0, 0.0]]
    row(name, text, both={"x": scores, "w": weights}, most=most)
# N23 to N28
LOSSES = (
    ("N23", "-log(softmax(x + b, axis=-1)[arange(3), i])"),
    ("N23", "-sum(one_hot(i, 3) * log(softmax(x, axis=-1)), axis=1)"),
    ("N25", "-log(softmax(x, axis=-1))[arange(3), i]"),
    ("N25", "-mean(log(softmax(x, axis=-1)[arange(3), i]))"),
    ("N25", "-mean(log(exp(x) / sum(exp(x), axis=1, keepdims=true))[arange(3), i])"),
)
for points, points32, labels in ((ROWSOF, ROWSOF32, [2, 1, 0]), (PEAKS, PEAKS32, [0, 1, 2])):
    for name, text in LOSSES:
        extra = {"b": [0.5, -0.5, 0.25]} if "b" in text.replace("sub", "") else {}
        most = "8 a sum over rows of differences" if extra else None
        row(name, text, f64={"x": points, **extra, "i": labels}, f32={"x": points32, **extra, "i": labels}, most=most)
# A vector, and several axes of more.
row("N18", "exp(x) / sum(exp(x), keepdims=true) * w", both={"x": [800.0, 801.0], "w": [1.0, 0.0]})
row("N19", "log(exp(x) / sum(exp(x), keepdims=true)) * w", both={"x": [800.0, 801.0], "w": [1.0, 0.0]})
BLOCK = [[[800.0, 801.5], [799.0, 803.0]], [[0.3, -2.0], [1.7, 5.0]]]
BLOCK_WEIGHTS = [[[1.0, 0.0], [0.5, -2.0]], [[0.0, 1.0], [3.0, 0.25]]]
for axes in ("[1, 2]", "[0, 2]", "[2, 0]"):
    row("N18", f"exp(x) / sum(exp(x), axis={axes}, keepdims=true) * w", both={"x": BLOCK, "w": BLOCK_WEIGHTS})
# N29
for function in ("softmax(x, axis=-1)", "exp(x)", "sigmoid(x)", "tanh(x)"):
    row("N29", f"argmax({function}, axis=-1)", f64={"x": [[1.0, 3.0, 2.0], [-2.0, -1.0, -3.0]]}, f32={"x": [[1.0, 3.0, 2.0], [-2.0, -1.0, -3.0]]})
# Where the functions themselves are rounded to one number.
for function in ("exp(x)", "expm1(x)", "sigmoid(x)", "tanh(x)", "softplus(x)", "log_sigmoid(x)"):
    for place in ("argmax", "argmin"):
        row("N29", f"{place}({function}, axis=-1)", f64={"x": [[20.0, 40.0, 30.0], [-800.0, -810.0, -790.0], [800.0, 790.0, 810.0]]},
            f32={"x": [[20.0, 40.0, 30.0], [-150.0, -160.0, -140.0], [100.0, 90.0, 110.0]]})
# N30, N31
ERF = [-6.0, -3.0, -0.5, -1e-10, 1e-10, 0.5, 2.0, 4.0, 6.0, 10.0, 20.0, 26.0]
ERF32 = [-4.0, -3.0, -0.5, -1e-10, 1e-10, 0.5, 2.0, 4.0, 6.0, 9.0]
for text in ("1 - erf(x)", "erf(x) - 1", "-1 + erf(x)"):
    one("N30", text, ERF, ERF32, worst=[15.6291], worst32=[8.1045])
one("N30", "1 + erf(x)", [-x for x in ERF], [-x for x in ERF32], worst=[-15.6291], worst32=[-8.1045])
for text in ("1 - erfc(x)", "erfc(x) - 1", "-1 + erfc(-x)"):
    one("N31", text, SMALL + [2.0, -2.0], SMALL32 + [2.0, -2.0])
# N32, N33
one("N32", "log(erfc(x))", [-6.0, -1.0, -1e-10, 0.3, 1.0, 5.0, 20.0, 26.0, 27.0, 40.0, 1e5], [-4.0, -1.0, -1e-6, 0.3, 1.0, 5.0, 8.0, 10.0, 15.0, 1e5],
    worst=[26.3534], worst32=[9.098])
for text in ("exp(-(x**2)) / erfc(x)", "exp(-square(x)) / erfc(x)", "3 * exp(-x * x) / erfc(x)"):
    one("N33", text, [-26.6, -18.8, -5.0, -1.0, 0.3, 1.6, 5.0, 20.0, 26.6, 30.0, 1e5, 1e12], [-9.3, -7.0, -3.0, -1.0, 0.3, 1.6, 5.0, 9.0, 10.0, 30.0, 1e5, 1e12],
        worst=[-22.35, -25.9], worst32=[-7.98, -9.2])
# N34
for text in ("log(prod(abs(x)))", "log(abs(prod(x)))", "log(prod(square(x)))", "log(prod(x**2))"):
    row("N34", text, f64={"x": [1e-200, -1e-200, 3.0, 1e-30]}, f32={"x": [1e-30, -1e-30, 3.0, 1e-10]})
row("N34", 'log(prod(assume(x, "positive")))', f64={"x": [1e-200, 2e-200, 3.0, 1e-30]}, f32={"x": [1e-30, 2e-30, 3.0, 1e-10]})
row("N34", "log(prod(exp(x)))", f64={"x": [800.0, -1.5, 300.0]}, f32={"x": [80.0, -1.5, 60.0]})
# N35
MATRIX = [[3e-150, 1e-150, 0.0], [1e-150, 2e-150, 1e-150], [0.5e-150, 0.0, 4e-150]]
MATRIX32 = [[3e-20, 1e-20, 0.0], [1e-20, 2e-20, 1e-20], [0.5e-20, 0.0, 4e-20]]
for text in ("log(abs(det(x)))", "log(det(x))"):
    row("N35", text, f64={"x": MATRIX}, f32={"x": MATRIX32})
# N36, N37
one("N36", "log(exp(x))", WIDE, WIDE32)
one("N36", "log1p(expm1(x))", WIDE, WIDE32)
one("N36", "exp(softplus(x))", [-40.0, -1.0, 0.5, 30.0, 700.0], [-20.0, -1.0, 0.5, 30.0, 85.0])
one("N36", "expm1(softplus(x))", [-700.0, -40.0, -1.0, 0.5, 30.0, 700.0], [-85.0, -20.0, -1.0, 0.5, 30.0, 85.0])
one("N37", "exp(log(x))", POSITIVE, POSITIVE32)
one("N37", "exp(log1p(x))", SMALL + [5.0], SMALL32 + [5.0])
one("N37", "expm1(log(x))", [0.3, 0.999999, 1.0000001, 5.0, 1e200], [0.3, 0.9999, 1.001, 5.0, 1e20])
one("N37", "expm1(log1p(x))", SMALL + [5.0], SMALL32 + [5.0])
one("N37", "exp(log1mexp(x))", NEGATIVE, NEGATIVE32)
one("N37", "expm1(log1mexp(x))", [x for x in NEGATIVE if x > -700], [x for x in NEGATIVE32 if x > -80])
one("N37", "softplus(log(x))", [1e-300, 1e-20, 0.1, 0.7, 5.0, 1e200], [1e-37, 1e-20, 0.1, 0.7, 5.0, 1e20])
one("N37", "log1mexp(log(x))", UNIT, UNIT32)
one("N37", "log1mexp(log1mexp(x))", NEGATIVE, NEGATIVE32)
for text in ("exp(log(x))", "softplus(log(x))"):
    row("N37", text, both={"x": [-1.0]}, given={"=": [NAN]})
# N38
for text in ("sqrt(x**2)", "sqrt(square(x))"):
    one("N38", text, [-1e-200, 1e-200, 1e200, -3.0], [-1e-30, 1e-30, 1e30, -3.0])
    row("N38", text, both={"x": [0.0]}, given={"=": [0], "dx": [0]})
one("N38", "square(sqrt(x))", POSITIVE, POSITIVE32)
row("N38", "square(sqrt(x))", both={"x": [-1.0]}, given={"=": [NAN]})
# N39
one("N39", "log(sqrt(x))", [1e-300, 0.5, 0.999999, 1.000001, 3.0, 1e300], [1e-37, 0.5, 0.9999, 1.0001, 3.0, 1e37])
for text in ("log(x**3)", "log(x**2)"):
    one("N39", text, [1e-200, 0.5, 0.999999, 3.0, 1e200], [1e-30, 0.5, 0.9999, 3.0, 1e30])
one("N39", "log(1 / x)", [1e-300, 0.5, 0.9999999, 1.0000001, 3.0, 1e300], [1e-37, 0.5, 0.9999, 1.0001, 3.0, 1e37])
one("N39", "log(x / 3)", [1e-300, 0.5, 3.0000003, 7.0, 1e300], [1e-37, 0.5, 3.001, 7.0, 1e30])
one("N39", "log(3 / x)", [1e-300, 0.5, 2.999, 3.0000003, 7.0, 1e300], [1e-37, 0.5, 2.99, 3.001, 7.0, 1e30], worst=[3.02023], worst32=[3.02023])
one("N39", "log(x * 3)", [1e-300, 0.3333, 0.33334, 7.0, 1e300], [1e-37, 0.333, 0.334, 7.0, 1e30])
one("N39", "log(x**2.5)", [1e-200, 0.5, 0.999999, 3.0, 1e200], [1e-30, 0.5, 0.9999, 3.0, 1e30])
one("N39", "log(exp(x) / 3)", [-1000.0, -745.0, -30.0, -1.0, 0.3, 1.0986, 2.0, 700.0, 709.7, 1000.0], [-200.0, -103.0, -30.0, -1.0, 0.3, 1.0986, 2.0, 80.0, 88.7, 200.0],
    worst=[1.0866], worst32=[1.0866])
one("N39", "log(exp(x) * 3)", [-1000.0, -745.0, -30.0, -2.0, -1.0986, 0.3, 2.0, 700.0, 709.7, 1000.0], [-200.0, -103.0, -30.0, -2.0, -1.0986, 0.3, 2.0, 80.0, 88.7, 200.0])
for text in ("log(0.5 * erfc(x))", "log(erfc(x) / 2)"):
    one("N39", text, [-20.0, -6.0, -1.0, -1e-10, 0.3, 1.0, 5.0, 20.0, 26.0, 27.0, 40.0, 1e5], [-9.0, -4.0, -1.0, -1e-6, 0.3, 1.0, 5.0, 8.0, 10.0, 15.0, 1e5])
one("N39", "log(0.5 * (1 + erf(x)))", [20.0, 6.0, 1.0, 1e-10, -0.3, -1.0, -5.0, -20.0, -26.0, -27.0, -40.0], [9.0, 4.0, 1.0, 1e-6, -0.3, -1.0, -5.0, -8.0, -10.0, -15.0])
one("N39", "log(0.25 * sigmoid(x))", [-1000.0, -745.0, -30.0, -1.0, 0.3, 40.0], [-200.0, -103.0, -30.0, -1.0, 0.3, 40.0])
row("N39", "log(exp(x) / exp(y))", f64={"x": [800.0, -800.0, 1.0, 30.0], "y": [799.0, -805.0, 1.25, -3.0]},
    f32={"x": [100.0, -120.0, 1.0, 30.0], "y": [99.0, -125.0, 1.25, -3.0]})
# N40
one("N40", "log(iv(2, x))", [1e-300, 1e-3, 0.5, 2.2, 2.295550628095229, 2.2955506280952296, 2.4, 30.0, 700.0, 720.0, 1e4],
    [1e-37, 1e-3, 0.5, 2.2, 2.2955503463745117, 2.295550584793091, 2.4, 30.0, 80.0, 100.0, 1e4])
one("N40", "log(kv(1.5, x))", [1e-300, 1e-3, 0.5, 0.95, 0.9599848061995534, 0.9599848061995535, 0.97, 30.0, 700.0, 760.0, 1e4],
    [1e-37, 1e-3, 0.5, 0.95, 0.9599847197532654, 0.9599847793579102, 0.97, 30.0, 80.0, 110.0, 1e4])
# N41
for text, result, gradient in (
    ("where(x > 0, log(x), 0)", [0, 0.0], [0, 1]),
    ("where(x > 0, x * log(x), 0)", [0, 0.0], [0, 1]),
    ("where(x > 0, sqrt(x), 0) * 3", [0, 3.0], [0, 1.5]),
    ("2 * where(x > 0, 1 / x, 0) * x", [0, 2.0], [0, 0]),
    ("where(x > 0, 1 / x, 0) / 0.5", [0, 2.0], [0, -2]),
):
    row("N41", text, both={"x": [0.0, 1.0]}, given={"=": result, "dx": gradient})
# N42
row("N42", "(a / x + b / y) * x * y", f64={"a": [2.0, 3.0], "b": [1.0, 0.5], "x": [3.0, 1e-3], "y": [7.0, 1e3]},
    f32={"a": [2.0, 3.0], "b": [1.0, 0.5], "x": [3.0, 1e-3], "y": [7.0, 1e3]})
# N43, N44: nothing is hidden.
for text, points, result in (
    ("x / x", [0.0, INF, 3.0], [NAN, NAN, 1]),
    ("x * 0", [INF, NAN, 3.0], [NAN, NAN, 0]),
    ("x - x", [INF, NAN, 3.0], [NAN, NAN, 0]),
    ("0 / x", [0.0, NAN, 3.0], [NAN, NAN, 0]),
    ("x ** 0", [0.0, NAN, 3.0], [1, 1, 1]),
    ("1 ** x", [0.0, NAN, 3.0], [1, 1, 1]),
    ("x / abs(x)", [0.0, -3.0, INF], [NAN, -1, NAN]),
    ("(x + 1) - x", [INF, 1.0], [NAN, 1]),
):
    row("N43" if "*" not in text or "* 0" in text else "N44", text, both={"x": points}, given={"=": result})
# N45
A = [[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 5.0]]
B = [1.0, 2.0, 3.0]
SUMS = "8 sums of three products, each of them rounded"
row("N45", "inv(x) @ y", both={"x": A, "y": B}, most=SUMS)
row("N45", "solve(inv(x), y)", both={"x": A, "y": B}, most=SUMS)
# N46
row("N46", "sum(x * 3)", f64={"x": [1e-300, 2e-300]}, f32={"x": [1e-37, 2e-37]})
row("N46", "mean(x / 3)", f64={"x": [1e300, 1.5e300]}, f32={"x": [1e37, 1.5e37]})
# N47
one("N47", "polygamma(0, x)", [0.1, 1.2, 5.0, 1e5], [0.1, 1.2, 5.0, 1e5])
one("N47", "polygamma(1, x)", [0.1, 1.2, 5.0, 1e5], [0.1, 1.2, 5.0, 1e5])
# N48
for text in ("1 - tanh(x)**2", "1 - square(tanh(x))", "1 - tanh(x) * tanh(x)"):
    one("N48", text, [-300.0, -20.0, -0.3, 1e-9, 0.7, 3.0, 20.0, 350.0], [-40.0, -10.0, -0.3, 1e-5, 0.7, 3.0, 9.0, 40.0])
one("N48", "log(exp(x) - 1)", [1e-300, 1e-10, 0.3, 0.69, 3.0, 40.0, 800.0], [1e-37, 1e-6, 0.3, 0.69, 3.0, 40.0, 120.0])
row("N48", "sqrt(sum(x**2))", f64={"x": [3e-200, 4e-200]}, f32={"x": [3e-30, 4e-30]})
row("N48", "sqrt(sum(x**2))", f64={"x": [3e200, -4e200]}, f32={"x": [3e30, -4e30]})
row("N48", "sqrt(sum(x**2))", both={"x": [0.0, 0.0]}, given={"=": 0, "dx": [0, 0]})
row("N48", "sqrt(sum(square(x), axis=1))", f64={"x": [[3e-200, 4e-200], [3.0, 4.5]]}, f32={"x": [[3e-30, 4e-30], [3.0, 4.5]]})
row("N48", "x * log(x)", both={"x": [0.0]}, given={"=": [0], "dx": [-INF]})
one("N48", "x * log(x)", [1e-300, 0.1, 0.3678, 0.368, 0.5, 0.999, 3.0], [1e-37, 0.1, 0.3678, 0.368, 0.5, 0.999, 3.0], worst=[0.36692497], worst32=[0.36692497])
row("N48", "exp(x) - exp(y)", f64={"x": [1.0, 30.0, 1e-10, 3.0, -5.0], "y": [1.0000001, 29.999999, 2e-10, -4.0, 2.0]},
    f32={"x": [1.0, 30.0, 1e-5, 3.0, -5.0], "y": [1.001, 29.999, 2e-5, -4.0, 2.0]})
pairs("N48", "exp(x) - exp(y)", apart(30.0, 30.0), apart(30.0, 30.0))
for text in ("1 - cos(x)", "cos(x) - 1"):
    one("N48", text, [1e-100, 1e-9, 1e-3, 0.5, 2.0, 3.0], [1e-15, 1e-5, 1e-2, 0.5, 2.0, 3.0])
one("N48", "log(cosh(x))", [1e-100, 1e-9, 0.3, 1.0, 5.0, 19.0, 30.0, 800.0, -800.0], [1e-15, 1e-5, 0.3, 1.0, 5.0, 19.0, 30.0, 200.0, -200.0])
row("N48", "sqrt(x**2 + y**2)", f64={"x": [3e-200, 3e200, 1.0], "y": [4e-200, 4e200, 2.0]}, f32={"x": [3e-30, 3e30, 1.0], "y": [4e-30, 4e30, 2.0]})
pairs("N48", "sqrt(x**2 + y**2)", apart(30.0, 30.0), apart(30.0, 30.0))
row("N48", "sqrt(x**2 + y**2)", both={"x": [0.0], "y": [0.0]}, given={"=": [0], "dx": [0], "dy": [0]})
row("N48", "mean(x**2) - mean(x)**2", f64={"x": [1e8, 1e8 + 1, 1e8 + 3]}, f32={"x": [10000.0, 10001.0, 10003.0]})
row("N48", "mean(x**2, axis=1) - mean(x, axis=1)**2", f64={"x": [[1e8, 1e8 + 1], [1.0, 2.5]]}, f32={"x": [[10000.0, 10001.0], [1.0, 2.5]]})
one("N48", "log(1 + x) - x", [1e-100, 1e-9, -1e-5, 0.01, -0.3, 0.5, 3.0], [1e-15, 1e-5, -1e-3, 0.01, -0.3, 0.5, 3.0])
row("N48", "logaddexp(log(sum(exp(x), axis=1, keepdims=true)), y)", f64={"x": ROWSOF, "y": [[999.0], [-1000.0], [3.0]]},
    f32={"x": ROWSOF32, "y": [[199.0], [-200.0], [3.0]]})
# Known gradient weaknesses of others.
row("weakness", "exp(x) / sum(exp(x))", f64={"x": [0.0, 1000.0]}, given={"=": [0, 1], "dx": [0, 0]})
row("weakness", "exp(x) / sum(exp(x), axis=1)[:, None]", both={"x": [[0.0, 1000.0], [1.0, 1000.0]]}, given={"=": [[0, 1], [0, 1]], "dx": [[0, 0], [0, 0]]})
row("weakness", "log(exp(x) / sum(exp(x)))", f64={"x": [0.0, 1000.0]}, given={"=": [-1000, 0], "dx": [1, -1]})
row("weakness", "log(exp(x) + exp(x + 1))", both={"x": [-INF]}, given={"=": [-INF], "dx": [1]})
one("weakness", "sigmoid(x) / (1 - sigmoid(x))", [50.0], [50.0])
row("weakness", "add_at(zeros_like(x)[0:], y)", both={"x": [1.0, 2.0, 4.0], "y": [3.0]}, given={"=": [3, 3, 3], "dy": [3]})
row("weakness", "max(x)", both={"x": [1.0, 1.0]}, given={"=": 1, "dx": [0.5, 0.5]})
