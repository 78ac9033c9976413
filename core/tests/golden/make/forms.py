"""Signals, equations, grids and places: what PyTensor and SciPy name beside NumPy's core."""

import numpy as np
import scipy.linalg
import scipy.signal
import scipy.special

from case import Family, Jax, spread


def signal(family):
    for n, k in [(5, 3), (3, 5), (4, 4), (6, 2), (2, 5), (1, 1), (4, 1)]:
        for mode in ["full", "same", "valid"]:
            inputs = {"a": spread(f"convolve a {n}", (n,)), "v": spread(f"convolve v {k}", (k,))}
            family.case(f'convolve(a, v, mode="{mode}")', inputs, lambda m, a, v: m.convolve(a, v, mode=mode), grad=True)
            family.case(f'correlate(a, v, mode="{mode}")', inputs, lambda m, a, v: m.correlate(a, v, mode=mode), grad=True)
    family.case("convolve(a, v)", {"a": np.array([1, 2, 3]), "v": np.array([0, 1, 2])}, lambda m, a, v: m.convolve(a, v))
    stack = {"a": spread("stack a", (2, 3, 6)), "v": spread("stack v", (3, 4))}
    rows = lambda m, a, v: m.stack([m.stack([m.convolve(a[i, j], v[j], mode="same") for j in range(3)]) for i in range(2)])
    family.case('convolve1d(a, v, mode="same")', stack, rows, grad=True)
    for shape, window in [((5, 6), (3, 2)), ((4, 4), (2, 3)), ((3, 3), (1, 1))]:
        inputs = {"x": spread(f"2d {shape}", shape), "v": spread(f"2d v {window}", window)}
        for mode in ["full", "same", "valid"]:
            convolve2d = lambda m, x, v: (
                scipy.signal.convolve2d(x, v, mode=mode) if not isinstance(m, Jax) else __import__("jax").scipy.signal.convolve2d(x, v, mode=mode)
            )
            family.case(f'convolve2d(x, v, mode="{mode}")', inputs, convolve2d, grad=True)
            for boundary in ["wrap", "symm"]:
                family.case(
                    f'convolve2d(x, v, mode="{mode}", boundary="{boundary}")', inputs,
                    lambda m, x, v: scipy.signal.convolve2d(x, v, mode=mode, boundary=boundary),
                )
    family.case(
        'convolve2d(x, v, fillvalue=1.5)', {"x": spread("fill", (3, 4)), "v": spread("fill v", (2, 2))},
        lambda m, x, v: scipy.signal.convolve2d(x, v, fillvalue=1.5),
    )
    for count in [0, 1, 2, 5, 8]:
        for name in ["bartlett", "hanning", "hamming", "blackman"]:
            family.case(f"{name}(n)", {"n": np.array(count)}, lambda m, n: getattr(np, name)(int(n)), tolerance="4 of the largest")
    for count in [1, 4, 5, 9]:
        for name in ["fftfreq", "rfftfreq"]:
            family.case(f"{name}(n, d=0.25)", {"n": np.array(count)}, lambda m, n: getattr(np.fft, name)(int(n), d=0.25))
    for name in ["fftshift", "ifftshift"]:
        for shape in [(5,), (4, 3), (0,)]:
            x = {"x": spread(f"shift {shape}", shape)}
            family.case(f"{name}(x)", x, lambda m, x: getattr(m.fft, name)(x), grad=True if shape[0] else None)
        family.case(f"{name}(x, axes=-1)", {"x": spread("shift", (2, 5))}, lambda m, x: getattr(m.fft, name)(x, axes=-1), grad=True)


def equations(family):
    a = spread("tensorinv", (4, 6, 8, 3))
    family.case("tensorinv(a)", {"a": a}, lambda m, a: m.linalg.tensorinv(a), grad=True)
    family.case("tensorinv(a, ind=1)", {"a": a.reshape(24, 8, 3)}, lambda m, a: m.linalg.tensorinv(a, ind=1), grad=True)
    b = spread("tensorsolve b", (4, 6))
    family.case("tensorsolve(a, b)", {"a": a, "b": b}, lambda m, a, b: m.linalg.tensorsolve(a, b), grad=True)
    moved = np.moveaxis(a, 2, 0).copy()
    family.case(
        "tensorsolve(a, b, axes=0)", {"a": moved, "b": b},
        lambda m, a, b: m.linalg.tensorsolve(m.moveaxis(a, 0, -1), b), grad=True,
    )
    for n, k in [(3, 2), (1, 4), (4, 4)]:
        x, y, q = spread(f"syl a {n}", (n, n)) + 3 * np.eye(n), spread(f"syl b {k}", (k, k)) + 3 * np.eye(k), spread(f"syl q {n}{k}", (n, k))
        family.case("solve_sylvester(a, b, q)", {"a": x, "b": y, "q": q}, lambda m, a, b, q: scipy.linalg.solve_sylvester(a, b, q))
    for n in [1, 2, 4]:
        x, q = spread(f"lya {n}", (n, n), -0.5, 0.5) - np.eye(n), spread(f"lya q {n}", (n, n))
        family.case("solve_continuous_lyapunov(a, q)", {"a": x, "q": q}, lambda m, a, q: scipy.linalg.solve_continuous_lyapunov(a, q))
        x = spread(f"lyad {n}", (n, n), -0.4, 0.4)
        family.case("solve_discrete_lyapunov(a, q)", {"a": x, "q": q}, lambda m, a, q: scipy.linalg.solve_discrete_lyapunov(a, q))
    for n in [1, 3, 5]:
        x, c, v = spread(f"lu {n}", (n, n)), spread(f"lu b {n}", (n, 2)), spread(f"lu v {n}", (n,))
        factor = lambda m, a: (scipy.linalg.lu_factor(a)[0], scipy.linalg.lu_factor(a)[1].astype(np.int64))
        family.case("f, p = lu_factor(a); f, p", {"a": x}, factor)
        for trans in [0, 1]:
            solve = lambda m, a, b: scipy.linalg.lu_solve(scipy.linalg.lu_factor(a), b, trans=trans) if not isinstance(m, Jax) else m.linalg.solve(a.T if trans else a, b)
            for right in [c, v]:
                family.case(f"f, p = lu_factor(a); lu_solve(f, p, b, trans={trans})", {"a": x, "b": right}, solve, grad=True)
    pivots = np.array([2, 3, 2, 3])
    order = np.arange(4)
    for i, p in enumerate(pivots):
        order[[i, p]] = order[[p, i]]
    family.case("pivot_to_permutation(p, inverse=true)", {"p": pivots}, lambda m, p: order)
    family.case("pivot_to_permutation(p)", {"p": pivots}, lambda m, p: np.argsort(order))


