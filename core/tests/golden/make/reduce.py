"""Reductions, running sums and statistics."""

import numpy as np

from case import DTYPES, Family, spread

AXES = {"none": None, "0": 0, "-1": -1, "[0, 1]": (0, 1), "[-1, 0]": (-1, 0), "[]": ()}


def axis_text(name):
    return "" if name == "none" else f", axis={name}"


def reductions(family):
    ops = {"sum": "sum", "prod": "prod", "mean": "mean", "max": "max", "min": "min", "var": "var", "std": "std"}
    for op, name in ops.items():
        for shape in [(2, 3), (2, 3, 2), (1, 4), (5,), ()]:
            for axis, value in AXES.items():
                if (
                    isinstance(value, tuple)
                    and len(value) > len(shape)
                    or value is not None
                    and shape == ()
                    and value != ()
                ):
                    continue
                if (
                    axis == "[]"
                    and (op == "std" or shape not in ((2, 3), ()))
                    or shape == (1, 4)
                    and op == "std"
                    and value == 0
                    or shape == ()
                    and op == "std"
                ):
                    continue
                keep = (len(shape) + len(axis)) % 2 == 0
                text = f"{op}(x{axis_text(axis)}{', keepdims=true' if keep else ''})"
                f = lambda m, x: getattr(m, name)(x, axis=value, keepdims=keep)
                family.case(text, {"x": spread(text + str(shape), shape)}, f, grad=True)
        if op not in ("max", "min"):
            for shape, axis in [((0,), None), ((0, 3), 0), ((3, 0), 0), ((2, 0), 1)]:
                family.case(
                    f"{op}(x{'' if axis is None else f', axis={axis}'})",
                    {"x": np.zeros(shape)},
                    lambda m, x: getattr(m, name)(x, axis=axis),
                )
        else:
            family.case(f"{op}(x, axis=0)", {"x": np.zeros((3, 0))}, lambda m, x: getattr(m, name)(x, axis=0))
        special = np.array([[1.0, np.nan, 2.0], [np.inf, -np.inf, 1.0], [-0.0, 0.0, -0.0], [np.inf, 1.0, 2.0]])
        if op not in ("var", "std"):
            family.case(
                f"{op}(x, axis=1)",
                {"x": special[:, :2] if op in ("max", "min") else special},
                lambda m, x: getattr(m, name)(x, axis=1),
            )
    for op in ["var", "std"]:
        for ddof in [1, 2, 5, 0.5]:
            family.case(
                f"{op}(x, axis=1, ddof={ddof})",
                {"x": spread(f"{op}{ddof}", (3, 5))},
                lambda m, x: getattr(m, op)(x, axis=1, ddof=ddof),
                grad=True if ddof < 5 else None,
            )
        # Far from 0 one pass would lose all digits.
        family.case(
            f"{op}(x)", {"x": 1e9 + spread(op, (6,))}, lambda m, x: getattr(m, op)(x), tolerance="100 of each"
        )
    # Where factors are 0, and where the largest is not alone.
    for x in [[2.0, 0.0, 3.0], [0.0, 5.0, 0.0], [-1.5, 2.0, -0.5]]:
        family.case("prod(x)", {"x": np.array(x)}, lambda m, x: m.prod(x), grad=lambda x: [product_gradient(x)])
    for op in ["max", "min"]:
        family.case(
            f"{op}(x, axis=1)",
            {"x": np.array([[2.0, 1.0, 2.0], [1.0, 1.0, 1.0]])},
            lambda m, x: getattr(m, op)(x, axis=1),
            grad=True,
        )
    integers = ["bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"]
    for op in [
        "sum",
        "prod",
        "mean",
        "max",
        "min",
        "var",
        "argmax",
        "argmin",
        "all",
        "any",
        "count_nonzero",
        "ptp",
        "cumsum",
        "cumprod",
    ]:
        for dtype in integers + ["f32", "f16"]:
            if dtype == "bool" and op == "ptp" or dtype == "f16" and op in ("var", "prod", "cumprod"):
                continue
            low = 0 if dtype.startswith("u") else -3
            x = spread(op + dtype, (3, 4), low, 5, dtype) if dtype != "f16" else np.float16([[1, 2, 3], [0.5, 4, -2]])
            if dtype == "f32":
                x = np.round(x * 4) / np.float32(4)
            name = op
            family.case(f"{op}(x, axis=0)", {"x": x}, lambda m, x: getattr(m, name)(x, axis=0))
            if dtype[0] in "iu" and op in ("sum", "prod", "max", "min", "argmax"):
                limits = np.iinfo(DTYPES[dtype])
                family.case(
                    f"{op}(x)",
                    {"x": np.array([limits.max, limits.min, limits.max, 3], dtype=DTYPES[dtype])},
                    lambda m, x: getattr(m, name)(x),
                )
    for dtype in ["i8", "i32", "f32", "f64"]:
        for op in ["sum", "prod", "cumsum"]:
            family.case(
                f"{op}(x, dtype={dtype})",
                {"x": np.array([100, 50, 3], dtype=np.int16)},
                lambda m, x: getattr(m, op)(x, dtype=DTYPES[dtype]),
            )
    logsumexp = lambda axis, keep: (
        lambda m, x: (sp if m.__class__.__name__ == "NumPy" else jsp).logsumexp(x, axis=axis, keepdims=keep)
    )
    import jax.scipy.special as jsp
    import scipy.special as sp

    for shape in [(2, 3), (2, 3, 2), (4,)]:
        for axis, keep in [(None, False), (0, True), (-1, False), ((0, -1), True)]:
            if isinstance(axis, tuple) and len(shape) == 1:
                continue
            text = "" if axis is None else f", axis={list(axis) if isinstance(axis, tuple) else axis}"
            family.case(
                f"logsumexp(x{text}{', keepdims=true' if keep else ''})",
                {"x": spread(f"lse{shape}{axis}", shape, -30, 30)},
                logsumexp(axis, keep),
                grad=True,
            )
    family.case(
        "logsumexp(x, axis=1)",
        {"x": np.array([[1e3, 1e3], [-1e3, -1e3], [np.inf, 1], [-np.inf, -np.inf], [np.nan, 1], [np.inf, -np.inf]])},
        logsumexp(1, False),
    )
    for op in ["argmax", "argmin"]:
        x = np.array(
            [
                [2.0, 1.0, 2.0, 1.0],
                [np.nan, 5.0, np.nan, -1.0],
                [-0.0, 0.0, 0.0, -0.0],
                [np.inf, -np.inf, np.inf, 0.0],
            ]
        )
        for axis, keep in [(None, False), (0, False), (1, True), (-2, False)]:
            text = f"{op}(x{'' if axis is None else f', axis={axis}'}{', keepdims=true' if keep else ''})"
            family.case(text, {"x": x}, lambda m, x: getattr(m, op)(x, axis=axis, keepdims=keep))
    for op in ["all", "any", "count_nonzero"]:
        for axis, value in AXES.items():
            for dtype in ["bool", "f64"]:
                family.case(
                    f"{op}(x{axis_text(axis)})",
                    {"x": spread(op + axis, (2, 3), 0, 1, "bool").astype(DTYPES[dtype])},
                    lambda m, x: getattr(m, op)(x, axis=value),
                )
        family.case(f"{op}(x)", {"x": np.zeros((0, 2))}, lambda m, x: getattr(m, op)(x))
        family.case(f"{op}(x)", {"x": np.array([np.nan, -0.0])}, lambda m, x: getattr(m, op)(x))
    for shape, axis in [((4,), None), ((2, 3), 0), ((2, 3), 1)]:
        family.case(
            f"ptp(x{'' if axis is None else f', axis={axis}'})",
            {"x": spread(f"ptp{shape}", shape)},
            lambda m, x: m.ptp(x, axis=axis),
            grad=True,
        )
        family.case(
            f"max_and_argmax(x{'' if axis is None else f', axis={axis}'})".join(["v, i = ", "; v, i"]),
            {"x": spread(f"maa{shape}", shape)},
            lambda m, x: (m.max(x, axis=axis), m.argmax(x, axis=axis)),
        )
    gaps = np.array([[1.0, np.nan, 2.0], [np.nan, np.nan, 3.5], [-1.0, 0.5, 4.0]])
    for op in ["nansum", "nanprod", "nanmean", "nanmax", "nanmin", "nanvar", "nanstd"]:
        for axis in [None, 0, 1]:
            text = f"{op}(x{'' if axis is None else f', axis={axis}'})"
            # JAX's derivative of nanprod is not exact, nor that of nanstd of one element.
            family.case(
                text,
                {"x": gaps if axis != 1 else gaps[[0, 2]]},
                lambda m, x: getattr(m, op)(x, axis=axis),
                grad=True if op in ("nansum", "nanmean", "nanmax", "nanmin") else None,
            )
        family.case(
            f"{op}(x, axis=1)",
            {"x": np.array([[np.nan, np.nan], [1.0, np.nan]])},
            lambda m, x: getattr(m, op)(x, axis=1),
        )


