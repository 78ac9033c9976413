"""Linear algebra, in forms that do not depend on the signs of vectors."""

import jax.scipy.linalg as jsl
import mpmath
import numpy as np
import scipy.linalg as sl

from case import Family, spread, weights

mpmath.mp.dps = 40


def scipy_of(m):
    return jsl if m.__class__.__name__ == "Jax" else sl


def exponential(a):
    """mpmath's, as SciPy's loses some digits."""
    each = [
        np.array(mpmath.expm(mpmath.matrix(x.tolist()), method="taylor").tolist(), dtype=float)
        for x in a.reshape(-1, *a.shape[-2:])
    ]
    return np.array(each).reshape(a.shape)


def near_identity(text, shape):
    """Far from singular, with distinct singular values."""
    x = spread(text, shape, -0.7, 0.7)
    for place in range(min(shape[-2:])):
        x[..., place, place] += place + 2
    return np.round(x, 2)


def positive(text, shape):
    x = spread(text, shape, -1, 1)
    return np.round(x @ np.swapaxes(x, -1, -2) + np.diag(np.arange(shape[-1]) + 1.0), 2)


def factors(family):
    for shape in [(1, 1), (2, 2), (3, 3), (5, 5), (2, 3, 3), (2, 2, 2, 2)]:
        a = positive(f"chol{shape}", shape)
        family.case("cholesky(a)", {"a": a}, lambda m, a: m.linalg.cholesky(a), grad=True)
        s = np.round(
            (near_identity(f"sym{shape}", shape) + np.swapaxes(near_identity(f"sym{shape}", shape), -1, -2)) / 2, 2
        )
        family.case("w, v = eigh(a); w", {"a": s}, lambda m, a: m.linalg.eigh(a)[0], grad=True)
        # Of fewer than 5 rows the weights, of which row and column sums are too regular, give nearly 0.
        rows = shape[-1]
        family.case(
            "w, v = eigh(a); v * v * x",
            {"a": s, "x": spread("eighx", (rows, rows))},
            lambda m, a, x: m.linalg.eigh(a)[1] ** 2 * x,
            grad=True if rows > 1 else None,
        )
        family.case("eigvalsh(a)", {"a": s}, lambda m, a: m.linalg.eigvalsh(a), grad=True)
        x = near_identity(f"det{shape}", shape)
        family.case("det(a)", {"a": x}, lambda m, a: m.linalg.det(a), grad=True)
        family.case("s, l = slogdet(a); s", {"a": -x}, lambda m, a: m.linalg.slogdet(a)[0])
        family.case("s, l = slogdet(a); l", {"a": -x}, lambda m, a: m.linalg.slogdet(a)[1], grad=True)
        family.case("inv(a)", {"a": x}, lambda m, a: m.linalg.inv(a), grad=True)
        family.case(
            "expm(a)",
            {"a": np.round(x - 2, 2)},
            lambda m, a: exponential(a) if isinstance(a, np.ndarray) else jsl.expm(a),
            grad=True if len(shape) < 4 else None,
        )
    for shape in [(3, 3), (4, 2), (2, 4), (2, 3, 2), (1, 1)]:
        a = near_identity(f"fact{shape}", shape)
        family.case(
            "q, r = qr(a); abs(q), abs(r)",
            {"a": a},
            lambda m, a: tuple(abs(f) for f in m.linalg.qr(a)),
            grad=True if shape[-2] >= shape[-1] else None,
        )
        family.case("q, r = qr(a); q @ r", {"a": a}, lambda m, a: a * 1)
        family.case('q, r = qr(a, mode="complete"); abs(q), abs(r)', {"a": a}, lambda m, a: complete(a))
        family.case(
            "u, s, vt = svd(a, full_matrices=false); u * u, s, vt * vt",
            {"a": a},
            lambda m, a: squares(m.linalg.svd(a, full_matrices=False)),
            grad=True,
        )
        family.case("u, s, vt = svd(a); s", {"a": a}, lambda m, a: m.linalg.svd(a)[1])
        family.case("svdvals(a)", {"a": a}, lambda m, a: m.linalg.svd(a, full_matrices=False)[1], grad=True)
        family.case("pinv(a)", {"a": a}, lambda m, a: m.linalg.pinv(a), grad=True)
    for shape in [(3, 3), (4, 2), (2, 4)]:
        a = np.round(spread(f"lu{shape}", shape), 2)
        family.case("p, l, u = lu(a); p, l, u", {"a": a}, lambda m, a: sl.lu(a))
        family.case(
            "p, l, u = lu(a); l, u",
            {"a": a},
            lambda m, a: scipy_of(m).lu(a)[1:],
            grad=True if shape[0] == shape[1] else None,
        )
    # Spectra in which values repeat: the values' gradients exist.
    twice = np.diag([1.0, 2.0, 2.0])
    family.case("eigvalsh(a)", {"a": twice}, lambda m, a: m.linalg.eigvalsh(a))
    family.case(
        'w, v = eigh(a, UPLO="U"); w',
        {"a": np.triu(positive("uplo", (3, 3))) + np.tril(np.ones((3, 3)), -1)},
        lambda m, a: np.linalg.eigh(a, UPLO="U")[0],
    )
    family.case(
        "det(a)",
        {"a": np.array([[1.0, 2.0], [2.0, 4.0]])},
        lambda m, a: np.zeros(()),
        grad=lambda a: [np.array([[4.0, -2.0], [-2.0, 1.0]]) * weights(())],
    )
    family.case(
        "s, l = slogdet(a); s, l",
        {"a": np.array([[1.0, 2.0], [2.0, 4.0]])},
        lambda m, a: (np.array(0.0), np.array(-np.inf)),
    )
    for shape in [(0, 0), (2, 0, 0)]:
        family.case("det(a)", {"a": np.zeros(shape)}, lambda m, a: m.linalg.det(a))
        family.case("inv(a)", {"a": np.zeros(shape)}, lambda m, a: m.linalg.inv(a))