def spectra(family):
    """In forms that depend neither on the order of eigenvalues nor on the phases of vectors."""
    def eig(m, a):
        if not isinstance(m, Jax):
            return np.linalg.eig(a)
        return __import__("jax").lax.linalg.eig(a, compute_left_eigenvectors=False, enable_eigvec_derivs=True)

    for n, batch in [(1, ()), (2, ()), (3, ()), (4, ()), (5, ()), (8, ()), (3, (2,))]:
        a = spread(f"eig {n} {batch}", batch + (n, n))
        family.case("w, v = eig(a); sort(w[..., 0], axis=-1)", {"a": a}, lambda m, a: np.sort(np.linalg.eigvals(a).real, axis=-1))
        family.case("w = eigvals(a); sort(abs(w[..., 1]), axis=-1)", {"a": a}, lambda m, a: np.sort(abs(np.linalg.eigvals(a).imag), axis=-1))
        powers = lambda m, a: m.stack([m.sum(m.real(m.linalg.eigvals(a) ** 2)), m.sum(m.abs(m.linalg.eigvals(a)) ** 2)])
        family.case("w, v = eig(a); stack([sum(w[..., 0] ** 2 - w[..., 1] ** 2), sum(w ** 2)])", {"a": a}, powers, grad=True)
        weighted = lambda m, a: (lambda w, v: m.sum(m.real(v * m.conj(v)) * m.real(w * w)[..., None, :], axis=-1))(*eig(m, a))
        family.case(
            "w, v = eig(a); sum(sum(v * v, axis=-1) * expand_dims(w[..., 0] ** 2 - w[..., 1] ** 2, -2), axis=-1)", {"a": a}, weighted, grad=True,
        )
        family.case("t, z = schur(a); z @ t @ swapaxes(z, -1, -2)", {"a": a}, lambda m, a: a)
        family.case("t, z = schur(a); z @ swapaxes(z, -1, -2)", {"a": a}, lambda m, a: np.zeros_like(a) + np.eye(n))
        # Below the blocks all is 0, and of the blocks the elements of the diagonal are equal.
        family.case("t, z = schur(a); tril(t, -2)", {"a": a}, lambda m, a: np.zeros_like(a))
        if n > 1:
            family.case(
                "t, z = schur(a); d = diagonal(t, axis1=-2, axis2=-1); "
                "(d[..., 1:] - d[..., :-1]) * (diagonal(t, offset=-1, axis1=-2, axis2=-1) != 0.0)",
                {"a": a}, lambda m, a: np.zeros(batch + (n - 1,)),
            )
        family.case(
            "t, z = schur(a); sort(diagonal(t, axis1=-2, axis2=-1), axis=-1)", {"a": a},
            lambda m, a: np.sort(np.linalg.eigvals(a).real, axis=-1),
        )
        b = spread(f"qz {n} {batch}", batch + (n, n))
        inputs = {"a": a, "b": b}
        family.case("s, t, q, z = qz(a, b); q @ s @ swapaxes(z, -1, -2)", inputs, lambda m, a, b: a)
        family.case("s, t, q, z = qz(a, b); q @ t @ swapaxes(z, -1, -2)", inputs, lambda m, a, b: b)
        family.case("s, t, q, z = qz(a, b); q @ swapaxes(q, -1, -2) + z @ swapaxes(z, -1, -2)", inputs, lambda m, a, b: np.zeros_like(a) + 2 * np.eye(n))
        family.case("s, t, q, z = qz(a, b); tril(s, -2), tril(t, -1)", inputs, lambda m, a, b: (np.zeros_like(a),) * 2)
        family.case(
            "s, t, q, z = qz(a, b); diagonal(t, axis1=-2, axis2=-1) >= 0.0", inputs, lambda m, a, b: np.ones(batch + (n,), dtype=bool),
        )
    ordered(family)
    family.case("w, v = eig(a); w, v", {"a": np.zeros((0, 0))}, lambda m, a: (np.zeros((0, 2)), np.zeros((0, 0, 2))))
    family.case("w, v = eig(a); w, v", {"a": np.array([[0.0, 2.0], [-2.0, 0.0]])}, lambda m, a: (
        np.array([[0.0, 2.0], [0.0, -2.0]]), np.sqrt(0.5) * np.array([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]])))
    family.case("t, z = schur(a); t", {"a": np.array([[0.0, 0.0], [1.0, 0.0]])}, lambda m, a: np.array([[0.0, 1.0], [0.0, 0.0]]) * -1)
    for n, k in [(1, 1), (2, 1), (3, 2), (5, 2)]:
        half, right = spread(f"are q {n}", (n, n)), spread(f"are r {k}", (k, k))
        inputs = {"a": 1.5 * spread(f"are a {n}", (n, n)), "b": spread(f"are b {n}", (n, k)), "q": half @ half.T, "r": right @ right.T + np.eye(k)}
        family.case("solve_discrete_are(a, b, q, r)", inputs, lambda m, a, b, q, r: scipy.linalg.solve_discrete_are(a, b, q, r))
        family.case("solve_continuous_are(a, b, q, r)", inputs, lambda m, a, b, q, r: scipy.linalg.solve_continuous_are(a, b, q, r))
    for name in ["discrete", "continuous"]:
        # Nothing acts on a system that grows.
        zero = {"a": np.array([[2.0]]), "b": np.zeros((1, 1)), "q": np.eye(1), "r": np.eye(1)}
        family.case(f"solve_{name}_are(a, b, q, r)", zero, lambda m, a, b, q, r: np.array([[np.nan]]))
    for n, batch in [(1, ()), (2, ()), (6, ()), (4, (3,))]:
        inputs = {name: spread(f"tri {name} {n}", batch + (n - (name in "lu"),)) for name in "lduy"}
        dense = lambda m, l, d, u: m.stack([m.diag(d[i]) + m.diag(l[i], -1) + m.diag(u[i], 1) for i in range(3)]) if batch else m.diag(d) + m.diag(l, -1) + m.diag(u, 1)
        solve = lambda m, l, d, u, y: m.linalg.solve(dense(m, l, d, u), y[..., None])[..., 0]
        family.case("solve_tridiagonal(l, d, u, y)", inputs, solve, grad=True)
        if n == 6:
            inputs = dict(inputs, d=np.zeros(n))
            family.case("solve_tridiagonal(l, d, u, y)", inputs, solve, grad=True)
            inputs = dict(inputs, d=spread("tri small d", (n,), -0.3, 0.3))
        text = "dl, e, du, du2, p = tridiagonal_lu_factor(l, d, u)"
        operands = {name: inputs[name] for name in "ldu"}
        if not batch:
            family.case(f"{text}; dl, e, du, du2, p", operands, lambda m, l, d, u: factored(l, d, u))
        transposed = lambda m, l, d, u, y: m.linalg.solve(m.swapaxes(dense(m, l, d, u), -1, -2), y[..., None])[..., 0]
        for trans, expected in [(0, solve), (1, transposed), (2, transposed)]:
            family.case(f"{text}; tridiagonal_lu_solve(dl, e, du, du2, p, y, trans={trans})", inputs, expected, grad=trans < 2 or None)