def product_gradient(x):
    from case import weights

    return np.array([np.prod(np.delete(x, place)) for place in range(len(x))]) * weights(())


def running(family):
    for op in ["cumsum", "cumprod"]:
        for shape, axis in [
            ((5,), None),
            ((2, 3), None),
            ((2, 3), 0),
            ((2, 3), 1),
            ((2, 3, 2), -2),
            ((), None),
            ((3, 1), 1),
        ]:
            text = f"{op}(x{'' if axis is None else f', axis={axis}'})"
            family.case(
                text, {"x": spread(f"{op}{shape}{axis}", shape)}, lambda m, x: getattr(m, op)(x, axis=axis), grad=True
            )
        family.case(f"{op}(x)", {"x": np.array([1.0, np.inf, 0.0, np.nan, 2.0])}, lambda m, x: getattr(m, op)(x))
        family.case(f"{op}(x, axis=0)", {"x": np.zeros((0, 2))}, lambda m, x: getattr(m, op)(x, axis=0))
    for shape, n, axis in [
        ((5,), 1, -1),
        ((5,), 2, -1),
        ((2, 4), 1, 0),
        ((3, 4), 3, 1),
        ((2, 3), 0, 0),
        ((2, 3), 3, 0),
    ]:
        family.case(
            f"diff(x, n={n}, axis={axis})",
            {"x": spread(f"diff{shape}{n}", shape)},
            lambda m, x: m.diff(x, n=n, axis=axis),
            grad=True if n < 3 or shape != (2, 3) else None,
        )
    family.case(
        "diff(x, prepend=a, append=b)",
        {"x": spread("dx", (2, 3)), "a": spread("da", (2, 1)), "b": spread("db", (2, 2))},
        lambda m, x, a, b: m.diff(x, prepend=a, append=b),
        grad=True,
    )
    for dtype in ["bool", "u8", "i32"]:
        family.case("diff(x)", {"x": spread("diff" + dtype, (5,), 0, 9, dtype)}, lambda m, x: m.diff(x))