def complete(a):
    q, r = np.linalg.qr(a, mode="complete")
    return abs(q), abs(r)


def squares(parts):
    u, s, vt = parts
    return u**2, s, vt**2


def equations(family):
    for left, right in [
        ((2, 2), (2,)),
        ((3, 3), (3, 2)),
        ((2, 3, 3), (3, 1)),
        ((2, 3, 3), (2, 3, 2)),
        ((1, 1), (1,)),
        ((4, 4), (2, 4, 1)),
    ]:
        a, b = near_identity(f"solve{left}", left), spread(f"rhs{right}", right)
        family.case("solve(a, b)", {"a": a, "b": b}, lambda m, a, b: m.linalg.solve(a, b), grad=True)
        if len(left) == 2 and len(right) < 3:
            p = positive(f"pos{left}", left)
            family.case(
                'solve(a, b, assume_a="pos")',
                {"a": p, "b": b},
                lambda m, a, b: m.linalg.solve((a + a.T) / 2, b),
                grad=True,
            )
            family.case(
                'solve(a, b, assume_a="sym")',
                {"a": p, "b": b},
                lambda m, a, b: m.linalg.solve((a + a.T) / 2, b),
                grad=True,
            )
            for lower in [True, False]:
                for trans in [0, 1]:
                    for unit in [True, False]:
                        text = f"solve_triangular(a, b, trans={trans}, lower={str(lower).lower()}, unit_diagonal={str(unit).lower()})"
                        family.case(
                            text,
                            {"a": a, "b": b},
                            lambda m, a, b: scipy_of(m).solve_triangular(
                                a, b, trans=trans, lower=lower, unit_diagonal=unit
                            ),
                            grad=True,
                        )
            family.case(
                "cho_solve(cholesky(a), b)",
                {"a": p, "b": b},
                lambda m, a, b: m.linalg.solve((a + a.T) / 2, b),
                grad=True,
            )
    for left, right in [((4, 2), (4,)), ((4, 2), (4, 3)), ((3, 3), (3,))]:
        a, b = near_identity(f"ls{left}", left), spread(f"lsb{right}", right)
        family.case("lstsq(a, b)", {"a": a, "b": b}, lambda m, a, b: m.linalg.solve(a.T @ a, a.T @ b), grad=True)


def norms(family):
    vector = [(None, ""), (1, "1"), (2, "2"), (3, "3"), (0.5, "0.5"), (np.inf, "inf"), (-np.inf, "-inf"), (-1, "-1")]
    for order, text in vector:
        for shape, axis in [((4,), None), ((2, 3), 1), ((2, 3), 0)]:
            arguments = (f", ord={text}" if text else "") + (f", axis={axis}" if axis is not None else "")
            family.case(
                f"norm(x{arguments})",
                {"x": spread(f"norm{arguments}{shape}", shape)},
                lambda m, x: m.linalg.norm(x, ord=order, axis=axis),
                grad=True,
            )
    family.case("norm(x, ord=0)", {"x": np.array([0.0, 2.0, -0.0, np.nan])}, lambda m, x: np.linalg.norm(x, ord=0))
    for order in ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]:
        text = f'"{order}"' if isinstance(order, str) else str(order)
        family.case(
            f"norm(x, ord={text})",
            {"x": near_identity(f"mn{order}", (3, 2))},
            lambda m, x: m.linalg.norm(x, ord=order),
            grad=True,
        )
        family.case(
            f"norm(x, ord={text}, axis=[0, 2], keepdims=true)",
            {"x": near_identity(f"mk{order}", (2, 2, 3))},
            lambda m, x: m.linalg.norm(x, ord=order, axis=(0, 2), keepdims=True),
            grad=True,
        )
    family.case("norm(x)", {"x": spread("n3", (2, 2, 2))}, lambda m, x: m.linalg.norm(x), grad=True)
    family.case("norm(x)", {"x": np.array([1e200, 1e200])}, lambda m, x: np.hypot(*x))


def families():
    family = Family(
        "linalg",
        "1000 of the largest",
        "4000 of the largest",
        """
Linear algebra. Two factorizations differ by the condition of the matrix, here below 50, times a small multiple of epsilon.""",
    )
    factors(family)
    equations(family)
    norms(family)
    return [family]