def factored(l, d, u):
    """LAPACK's, whose pivots count from 1; SciPy's wrapper asks for three rows at least."""
    if len(d) == 1:
        return l, d, u, np.zeros(0), np.zeros(1, dtype=np.int64)
    if len(d) == 2:
        swap = abs(l[0]) > abs(d[0])
        first, other = ((l[0], d[1]), (d[0], u[0])) if swap else ((d[0], u[0]), (l[0], d[1]))
        factor = other[0] / first[0]
        return np.array([factor]), np.array([first[0], other[1] - factor * first[1]]), np.array([first[1]]), np.zeros(0), np.array([int(swap), 1])
    dl, e, du, du2, pivots, _ = scipy.linalg.lapack.dgttrf(l, d, u)
    return dl, e, du, du2[: len(d) - 2], pivots.astype(np.int64) - 1


def ordered(family):
    """What does not depend on the order among the wanted eigenvalues: how many there are and where, their values, the space
    that belongs to them."""
    first = {
        "lhp": ("al[..., 0] / be < 0.0", lambda x, y: (x / y).real < 0),
        "rhp": ("al[..., 0] / be > 0.0", lambda x, y: (x / y).real > 0),
        "iuc": ("sum(al * al, axis=-1) < be * be", lambda x, y: abs(x) < abs(y)),
        "ouc": ("sum(al * al, axis=-1) > be * be", lambda x, y: abs(x) > abs(y)),
    }
    for n, batch in [(1, ()), (2, ()), (3, ()), (5, ()), (6, ()), (9, ()), (4, (2,))]:
        inputs = {"a": spread(f"ordqz {n} {batch}", batch + (n, n)), "b": spread(f"ordqz b {n} {batch}", batch + (n, n))}
        parts = lambda a, b, sort: [np.stack(part) for part in zip(*(scipy.linalg.ordqz(*pair, sort=sort) for pair in zip(a.reshape(-1, n, n), b.reshape(-1, n, n))))]
        for sort, (text, wanted) in first.items():
            start = f's, t, al, be, q, z = ordqz(a, b, sort="{sort}")'
            ratios = lambda a, b: (lambda p: (p[2] / p[3]).reshape(batch + (n,)))(parts(a, b, sort))
            family.case(f"{start}; q @ s @ swapaxes(z, -1, -2), q @ t @ swapaxes(z, -1, -2)", inputs, lambda m, a, b: (a, b))
            family.case(
                f"{start}; q @ swapaxes(q, -1, -2) + z @ swapaxes(z, -1, -2), tril(s, -2), tril(t, -1)", inputs,
                lambda m, a, b: (np.zeros_like(a) + 2 * np.eye(n), np.zeros_like(a), np.zeros_like(a)),
            )
            family.case(f"{start}; {text}, be >= 0.0", inputs, lambda m, a, b: (wanted(*parts(a, b, sort)[2:4]).reshape(batch + (n,)), np.ones(batch + (n,), dtype=bool)))
            # The form is that of orthogonal turns, so the diagonal of t multiplies to the size of b's determinant.
            family.case(
                f"{start}; sort(al[..., 0] / be, axis=-1), sort(al[..., 1] / be, axis=-1), prod(be, axis=-1)", inputs,
                lambda m, a, b: (np.sort(ratios(a, b).real, axis=-1), np.sort(ratios(a, b).imag, axis=-1), abs(np.linalg.det(b))),
            )
            if not batch:
                count = int(np.sum(wanted(*parts(inputs["a"], inputs["b"], sort)[2:4])))
                space = lambda m, a, b: (lambda z: z[:, :count] @ z[:, :count].T)(parts(a, b, sort)[5][0])
                family.case(f"{start}; z[:, :{count}] @ transpose(z[:, :{count}])", inputs, space)
    # Infinite eigenvalues, and pairs of real ones.
    a, b = np.diag([3.0, -1.0, 0.5, 2.0]), np.diag([1.0, 0.0, 1.0, -4.0])
    for sort, k, values, scales in [
        ("lhp", 1, [2.0, 0.5, 1.0, 3.0], [4.0, 0.0, 1.0, 1.0]), ("rhp", 2, [0.5, 3.0, 1.0, 2.0], [1.0, 1.0, 0.0, 4.0]),
        ("iuc", 2, [0.5, 2.0, 1.0, 3.0], [1.0, 4.0, 0.0, 1.0]), ("ouc", 2, [1.0, 3.0, 0.5, 2.0], [0.0, 1.0, 1.0, 4.0]),
    ]:
        text = f's, t, al, be, q, z = ordqz(a, b, sort="{sort}"); v = abs(al[:, 0]); concatenate([sort(v[:{k}]), sort(v[{k}:])]), concatenate([sort(be[:{k}]), sort(be[{k}:])])'
        family.case(text, {"a": a, "b": b}, lambda m, a, b: (np.array(values), np.array(scales)))
    family.case("s, t, al, be, q, z = ordqz(a, b); s, al, be", {"a": np.zeros((0, 0)), "b": np.zeros((0, 0))}, lambda m, a, b: (a, np.zeros((0, 2)), np.zeros(0)))


