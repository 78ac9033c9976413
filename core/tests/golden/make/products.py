"""Products of vectors, matrices and stacks of them; einsum and tensordot."""

import numpy as np

from case import Family, spread

RANKS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((4, 2, 3), (3, 2)),
    ((4, 2, 3), (3,)),
    ((3,), (4, 3, 2)),
    ((2, 3), (4, 3, 2)),
    ((3, 1, 2, 3), (2, 3, 1)),
    ((1, 2, 3), (4, 3, 2)),
    ((1, 1), (1, 1)),
    ((2, 2, 2, 3), (2, 2, 3, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((0, 2, 3), (3, 2)),
    ((0,), (0,)),
    ((7, 5), (5, 9)),
    ((17, 13), (13, 3)),
]


def pair(family, op, left, right, f, grad=True, dtype="f64", dtypes=None):
    x, y = spread(f"{op}{left}x", left, dtype=dtype), spread(f"{op}{right}y", right, dtype=dtype)
    if dtype == "f32":
        return family.case(
            op, {"x": x, "y": y}, lambda m, x, y: f(m, x.astype(np.float64), y.astype(np.float64)), dtypes="f32"
        )
    family.case(op, {"x": x, "y": y}, f, grad=grad)


def pairs(family):
    for left, right in RANKS:
        pair(family, "x @ y", left, right, lambda m, x, y: m.matmul(x, y))
    for dtype in ["i8", "u8", "i32", "i64", "u64", "bool", "f32"]:
        for left, right in [((2, 3), (3, 2)), ((4, 1, 2, 3), (2, 3, 2)), ((3,), (3,))]:
            pair(family, "x @ y", left, right, lambda m, x, y: m.matmul(x, y), grad=None, dtype=dtype)
    family.case(
        "x @ y",
        {"x": np.full((2, 2), 100, dtype=np.int8), "y": np.full((2, 2), 3, dtype=np.int8)},
        lambda m, x, y: x @ y,
    )
    family.case(
        "x @ y",
        {"x": np.array([[np.inf, 1.0], [0.0, np.nan]]), "y": np.array([[0.0, 1.0], [1.0, 2.0]])},
        lambda m, x, y: x @ y,
    )
    for left, right in [
        ((), (2,)),
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((2, 3), (3, 4)),
        ((2, 3), (4, 3, 2)),
        ((2, 2, 3), (3,)),
        ((2, 0), (3, 0, 2)),
        ((), ()),
    ]:
        pair(family, "dot(x, y)", left, right, lambda m, x, y: m.dot(x, y))
    for left, right in [((2, 3), (4,)), ((), (3,)), ((0,), (3,))]:
        pair(family, "outer(x, y)", left, right, lambda m, x, y: m.outer(x, y))
    for left, right in [((2, 3), (4, 3)), ((3,), (2, 2, 3)), ((), (2,))]:
        pair(family, "inner(x, y)", left, right, lambda m, x, y: m.inner(x, y))
    for left, right in [((2, 3), (3,)), ((2, 1, 3), (4, 3)), ((0,), (0,))]:
        pair(family, "vecdot(x, y)", left, right, lambda m, x, y: m.sum(x * y, axis=-1))
    for left, right in [((2, 3), (3,)), ((2, 4, 3), (2, 3)), ((4, 3), (2, 3))]:
        pair(family, "matvec(x, y)", left, right, lambda m, x, y: m.matmul(x, y[..., None])[..., 0])
    for left, right in [((3,), (3, 2)), ((2, 3), (2, 3, 4))]:
        pair(family, "vecmat(x, y)", left, right, lambda m, x, y: m.matmul(x[..., None, :], y)[..., 0, :])
    for left, right in [((2, 3, 4), (2, 4, 2)), ((2, 3, 4), (2, 4)), ((3, 2), (3, 2))]:
        pair(family, "batched_dot(x, y)", left, right, lambda m, x, y: batched(m, x, y))
    for left, right in [((2, 3), (2, 2)), ((3,), (2, 2)), ((2, 1, 2), (3,)), ((), (2,)), ((2, 0), (2, 2))]:
        pair(
            family,
            "kron(x, y)",
            left,
            right,
            lambda m, x, y: m.kron(x, y),
            grad=True if left and 0 not in left else None,
        )
    for axes, left, right in [
        ("2", (2, 3, 4), (3, 4, 2)),
        ("1", (2, 3), (3, 2)),
        ("0", (2,), (3, 2)),
        ("[[0], [1]]", (3, 2), (4, 3)),
        ("[[1, 0], [0, 1]]", (2, 3, 2), (3, 2, 2)),
        ("[[-1], [0]]", (2, 3), (3,)),
        ("[[0, 2], [2, 0]]", (2, 3, 4), (4, 1, 2)),
    ]:
        pair(family, f"tensordot(x, y, axes={axes})", left, right, lambda m, x, y: m.tensordot(x, y, axes=eval(axes)))


def batched(m, x, y):
    return m.einsum("bi,bi->b" if x.ndim == y.ndim == 2 else "bij,bj->bi" if y.ndim == 2 else "bij,bjk->bik", x, y)


def several(family):
    rows = [
        ("ij,jk->ik", (2, 3), (3, 2)),
        ("ij,jk", (2, 3), (3, 2)),
        ("ij,kj->ki", (2, 3), (4, 3)),
        ("ij,ij", (2, 3), (2, 3)),
        ("i,j->ij", (2,), (3,)),
        ("ij,j->i", (2, 3), (3,)),
        ("bij,bjk->bik", (2, 2, 3), (2, 3, 2)),
        ("...ij,...jk->...ik", (2, 1, 2, 3), (3, 3, 2)),
        ("ijk,jil->kl", (2, 3, 2), (3, 2, 4)),
        ("ij,jk->", (2, 3), (3, 2)),
        ("i...,i...->...", (3, 2), (3, 2)),
        ("ba,b", (2, 3), (2,)),
        ("abc,cd->dab", (2, 1, 3), (3, 2)),
        ("ii,i->i", (3, 3), (3,)),
        ("ij,jk->ik", (0, 3), (3, 2)),
        ("ij,jk->ik", (2, 0), (0, 2)),
        ("...,...", (2, 3), (3,)),
        ("ab,bc->ca", (1, 3), (3, 2)),
    ]
    for subscripts, left, right in rows:
        pair(family, f'einsum("{subscripts}", x, y)', left, right, lambda m, x, y: m.einsum(subscripts, x, y))
        pair(
            family,
            f'einsum("{subscripts}", x, y)',
            left,
            right,
            lambda m, x, y: m.einsum(subscripts, x, y),
            grad=None,
            dtype="i32",
        )
    for subscripts, shape in [
        ("ij->ji", (2, 3)),
        ("ii", (3, 3)),
        ("ii->i", (3, 3)),
        ("ij->", (2, 3)),
        ("ij->j", (2, 3)),
        ("ijk->ki", (2, 3, 2)),
        ("...i->i...", (2, 3, 4)),
        ("ba", (2, 3)),
        ("iji->j", (2, 3, 2)),
        ("iii->i", (2, 2, 2)),
        ("...ii->...", (2, 3, 3)),
        ("...->...", (2, 2)),
    ]:
        family.case(
            f'einsum("{subscripts}", x)',
            {"x": spread(f"es{subscripts}", shape)},
            lambda m, x: m.einsum(subscripts, x),
            grad=True,
        )
    three = {"x": spread("e3x", (2, 3)), "y": spread("e3y", (3, 4)), "z": spread("e3z", (4, 2))}
    for subscripts in ["ij,jk,kl->il", "ij,jk,ki->", "ij,jk,kl->ijl", "ab,bc,cd", "ij,jk,ki->jk"]:
        family.case(
            f'einsum("{subscripts}", x, y, z)', three, lambda m, x, y, z: m.einsum(subscripts, x, y, z), grad=True
        )
    family.case(
        'einsum("i,ij,jk,kl,l", v, x, y, z, v)',
        {"v": spread("e3v", (2,)), **three},
        lambda m, v, x, y, z: m.einsum("i,ij,jk,kl,l", v, x, y, z, v),
        grad=True,
    )
    chain = {"x": spread("mdx", (2, 5)), "y": spread("mdy", (5, 3)), "z": spread("mdz", (3, 4))}
    family.case("multi_dot([x, y, z])", chain, lambda m, x, y, z: m.linalg.multi_dot([x, y, z]), grad=True)
    family.case(
        "multi_dot([v, x, y])",
        {"v": spread("mdv", (2,)), "x": chain["x"], "y": chain["y"]},
        lambda m, v, x, y: m.linalg.multi_dot([v, x, y]),
        grad=True,
    )
    family.case(
        "block_diag([x, y])",
        {"x": spread("bd", (2, 3)), "y": spread("bde", (1, 2))},
        lambda m, x, y: m.block([[x, m.zeros((2, 2))], [m.zeros((1, 3)), y]]),
        grad=True,
    )
    for shape, arguments in [
        ((3, 3), {}),
        ((3, 4), {"offset": 1}),
        ((3, 4), {"offset": -2}),
        ((2, 3, 3), {"axis1": 1, "axis2": 2}),
        ((3, 2, 3), {"offset": 1, "axis1": 2, "axis2": 0}),
        ((2, 0), {}),
    ]:
        text = "".join(f", {name}={value}" for name, value in arguments.items())
        family.case(
            f"trace(x{text})", {"x": spread(f"trace{shape}", shape)}, lambda m, x: m.trace(x, **arguments), grad=True
        )
    family.case("trace(x)", {"x": np.full((3, 3), 100, dtype=np.int8)}, lambda m, x: m.trace(x))
    for n in [0, 1, 2, 3, 5, -1, -3]:
        x = spread(f"mp{n}", (2, 2, 2)) + 2 * np.eye(2)
        family.case(
            f"matrix_power(x, {n})",
            {"x": np.round(x, 2)},
            lambda m, x: m.linalg.matrix_power(x, n),
            grad=True if n else None,
        )
    family.case("matrix_power(x, 3)", {"x": np.array([[1, 2], [3, 4]])}, lambda m, x: np.linalg.matrix_power(x, 3))


def families():
    family = Family(
        "products",
        "64 of the largest",
        "64 of the largest",
        "Products of vectors, matrices and stacks; sums may be added up in another order.",
    )
    pairs(family)
    several(family)
    return [family]
