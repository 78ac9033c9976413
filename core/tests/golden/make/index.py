"""Reading and writing at places."""

import numpy as np

from case import Family, spread

X = (4, 3, 2)
BASIC = [
    "x[0]",
    "x[-1]",
    "x[1:3]",
    "x[::2]",
    "x[::-1]",
    "x[3:0:-2]",
    "x[:, 1]",
    "x[..., 0]",
    "x[None]",
    "x[:, None, 1:]",
    "x[-3:-1, ::-1, 0]",
    "x[10:]",
    "x[5:2]",
    "x[2:2]",
    "x[1, 2, 1]",
    "x[..., None]",
    "x[1, ..., 1]",
    "x[-100:100:3]",
    "x[:2, ..., ::-1]",
]
ADVANCED = [
    "x[i]",
    "x[i, j]",
    "x[:, j]",
    "x[i, :, 1]",
    "x[i, :, k]",
    "x[:, j, k]",
    "x[i[:, None], k]",
    "x[i[:, None], j]",
    "x[1, j]",
    "x[..., k]",
    "x[i, 1:, k]",
    "x[None, i]",
    "x[:, None, j]",
    "x[i, None, j]",
    "x[[2, 0, 2]]",
    "x[[0, -1], [1, 2]]",
    "x[:2, [1, 1, 0], ::-1]",
]
MASKS = ["x[m]", "x[:, n]", "x[m, 1]", "x[m, :, 0]", "x[x > 0]", "x[m, None]", "x[n2]", "x[i3, n]"]


def used_in(text):
    """The arrays that an index names."""
    names = {
        "i": np.array([3, 0, -1]),
        "j": np.array([2, -3, 0]),
        "k": np.array([0, 1, -1]),
        "m": np.array([True, False, True, True]),
        "n": np.array([True, False, True]),
        "n2": np.array([[True, False, True], [False] * 3, [True] * 3, [False, True, False]]),
        "i3": np.array([0, 2]),
    }
    used = {
        name: value
        for name, value in names.items()
        if name
        in text.replace("[", " ")
        .replace("]", " ")
        .replace(",", " ")
        .replace(":", " ")
        .replace("(", " ")
        .replace(")", " ")
        .split()
    }
    return used


def evaluate(expression, **values):
    import re

    lists = re.sub(r"(?<=[\[ ])\[([-0-9, ]+)\]", r"np.array([\1])", expression)
    return eval(lists, {"np": np, **values})


def reads(family):
    x = spread("index", X)
    for text in BASIC + ADVANCED + MASKS:
        used = used_in(text)
        if text == "x[x > 0]":
            family.case(text, {"x": x}, lambda m, x: x[np.asarray(spread("index", X)) > 0], grad=True)
            continue
        family.case(text, {"x": x, **used}, lambda m, x, *rest: evaluate(text, x=x, **used), grad=True)
        family.case(
            text, {"x": spread("indexi", X, -9, 9, "i16"), **used}, lambda m, x, *rest: evaluate(text, x=x, **used)
        )


def writes(family):
    for text in [*BASIC, *ADVANCED, *MASKS[:4], *MASKS[5:]]:
        used = used_in(text)
        shape = evaluate(text, x=np.zeros(X), **used).shape
        for op in ["set", "add"]:
            x, v = spread(f"{op}x{text}", X), spread(f"{op}v{text}", shape)
            rest = text[2:-1]

            def f(m, x, v, *others):
                if m.__class__.__name__ == "Jax":
                    place = evaluate(text.replace("x[", "x.at["), x=x, **used)
                    return getattr(place, op)(v)
                y = x.copy()
                index = evaluate("np.s_[" + rest + "]", **used)
                if op == "set":
                    y[index] = v
                else:
                    np.add.at(y, index, v)
                return y

            # Which of several values stays JAX does not say; NumPy the last.
            twice = op == "set" and text in (
                "x[[2, 0, 2]]",
                "x[:2, [1, 1, 0], ::-1]",
                "x[i]",
                "x[i, j]",
                "x[i, :, 1]",
                "x[i, :, k]",
                "x[i[:, None], k]",
                "x[i[:, None], j]",
                "x[None, i]",
                "x[i, None, j]",
                "x[i, 1:, k]",
                "x[:, j]",
                "x[:, j, k]",
                "x[1, j]",
                "x[:, None, j]",
                "x[..., k]",
                "x[[0, -1], [1, 2]]",
            )
            family.case(f"{op}_at({text}, v)", {"x": x, "v": v, **used}, f, grad=None if twice else True)
    x = spread("scalar", (3, 2))
    family.case(
        "set_at(x[1], v)",
        {"x": x, "v": np.array(7.0)},
        lambda m, x, v: m.array([x[0], m.broadcast_to(v, (2,)), x[2]]),
        grad=True,
    )
    family.case(
        "add_at(x[i], v)",
        {"x": np.zeros(4, dtype=np.uint8), "v": np.uint8(200), "i": np.array([1, 1, 3])},
        lambda m, x, v, i: np.array([0, 144, 0, 200], dtype=np.uint8),
    )
    family.case(
        "set_at(x[i], v)",
        {"x": np.zeros(3), "v": np.array([1.0, 2.0, 3.0]), "i": np.array([1, 1, 0])},
        lambda m, x, v, i: np.array([3.0, 2.0, 0.0]),
    )