def places(family):
    x = spread("forms", (2, 3, 4))
    family.case("shape_padleft(x, 2)", {"x": x}, lambda m, x: x[None, None], grad=True)
    family.case("shape_padright(x)", {"x": x}, lambda m, x: x[..., None], grad=True)
    family.case("shape_padaxis(x, 1)", {"x": x}, lambda m, x: x[:, None], grad=True)
    family.case("atleast_Nd(x, 5)", {"x": x}, lambda m, x: x[None, None], grad=True)
    family.case("atleast_Nd(x, 4, left=false)", {"x": x}, lambda m, x: x[..., None])
    family.case("join_dims(x, 1, 2)", {"x": x}, lambda m, x: x.reshape(2, 12), grad=True)
    family.case("join_dims(x)", {"x": x}, lambda m, x: x.reshape(-1))
    family.case("join_dims(x, 1, 0)", {"x": x}, lambda m, x: x.reshape(2, 1, 3, 4))
    family.case("split_dims(x, [2, -1], axis=2)", {"x": x}, lambda m, x: x.reshape(2, 3, 2, 2), grad=True)
    y = spread("packed", (2, 4))
    family.case("p, s, t = pack(x, y); p, s, t", {"x": x, "y": y}, lambda m, x, y: (m.concatenate([x.ravel(), y.ravel()]), np.array([2, 3, 4]), np.array([2, 4])), grad=True)
    family.case("p, s, t = pack(x, y, axes=-1); p, s, t", {"x": x, "y": y}, lambda m, x, y: (m.concatenate([x.reshape(-1, 4), y]), np.array([2, 3]), np.array([2])), grad=True)
    family.case("p, s, t = pack(x, y, axes=[0, -1]); p, s", {"x": x, "y": y}, lambda m, x, y: (m.concatenate([x, y[:, None]], axis=1), np.array([3])))
    family.case("p, s, t = pack(x, z); p, s", {"x": x, "z": np.array(2.5)}, lambda m, x, z: (m.concatenate([x.ravel(), m.reshape(z, (1,))]), np.array([2, 3, 4])), grad=True)
    family.case("p, s, t = pack(x, y, axes=0); v, w = unpack(p, s, t, axes=0); v, w", {"x": x, "y": y}, lambda m, x, y: (x * 1.0, y * 1.0), grad=True)
    family.case("v, w, u = unpack(p, [2, 2], [3], s); v, w, u", {"p": spread("unpack", (9,)), "s": np.array([1, 2])}, lambda m, p, s: (p[:4].reshape(2, 2), p[4:7], p[7:].reshape(1, 2)), grad=True, known=True)
    family.case("concat_with_broadcast([x, y], axis=1)", {"x": x, "y": spread("joined", (1, 2, 1))}, lambda m, x, y: m.concatenate([x, m.broadcast_to(y, (2, 2, 4))], axis=1), grad=True)
    family.case("concat_with_broadcast([y, x], axis=0)", {"x": x, "y": spread("joined", (1, 3, 1))}, lambda m, x, y: m.concatenate([m.broadcast_to(y, (1, 3, 4)), x]), grad=True)
    bits = spread("bits", (3, 4), -128, 127, dtype="i8")
    flags = spread("flags", (3, 5), dtype="bool")
    for name in ["bitwise_and", "bitwise_or", "bitwise_xor"]:
        ufunc = getattr(np, name)
        family.case(f'reduce(x, "{name}", axis=0)', {"x": bits}, lambda m, x: ufunc.reduce(x, axis=0))
        family.case(f'reduce(x, "{name}", keepdims=true)', {"x": bits}, lambda m, x: ufunc.reduce(x, axis=None, keepdims=True))
        family.case(f'reduce(x, "{name}", axis=[-1, 0])', {"x": spread("bits 3", (2, 3, 4), 0, 65535, dtype="u16")}, lambda m, x: ufunc.reduce(x, axis=(-1, 0)))
        family.case(f'reduce(x, "{name}", axis=1)', {"x": flags}, lambda m, x: ufunc.reduce(x, axis=1))
        family.case(f'reduce(x, "{name}", axis=1)', {"x": np.zeros((2, 0), dtype=np.uint8)}, lambda m, x: ufunc.reduce(x, axis=1))
        family.case(f'reduce(x, "{name}")', {"x": np.array(6)}, lambda m, x: ufunc.reduce(x, axis=None))
    for name in ["logical_and", "logical_or", "logical_xor"]:
        family.case(f'reduce(x, "{name}", axis=1)', {"x": flags}, lambda m, x: getattr(np, name).reduce(x, axis=1))
        family.case(f'reduce(x, "{name}", axis=0, keepdims=true)', {"x": np.round(x[0] - 0.2)}, lambda m, x: getattr(np, name).reduce(x, axis=0, keepdims=True))
    for name, same in [("add", "sum"), ("mul", "prod"), ("maximum", "max"), ("minimum", "min")]:
        family.case(f'reduce(x, "{name}", axis=[0, 2])', {"x": x}, lambda m, x: getattr(m, same)(x, axis=(0, 2)), grad=True)
    family.case('reduce(x, "logaddexp", axis=1)', {"x": y}, lambda m, x: m.log(m.sum(m.exp(x), axis=1)), grad=True)
    family.case('reduce(x, "hypot", axis=0)', {"x": y}, lambda m, x: m.sqrt(m.sum(x * x, axis=0)), grad=True)
    family.case("broadcast_shape(x, y)", {"x": x, "y": spread("y", (3, 1))}, lambda m, x, y: np.array([2, 3, 4]))
    family.case("identity_like(x)", {"x": spread("id", (2, 3), dtype="f32")}, lambda m, x: np.eye(2, 3, dtype=np.float32))
    family.case("mgrid(a, b)", {"a": np.arange(3), "b": np.arange(1, 5)}, lambda m, a, b: np.mgrid[0:3, 1:5])
    family.case("r, c = ogrid(a, b); r, c", {"a": np.arange(3), "b": np.arange(1, 5)}, lambda m, a, b: np.ogrid[0:3, 1:5])
    family.case("inverse_permutation(p)", {"p": np.array([[2, 0, 1], [0, 2, 1]])}, lambda m, p: np.argsort(p, axis=-1))
    rows, p = spread("rows", (2, 3)), np.array([[2, 0, 1], [0, 2, 1]])
    family.case("permute_row_elements(x, p)", {"x": rows, "p": p}, lambda m, x, p: m.take_along_axis(x, p, axis=-1), grad=True)
    family.case("permute_row_elements(x, p)", {"x": rows, "p": p[0]}, lambda m, x, p: x[:, p], grad=True)
    family.case("permute_row_elements(x, p, inverse=true)", {"x": rows, "p": p}, lambda m, x, p: m.take_along_axis(x, np.argsort(p, axis=-1), axis=-1), grad=True)
    family.case("nonzero_values(x)", {"x": np.array([[0.0, 2.0], [-1.0, 0.0]])}, lambda m, x: x[np.nonzero(x)])
    family.case("argtopk(x, 2)", {"x": np.array([3.0, 1.0, 5.0])}, lambda m, x: np.array([2, 0]))
    actual, predicted = np.array([2, 0, 2, 2, 0, 1]), np.array([0, 0, 2, 2, 0, 2])
    family.case("m, c = confusion_matrix(a, p); m, c", {"a": actual, "p": predicted}, lambda m, a, p: (np.array([[2, 0, 0], [0, 0, 1], [1, 0, 2]]), np.arange(3)))
    xp, fp = np.array([-1.0, 0.5, 2.0, 3.0]), spread("fp", (4,))
    at = np.array([[-0.9, 0.4, 0.6], [1.5, 2.9, 2.4]])
    segment = lambda x: np.clip(np.searchsorted(xp, x, side="right") - 1, 0, 2)
    family.case("interpolate1d(x, xp, fp)", {"x": at, "xp": xp, "fp": fp}, lambda m, x, xp, fp: m.interp(x, xp, fp), grad=True, wrt=["x", "fp"])
    family.case("interpolate1d(x, xp, fp, extrapolate=false)", {"x": np.array([-9.0, 9.0, 2.0]), "xp": xp, "fp": fp}, lambda m, x, xp, fp: np.interp(x, xp, fp))
    line = lambda x, xp, fp: fp[segment(x)] + (x - xp[segment(x)]) * (fp[segment(x) + 1] - fp[segment(x)]) / (xp[segment(x) + 1] - xp[segment(x)])
    family.case("interpolate1d(x, xp, fp)", {"x": np.array([-2.0, 4.5]), "xp": xp, "fp": fp}, lambda m, x, xp, fp: line(x, xp, fp))
    for method, f in [
        ("first", lambda x, fp: fp[segment(x)]), ("last", lambda x, fp: fp[segment(x) + 1]),
        ("mean", lambda x, fp: (fp[segment(x)] + fp[segment(x) + 1]) / 2),
        ("nearest", lambda x, fp: np.where(x - xp[segment(x)] <= xp[segment(x) + 1] - x, fp[segment(x)], fp[segment(x) + 1])),
    ]:
        family.case(f'interpolate1d(x, xp, fp, method="{method}")', {"x": at, "xp": xp, "fp": fp}, lambda m, x, xp, fp: f(x, fp))
    nans = np.array([[1.0, np.nan, 3.0, -2.0], [np.nan, np.nan, 5.0, 4.0], [np.nan] * 4])
    family.case("nanmedian(x, axis=1)", {"x": nans}, lambda m, x: np.nanmedian(x, axis=1))
    family.case("nanmedian(x, axis=0, keepdims=true)", {"x": nans}, lambda m, x: np.nanmedian(x, axis=0, keepdims=True))
    family.case("nanmedian(x)", {"x": nans[:2]}, lambda m, x: m.nanmedian(x), grad=True)