def statistics(family):
    for shape in [(5,), (4,), (2, 5), (3, 4, 2)]:
        for axis in [None, 0, -1]:
            text = "" if axis is None else f", axis={axis}"
            x = spread(f"med{shape}{axis}", shape)
            family.case(f"median(x{text})", {"x": x}, lambda m, x: m.median(x, axis=axis), grad=True)
            for q in [0.0, 0.3, 1.0]:
                family.case(f"quantile(x, {q}{text})", {"x": x}, lambda m, x: m.quantile(x, q, axis=axis), grad=True)
    family.case(
        "median(x, axis=[0, 1], keepdims=true)",
        {"x": spread("medk", (3, 4, 2))},
        lambda m, x: m.median(x, axis=(0, 1), keepdims=True),
        grad=True,
    )
    family.case(
        "median(x, axis=1)",
        {"x": np.array([[1.0, np.nan, 2.0], [np.inf, -np.inf, 1.0]])},
        lambda m, x: m.median(x, axis=1),
    )
    family.case("median(x)", {"x": np.array([3, 1, 2, 9])}, lambda m, x: m.median(x))
    methods = [
        "linear",
        "lower",
        "higher",
        "nearest",
        "midpoint",
        "hazen",
        "weibull",
        "median_unbiased",
        "normal_unbiased",
        "interpolated_inverted_cdf",
    ]
    for method in methods:
        for count in [1, 4, 7]:
            # JAX has no derivatives of the later methods, and rounds places of "nearest" otherwise.
            x, q = spread(method, (2, count)), np.array([0.0, 0.1, 0.25, 0.5, 0.6, 0.9, 1.0])
            grad = True if method in ("linear", "lower", "higher", "midpoint") else None
            family.case(
                f'quantile(x, q, axis=1, method="{method}")',
                {"x": x, "q": q},
                lambda m, x, q: m.quantile(x, q, axis=1, method=method),
                grad=grad,
                wrt=["x"],
            )
    family.case(
        "percentile(x, q)",
        {"x": spread("perc", (6,)), "q": np.array([[5.0, 50.0], [75.0, 100.0]])},
        lambda m, x, q: m.percentile(x, q),
    )
    x, w = spread("avg", (2, 3)), spread("avgw", (2, 3), 0.1, 2)
    average = lambda axis: lambda m, x, w: m.average(x, axis=axis, weights=w)
    family.case("average(x, weights=w)", {"x": x, "w": w}, average(None), grad=True)
    family.case("average(x, axis=1, weights=w)", {"x": x, "w": w}, average(1), grad=True)
    family.case("average(x, axis=0, weights=w)", {"x": x, "w": w[:, 0]}, average(0), grad=True)
    family.case("average(x, axis=1)", {"x": x}, lambda m, x: m.average(x, axis=1), grad=True)
    for text, shape, f in [
        ("cov(x)", (3, 5), lambda m, x: m.cov(x)),
        ("cov(x, rowvar=false)", (5, 2), lambda m, x: m.cov(x, rowvar=False)),
        ("cov(x, bias=true)", (2, 4), lambda m, x: m.cov(x, bias=True)),
        ("cov(x, ddof=0)", (2, 4), lambda m, x: m.cov(x, ddof=0)),
        ("cov(x)", (6,), lambda m, x: m.cov(x)),
        ("corrcoef(x)", (3, 5), lambda m, x: m.corrcoef(x)),
        ("corrcoef(x, rowvar=false)", (5, 2), lambda m, x: m.corrcoef(x, rowvar=False)),
    ]:
        family.case(text, {"x": spread(text + str(shape), shape)}, f, grad=True)
    family.case(
        "cov(x, y)", {"x": spread("covx", (2, 4)), "y": spread("covy", (4,))}, lambda m, x, y: m.cov(x, y), grad=True
    )
    n = np.array([3, 0, 3, 5, 1])
    family.case("bincount(x)", {"x": n}, lambda m, x: m.bincount(x))
    family.case("bincount(x, minlength=9)", {"x": n.astype(np.uint8)}, lambda m, x: m.bincount(x, minlength=9))
    family.case(
        "bincount(x, weights=w)",
        {"x": n, "w": spread("bin", (5,))},
        lambda m, x, w: (
            m.bincount(x, weights=w, length=6) if m.__class__.__name__ == "Jax" else m.bincount(x, weights=w)
        ),
        grad=True,
    )
    xp, fp = np.array([0.0, 1.0, 2.5, 4.0]), np.array([1.0, -1.0, 3.0, 0.5])
    x = np.array([-1.0, 0.0, 0.4, 1.0, 2.2, 3.9, 4.0, 7.0, np.nan])
    family.case("interp(x, xp, fp)", {"x": x, "xp": xp, "fp": fp}, lambda m, x, xp, fp: m.interp(x, xp, fp))
    family.case(
        "interp(x, xp, fp, left=-9, right=9)",
        {"x": x, "xp": xp, "fp": fp},
        lambda m, x, xp, fp: m.interp(x, xp, fp, left=-9, right=9),
    )
    family.case(
        "interp(x, xp, fp)",
        {"x": np.array([0.3, 1.7, 3.3]), "xp": xp, "fp": fp},
        lambda m, x, xp, fp: m.interp(x, xp, fp),
        grad=True,
        wrt=["x", "fp"],
    )
    recurrence = lambda m, a, b: stacked(m, a, b)
    for shape in [(4,), (3, 2)]:
        family.case(
            "linear_recurrence(a, b)",
            {"a": spread(f"ra{shape}", shape), "b": spread(f"rb{shape}", shape)},
            recurrence,
            grad=True,
        )


def stacked(m, a, b):
    """y[t] = a[t] * y[t - 1] + b[t], from 0."""
    rows, y = [], m.zeros(a.shape[1:])
    for t in range(a.shape[0]):
        y = a[t] * y + b[t]
        rows.append(y)
    return m.stack(rows)


def families():
    reduce = Family(
        "reduce",
        "16 of the largest",
        "64 of the largest",
        "Reductions, of every dtype; sums may be added up in another order.",
    )
    reductions(reduce)
    sums = Family("cumulative", "16 of the largest", "64 of the largest", "Running sums and products, differences.")
    running(sums)
    stats = Family(
        "statistics",
        "32 of the largest",
        "64 of the largest",
        "Medians, quantiles, covariances, counts and interpolation.",
    )
    statistics(stats)
    return [reduce, sums, stats]