def taking(family):
    x = spread("take", (3, 4))
    i = np.array([[2, 0], [-1, 2]])
    for axis in [None, 0, 1, -1]:
        text = "" if axis is None else f", axis={axis}"
        family.case(
            f"take(x, i{text})",
            {"x": x, "i": i},
            lambda m, x, i: m.take(
                x, np.asarray(i), axis=axis, **({"mode": "wrap"} if m.__class__.__name__ == "Jax" else {})
            ),
            grad=True,
        )
        for mode in ["wrap", "clip"]:
            family.case(
                f'take(x, i{text}, mode="{mode}")',
                {"x": x, "i": np.array([-9, 13, 1])},
                lambda m, x, i: m.take(x, np.asarray(i), axis=axis, mode=mode),
                grad=True,
            )
    for shape, axis in [((3, 2), 1), ((2, 4), 0), ((3, 4), -1)]:
        limit = x.shape[axis]
        i = spread(f"taa{shape}", shape, -limit, limit - 1, "i64")
        family.case(
            f"take_along_axis(x, i, axis={axis})",
            {"x": x, "i": i},
            lambda m, x, i: m.take_along_axis(x, np.asarray(i), axis=axis),
            grad=True,
        )
    i = np.array([[1], [0], [3]])
    v = np.array([[9.0], [8.0], [7.0]])

    def put(m, x, v):
        if m.__class__.__name__ == "Jax":
            return m.put_along_axis(x, i, v, axis=1, inplace=False)
        y = x.copy()
        np.put_along_axis(y, i, v, axis=1)
        return y

    family.case(
        "put_along_axis(x, i, v, axis=1)", {"x": x, "v": v, "i": i}, lambda m, x, v, _: put(m, x, v), grad=True
    )

    def put_flat(m, x, v):
        if m.__class__.__name__ == "Jax":
            return m.put(x, np.array([1, -1, 4]), v, inplace=False)
        y = x.copy()
        np.put(y, [1, -1, 4], v)
        return y

    family.case(
        "put(x, i, v)",
        {"x": x, "v": v[:, 0], "i": np.array([1, -1, 4])},
        lambda m, x, v, _: put_flat(m, x, v),
        grad=True,
    )
    condition = np.array([True, False, True])
    family.case(
        "compress(c, x, axis=0)",
        {"c": condition, "x": x},
        lambda m, c, x: m.compress(np.asarray(c), x, axis=0),
        grad=True,
    )
    family.case("compress(c, x)", {"c": condition, "x": x}, lambda m, c, x: m.compress(np.asarray(c), x), grad=True)
    family.case(
        "extract(c, x)",
        {"c": x > 0, "x": x},
        lambda m, c, x: m.ravel(x)[np.ravel(spread("take", (3, 4)) > 0)],
        grad=True,
    )
    a = np.array([[0, 1], [2, 0]])
    three = {"x": spread("cx", (2, 2)), "y": spread("cy", (2,)), "z": spread("cz", ())}
    family.case(
        "choose(a, [x, y, z])",
        {"a": a, **three},
        lambda m, a, x, y, z: (
            m.choose(np.asarray(a), [x, y, z])
            if m.__class__.__name__ == "NumPy"
            else m.select([a == 0, a == 1, a == 2], [m.broadcast_to(v, (2, 2)) for v in (x, y, z)])
        ),
        grad=True,
    )
    for mode in ["wrap", "clip"]:
        family.case(
            f'choose(a, [x, y, z], mode="{mode}")',
            {"a": a * 3 - 2, **three},
            lambda m, a, x, y, z: np.choose(a, [x, y, z], mode=mode),
        )
    p, q = np.array([True, False, True, False]), np.array([True, True, False, False])
    family.case(
        "select([p, q], [x, y], default=-1.5)",
        {"p": p, "q": q, "x": spread("sx", (4,)), "y": spread("sy", (4,))},
        lambda m, p, q, x, y: m.select([p, q], [x, y], default=-1.5),
        grad=True,
    )
    for shape in [(3, 3), (2, 4), (4, 2)]:

        def fill(x, v, wrap=False):
            y = x.copy()
            np.fill_diagonal(y, v, wrap=wrap)
            return y

        for wrap in [False, True]:
            text = ", wrap=true" if wrap else ""
            family.case(
                f"fill_diagonal(x, v{text})",
                {"x": spread(f"fd{shape}", shape), "v": np.array(9.0)},
                lambda m, x, v: fill(x, v, wrap),
                known=wrap,
            )


def families():
    family = Family(
        "index",
        "0 of the largest",
        "4 of the largest",
        "Basic and advanced indices, read, written and added to, with gradients.",
    )
    reads(family)
    writes(family)
    taking(family)
    return [family]