def images(family):
    x = spread("images", (2, 1, 4, 6))
    blocks = lambda m, x: x.reshape(2, 1, 2, 2, 3, 2).transpose(0, 1, 2, 4, 3, 5).reshape(-1, 4)
    family.case("images2neibs(x, [2, 2])", {"x": x}, blocks, grad=True)
    family.case("neibs2images(images2neibs(x, [2, 2]), [2, 2], shape(x))", {"x": x}, lambda m, x: x * 1.0, grad=True)
    sliding = lambda m, x: m.stack([x[i, 0, r : r + 3, c : c + 2].reshape(-1) for i in range(2) for r in [0, 1] for c in [0, 2, 4]])
    family.case("images2neibs(x, [3, 2], neib_step=[1, 2])", {"x": x}, sliding, grad=True)
    family.case('images2neibs(x, [3, 4], mode="ignore_borders")', {"x": x}, lambda m, x: np.stack([x[i, 0, :3, :4].reshape(-1) for i in range(2)]))

    def upsampled(m, x, ratio):
        for axis in [2, 3]:
            n = x.shape[axis]
            at = np.clip((np.arange(n * ratio) - (ratio - 1) // 2) / ratio, 0, n - 1)
            low = np.floor(at).astype(int)
            high = np.minimum(low + 1, n - 1)
            share = (at - low).reshape((-1, 1) if axis == 2 else (-1,))
            x = m.take(x, low, axis=axis) * (1 - share) + m.take(x, high, axis=axis) * share
        return x

    def triangle(ratio):
        half = np.arange(1, ratio + 1)
        return np.concatenate([half, half[-2::-1]]) / ratio

    def stretched(m, x, ratios):
        """A convolution of a wide kernel with the images, whose edges are doubled and whose elements stand apart: Theano's."""
        convolve2d = scipy.signal.convolve2d if not isinstance(m, Jax) else __import__("jax").scipy.signal.convolve2d
        ups, downs = zip(*ratios)
        pads = [(2 * n - 1) * up + 1 for n, up in zip(x.shape[2:], ups)]
        kernel = np.pad(np.outer(triangle(ups[0]), triangle(ups[1])), [(pad // 2, pad - pad // 2) for pad in pads])
        apart = [np.kron(np.eye(n + 2), np.eye(up)[:1])[:, : (n + 1) * up + 1] for n, up in zip(x.shape[2:], ups)]
        image = lambda x: convolve2d(kernel, apart[0].T @ m.pad(x, 1, mode="edge") @ apart[1], mode="valid")[:: downs[0], :: downs[1]]
        return m.stack([m.stack([image(channel) for channel in images]) for images in x])

    for text, ratios in [
        ("[3, 2]", [(3, 2)] * 2), ("[2, 3]", [(2, 3)] * 2), ("[6, 4]", [(3, 2)] * 2), ("[4, 1]", [(4, 1)] * 2), ("[[3, 2], [5, 3]]", [(3, 2), (5, 3)]),
        ("[[1, 2], [4, 3]]", [(1, 2), (4, 3)]), ("[7, 5]", [(7, 5)] * 2),
    ]:
        family.case(f"frac_bilinear_upsampling(x, {text})", {"x": x[:, :, :3, :]}, lambda m, x: stretched(m, x, ratios), grad=True)
    for ratio in [1, 2, 3, 4]:
        family.case(f"bilinear_kernel_1d({ratio}), bilinear_kernel_1d(n, normalize=false, dtype=f32)", {"n": np.array(ratio)}, lambda m, n: (triangle(ratio), (triangle(ratio) * ratio).astype(np.float32)))
        family.case(f"bilinear_kernel_2d({ratio}), bilinear_kernel_2d([{ratio}, 2], normalize=false), bilinear_kernel_2d(n)", {"n": np.array([2, ratio])}, lambda m, n: (
            np.outer(triangle(ratio), triangle(ratio)), np.outer(triangle(ratio), triangle(2)) * ratio * 2, np.outer(triangle(2), triangle(ratio))), known=True)
        family.case(f"bilinear_upsampling(x, {ratio})", {"x": x[:, :, :3, :2]}, lambda m, x: upsampled(m, x, ratio), grad=True)
    import jax

    def conv(x, w, **options):
        return np.asarray(jax.lax.conv_general_dilated(x, w, **options))

    signal, kernel = spread("causal", (2, 3, 7)), spread("causal w", (4, 3, 3))
    causal = lambda m, x, w: conv(x, w, window_strides=(1,), padding=[(4, 0)], rhs_dilation=(2,))
    family.case("causal_conv1d(x, w, dilation=2)", {"x": signal, "w": kernel}, causal)
    image, depth, point = spread("sep", (2, 3, 5, 5)), spread("sep d", (6, 1, 3, 3)), spread("sep p", (4, 6, 1, 1))
    separable = lambda m, x, d, p: conv(
        conv(x, d, window_strides=(2, 2), padding=[(1, 1)] * 2, feature_group_count=3), p, window_strides=(1, 1), padding="VALID"
    )
    family.case("separable_conv2d(x, d, p, stride=2, padding=1)", {"x": image, "d": depth, "p": point}, separable)
    family.case(
        "conv2d(x, w, padding=1, flip=true)", {"x": image[:1], "w": spread("flip w", (2, 3, 3, 2))},
        lambda m, x, w: conv(x, w[:, :, ::-1, ::-1], window_strides=(1, 1), padding=[(1, 1)] * 2),
    )
    for groups, stride, flip in [(1, 1, False), (2, 2, True)]:
        x, rows = spread(f"own x {groups}", (2, 4, 4, 5)), 3 if stride == 1 else 2
        columns = 3 if stride == 1 else 2
        w = spread(f"own w {groups}", (4, rows, columns, 4 // groups, 2, 3))

        def own(m, x, w):
            w = w[..., ::-1, ::-1] if flip else w
            of = lambda n, f, r, c: m.sum(
                x[n, f // (4 // groups) * (4 // groups) :, r * stride : r * stride + 2, c * stride : c * stride + 3][: 4 // groups] * w[f, r, c]
            )
            return m.stack([of(n, f, r, c) for n in range(2) for f in range(4) for r in range(rows) for c in range(columns)]).reshape(2, 4, rows, columns)

        family.case(f"unshared_conv2d(x, w, stride={stride}, groups={groups}, flip={str(flip).lower()})", {"x": x, "w": w}, own, grad=True)
    inputs = {name: spread(f"levels {name}", shape) for name, shape in [("x", (5, 3)), ("w1", (3, 4)), ("b1", (4,)), ("w2", (4, 3, 2)), ("b2", (4, 2))]}

    def softmax(m, x):
        e = m.exp(x - m.max(x, axis=-1, keepdims=True))
        return e / m.sum(e, axis=-1, keepdims=True)

    def levels(m, x, w1, b1, w2, b2):
        within = m.stack([softmax(m, x @ w2[c] + b2[c]) for c in range(4)], axis=1)
        return (softmax(m, x @ w1 + b1)[:, :, None] * within).reshape(5, 8)

    family.case("h_softmax(x, w1, b1, w2, b2)", inputs, levels, grad=True)
    family.case("h_softmax(x, w1, b1, w2, b2, n_outputs=7)", inputs, lambda m, *all: levels(m, *all)[:, :7], grad=True)
    targets = np.array([0, 7, 3, 4, 2])
    picked = lambda m, target, *all: levels(m, *all)[np.arange(5), target]
    family.case("h_softmax(x, w1, b1, w2, b2, t)", {"t": targets, **inputs}, picked, grad=True, wrt=["x", "w1", "b1", "w2", "b2"])


def rounding(family):
    x = np.array([-2.5, -0.5, 0.5, 1.5, 2.345, 123.456, 0.49999999999999994, np.inf, np.nan])
    for decimals in [0, 1, 2, -1]:
        family.case(f"round(x, decimals={decimals})", {"x": x}, lambda m, x: np.round(x, decimals))
    family.case('round(x, mode="half_away_from_zero")', {"x": x}, lambda m, x: np.array([-3.0, -1.0, 1.0, 2.0, 2.0, 123.0, 0.0, np.inf, np.nan]))
    family.case("round(x, decimals=-1)", {"x": np.array([14, 15, 25, -15])}, lambda m, x: np.round(x, -1))
    family.case("iround(x)", {"x": np.array([-1.5, 0.5, 2.6])}, lambda m, x: np.array([-2, 0, 3]))
    family.case("q, r = divmod(x, y); q, r", {"x": np.array([7, -7, 7, -7]), "y": np.array([2, 2, -2, -2])}, lambda m, x, y: np.divmod(x, y))
    family.case("q, r = divmod(x, y); q, r", {"x": np.array([7.5, -7.5]), "y": np.array([2.0, 2.0])}, lambda m, x, y: np.divmod(x, y))


def normal_quantile(log_probability):
    """The number below which a standard normal one lies with that probability."""
    mpmath = __import__("mpmath")
    with mpmath.workdps(50):
        near = mpmath.mpf(float(scipy.special.ndtri_exp(log_probability)))
        return float(mpmath.findroot(lambda x: mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2) - mpmath.mpf(log_probability), near))


def special(family):
    k, s = scipy.special, np.array
    x = s([1e-3, 0.1, 0.7, 1.9, 2.0, 3.5, 20.0, 300.0])
    for order in [0.0, 0.3, 0.5, 1.0, 2.0, 2.7, 10.0, -1.5]:
        family.case(f"kv({order}, x)", {"x": x}, lambda m, x: k.kv(order, x))
        family.case(f"kve({order}, x)", {"x": x}, lambda m, x: k.kve(order, x))
    family.case("kn(2, x)", {"x": x}, lambda m, x: k.kn(2, x))
    for a, b, c in [(0.5, 1.25, 1.75), (1.0, 2.0, 3.5), (-2.0, 3.0, 1.5), (2.0, 2.5, 4.0), (0.3, 0.4, 2.2), (1.5, -0.7, 0.9)]:
        z = s([-20.0, -3.0, -0.9, -0.2, 0.1, 0.5, 0.8, 0.97, 0.9999])
        family.case(f"hyp2f1({a}, {b}, {c}, z)", {"z": z}, lambda m, z: s([float(__import__("mpmath").hyp2f1(a, b, c, v)) for v in z]))
    a, p = s([0.1, 0.7, 2.0, 30.0, 500.0]), s([[0.01], [0.3], [0.5], [0.9], [0.999]])
    family.case("gammaincinv(a, p)", {"a": a, "p": p}, lambda m, a, p: k.gammaincinv(a, p))
    family.case("gammainccinv(a, p)", {"a": a, "p": p}, lambda m, a, p: k.gammainccinv(a, p))
    family.case("betaincinv(a, 2.5, p)", {"a": a[:4], "p": p}, lambda m, a, p: k.betaincinv(a, 2.5, p))
    family.case("owens_t(h, a)", {"h": s([[-1.0], [0.0], [0.3], [2.0], [6.0]]), "a": s([-2.0, 0.0, 0.5, 1.0, 3.0, np.inf])}, lambda m, h, a: k.owens_t(h, a))
    family.case("poch(x, m)", {"x": s([0.5, 1.0, 3.2, -1.5, 10.0]), "m": s([2.0, 3.0, 0.7, 2.0, -2.5])}, lambda m, x, n: k.poch(x, n))
    family.case("factorial(x)", {"x": s([0.0, 1.0, 4.5, 10.0, -1.0])}, lambda m, x: k.factorial(x))
    family.case("xlogx(x)", {"x": s([0.0, 1e-300, 0.5, 3.0])}, lambda m, x: k.xlogy(x, x))
    family.case("log_ndtr(x)", {"x": s([-1e3, -38.0, -5.0, -1.0, 0.0, 3.0, 9.0])}, lambda m, x: k.log_ndtr(x))
    family.case("ndtri_exp(y)", {"y": s([-1e5, -800.0, -50.0, -2.0, -0.5, -1e-3, -1e-10])}, lambda m, y: s([normal_quantile(v) for v in y]))


def families():
    made = []
    for name, tolerance, gradients, parts, about in [
        ("signal", "16 of the largest", "32 of the largest", [signal], "NumPy, SciPy and JAX say of signals."),
        ("equations", "2000 of the largest", "20000 of the largest", [equations], "NumPy, SciPy and JAX say of equations."),
        ("spectra", "400 of the largest", "20000 of the largest", [spectra], "NumPy, SciPy and JAX say of spectra and matrix equations."),
        ("forms", "2 of each", "8 of the largest", [places, rounding], "NumPy and JAX say of forms and places."),
        ("images", "32 of the largest", "64 of the largest", [images], "NumPy and JAX say of images."),
        ("inverses", "400 of each", "400 of each", [special], "SciPy and mpmath say of more special functions."),
    ]:
        family = Family(name, tolerance, gradients, "What " + about)
        for part in parts:
            part(family)
        made.append(family)
    return made
