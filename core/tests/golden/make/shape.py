"""Ops that move elements, and those that make tensors."""

import numpy as np

from case import DTYPES, Family, spread


def call(op, **attributes):
    def text(value):
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, tuple):
            return str(eval(str(value).replace("(", "[").replace(")", "]").replace(",]", "]")))
        return f'"{value}"' if isinstance(value, str) else str(value)

    return f"{op}(x" + "".join(f", {name}={text(value)}" for name, value in attributes.items()) + ")"


def moves(family):
    def of(text, shape, f, grad=True, dtype=None):
        x = spread(text + str(shape), shape) if dtype is None else spread(text, shape, 0, 100, dtype)
        family.case(text, {"x": x}, f, grad=grad, known=text == "squeeze(x)")

    for shape, to in [
        ((2, 3), (3, 2)),
        ((2, 3), (-1,)),
        ((6,), (2, -1, 3)),
        ((), (1, 1)),
        ((1,), ()),
        ((0, 3), (3, 0)),
        ((2, 3, 2), (4, 3)),
        ((2, 0), (0, 5)),
    ]:
        of(f"reshape(x, {list(to)})", shape, lambda m, x: m.reshape(x, to))
    for shape, axes in [
        ((2, 3), None),
        ((2, 3, 4), None),
        ((2, 3, 4), (1, 2, 0)),
        ((2, 3, 4), (-1, 0, 1)),
        ((3,), None),
        ((), None),
    ]:
        of(
            "transpose(x)" if axes is None else f"transpose(x, axes={list(axes)})",
            shape,
            lambda m, x: m.transpose(x, axes),
        )
    for shape, a, b in [((2, 3, 4), 0, 2), ((2, 3, 4), -1, 1), ((2, 3), 0, 0)]:
        of(f"swapaxes(x, {a}, {b})", shape, lambda m, x: m.swapaxes(x, a, b))
    for source, to in [(0, 2), (-1, 0), ((0, 1), (2, 0)), ((2, 0), (0, 1))]:
        of(
            f"moveaxis(x, {list(source) if isinstance(source, tuple) else source}, {list(to) if isinstance(to, tuple) else to})",
            (2, 3, 4),
            lambda m, x: m.moveaxis(x, source, to),
        )
    for shape, to in [((3,), (2, 3)), ((2, 1), (2, 3)), ((), (2, 2)), ((1, 3), (4, 2, 3)), ((1,), (0,))]:
        of(f"broadcast_to(x, {list(to)})", shape, lambda m, x: m.broadcast_to(x, to))
    for axis in [0, 1, -1, (0, 2), (-1, 0)]:
        of(call("expand_dims", axis=axis), (2, 3), lambda m, x: m.expand_dims(x, axis))
    for shape, axis in [((1, 2, 1), None), ((1, 2, 1), 0), ((1, 2, 1), (0, -1)), ((2,), None)]:
        of("squeeze(x)" if axis is None else call("squeeze", axis=axis), shape, lambda m, x: m.squeeze(x, axis))
    for op in ["flatten", "ravel"]:
        of(f"{op}(x)", (2, 3, 2), lambda m, x: m.ravel(x))
    for shape, axis in [((2, 3), None), ((2, 3), 0), ((2, 3, 2), (0, -1)), ((0,), 0), ((3,), -1)]:
        of("flip(x)" if axis is None else call("flip", axis=axis), shape, lambda m, x: m.flip(x, axis))
    for shape, shift, axis in [
        ((5,), 2, None),
        ((5,), -7, None),
        ((2, 3), 1, None),
        ((2, 3), 1, 0),
        ((2, 3), (1, -1), (0, 1)),
        ((2, 3), 2, (0, 1)),
        ((2, 3), (1, 2), (1, 1)),
        ((0, 3), 1, 0),
    ]:
        of(
            call("roll", shift=shift) if axis is None else call("roll", shift=shift, axis=axis),
            shape,
            lambda m, x: m.roll(x, shift, axis),
        )
    for shape, reps in [
        ((3,), (2,)),
        ((2, 2), (2, 1)),
        ((2,), (2, 2)),
        ((2, 1, 2), (3,)),
        ((), (2,)),
        ((2,), (0,)),
        ((2, 2), (1, 2, 2)),
    ]:
        of(call("tile", reps=reps), shape, lambda m, x: m.tile(x, reps))
    for shape, repeats, axis in [
        ((3,), 2, None),
        ((2, 2), 2, None),
        ((2, 3), 2, 0),
        ((2, 3), 3, -1),
        ((2, 3), 0, 1),
        ((), 3, None),
    ]:
        of(
            call("repeat", repeats=repeats) if axis is None else call("repeat", repeats=repeats, axis=axis),
            shape,
            lambda m, x: m.repeat(x, repeats, axis),
        )
    family.case(
        "repeat(x, n, axis=0)",
        {"x": spread("rep", (3, 2)), "n": np.array([2, 0, 1])},
        lambda m, x, n: m.repeat(x, np.asarray(n), axis=0),
        grad=True,
    )
    family.case(
        "repeat(x, n)",
        {"x": spread("rep2", (3,)), "n": np.array([1, 3, 0])},
        lambda m, x, n: m.repeat(x, np.asarray(n)),
        grad=True,
    )
    for k in [-1, 0, 1, 5]:
        of(f"tril(x, k={k})", (3, 4), lambda m, x: m.tril(x, k))
        of(f"triu(x, k={k})", (2, 3, 2), lambda m, x: m.triu(x, k))
        of(f"diag(x, k={k})", (3,), lambda m, x: m.diag(x, k))
        of(f"diag(x, k={k})", (3, 4), lambda m, x: m.diag(x, k))
        of(f"diagonal(x, offset={k})", (3, 3, 2), lambda m, x: m.diagonal(x, offset=k))
        of(
            f"diagonal(x, offset={k}, axis1=-1, axis2=0)",
            (3, 2, 3),
            lambda m, x: m.diagonal(x, offset=k, axis1=-1, axis2=0),
        )
    for op, rank in [("atleast_1d", 0), ("atleast_2d", 1), ("atleast_3d", 1), ("atleast_3d", 2), ("atleast_2d", 3)]:
        of(f"{op}(x)", (2, 3, 2)[:rank], lambda m, x: getattr(m, op)(x))
    for dtype in ["i8", "u16", "bool", "f16"]:
        of("flip(transpose(x), axis=0)", (2, 3), lambda m, x: m.flip(m.transpose(x), 0), None, dtype)


def pads(family):
    widths = [((1, 2),), ((2, 0), (1, 3))]
    modes = [
        ("constant", {}),
        ("edge", {}),
        ("reflect", {}),
        ("symmetric", {}),
        ("wrap", {}),
        ("linear_ramp", {"end_values": 1.5}),
        ("maximum", {}),
        ("mean", {}),
        ("median", {}),
        ("minimum", {}),
        ("median", {"stat_length": 3}),
        ("maximum", {"stat_length": 2}),
        ("mean", {"stat_length": 2}),
        ("minimum", {"stat_length": 1}),
    ]
    for mode, attributes in modes:
        for width in widths:
            for long in [False, True]:
                shape = (4, 3)[: len(width)] if len(width) == 2 else (5,)
                if long:
                    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
                        continue
                    width = tuple((2 * a + 3, 3 * b + 2) for a, b in width)
                # JAX's gradients of these modes are of another convention at ties, or are missing.
                grad = (
                    True
                    if mode in ("constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "mean")
                    else None
                )
                text = call("pad", pad_width=width, mode=mode, **attributes)
                family.case(
                    text, {"x": spread(text, shape)}, lambda m, x: m.pad(x, width, mode=mode, **attributes), grad=grad
                )
    for mode in ["reflect", "symmetric", "constant", "wrap", "edge"]:
        for dtype in ["i32", "bool"]:
            text = call("pad", pad_width=((1, 2), (2, 1)), mode=mode)
            family.case(
                text, {"x": spread(text, (3, 4), 0, 9, dtype)}, lambda m, x: m.pad(x, ((1, 2), (2, 1)), mode=mode)
            )
    family.case(
        "pad(x, [[1, 2]], constant_values=v)",
        {"x": spread("padv", (2,)), "v": np.array(2.5)},
        lambda m, x, v: m.pad(x, ((1, 2),), constant_values=v),
        grad=True,
    )
    for width in [0, 2, (1, 2)]:
        text = call("pad", pad_width=width)
        family.case(text, {"x": spread(text, (2, 2))}, lambda m, x: m.pad(x, width), grad=True)


def joins(family):
    x, y = spread("joinx", (2, 3)), spread("joiny", (2, 3))
    both = {"x": x, "y": y}
    for axis in [0, 1, -1]:
        family.case(
            f"concatenate([x, y], axis={axis})", both, lambda m, x, y: m.concatenate([x, y], axis=axis), grad=True
        )
    for axis in [0, 1, 2, -1]:
        family.case(f"stack([x, y, x], axis={axis})", both, lambda m, x, y: m.stack([x, y, x], axis=axis), grad=True)
    for op in ["hstack", "vstack", "dstack", "column_stack"]:
        family.case(f"{op}([x, y])", both, lambda m, x, y: getattr(m, op)([x, y]), grad=True)
        family.case(f"{op}([x, y])", {"x": x[0], "y": y[1]}, lambda m, x, y: getattr(m, op)([x, y]), grad=True)
    family.case(
        "concatenate([x, y], axis=0)",
        {"x": np.int8([1, 2]), "y": np.float32([0.5])},
        lambda m, x, y: m.concatenate([x, y]),
    )
    family.case(
        "concatenate([x, y], axis=1)",
        {"x": np.zeros((2, 0)), "y": y},
        lambda m, x, y: m.concatenate([x, y], axis=1),
        grad=True,
    )
    for sections, count in [(2, 2), ([1, 3], 3), ([-1], 2), ([2, 9], 3), ([3, 1], 3)]:
        names = ", ".join("abc"[:count])
        family.case(
            f"{names} = split(x, {sections}, axis=1); {names}",
            {"x": spread("split", (2, 4))},
            lambda m, x: (
                tuple(np.split(x, sections, axis=1))
                if m.__class__.__name__ == "NumPy"
                else tuple(m.split(x, np.array(sections) if isinstance(sections, list) else sections, axis=1))
            ),
            grad=True if sections in (2, [1, 3]) else None,
        )
    family.case(
        "a, b, c = array_split(x, 3); a, b, c",
        {"x": spread("asplit", (5,))},
        lambda m, x: tuple(m.array_split(x, 3)),
        grad=True,
    )
    family.case(
        "a, b = meshgrid(x, y); a, b", {"x": x[0], "y": y[0, :2]}, lambda m, x, y: tuple(m.meshgrid(x, y)), grad=True
    )
    family.case(
        'a, b = meshgrid(x, y, indexing="ij"); a, b',
        {"x": x[0], "y": y[0, :2]},
        lambda m, x, y: tuple(m.meshgrid(x, y, indexing="ij")),
        grad=True,
    )
    family.case(
        "a, b = meshgrid(x, y, sparse=true); a, b",
        {"x": x[0], "y": y[0, :2]},
        lambda m, x, y: tuple(m.meshgrid(x, y, sparse=True)),
        grad=True,
    )
    family.case(
        "a, b = broadcast_arrays(x, y); a, b",
        {"x": x[:, :1], "y": y[0]},
        lambda m, x, y: tuple(m.broadcast_arrays(x, y)),
        grad=True,
    )


def made(family):
    def of(text, f):
        # The one operand keeps the batch's functions from being constants.
        family.case(text, {"x": np.array(0)}, lambda m, x: f(np))

    for start, stop, step in [(0, 5, 1), (2, 11, 3), (5, 0, -2), (0, 0, 1), (3, 1, 1)]:
        of(f"arange({start}, {stop}, {step})", lambda m: m.arange(start, stop, step))
        of(f"arange({start}, {stop}, {step}, dtype=f32)", lambda m: m.arange(start, stop, step, dtype=np.float32))
    for start, stop, step in [(0.0, 1.0, 0.1), (0.5, 2.0, 0.5), (1.0, 0.0, -0.3), (0.0, 0.3, 0.1)]:
        of(f"arange({start}, {stop}, {step})", lambda m: m.arange(start, stop, step))
    of("arange(4)", lambda m: m.arange(4))
    of("arange(2.5)", lambda m: m.arange(2.5))
    for n, columns, k in [(3, 3, 0), (2, 4, 1), (4, 2, -1), (3, 3, 5), (0, 2, 0)]:
        of(f"eye({n}, {columns}, k={k})", lambda m: m.eye(n, columns, k))
        of(f"eye({n}, {columns}, k={k}, dtype=i8)", lambda m: m.eye(n, columns, k, dtype=np.int8))
        of(f"tri({n}, {columns}, k={k})", lambda m: m.tri(n, columns, k))
    for dtype in DTYPES:
        of(f"zeros(2, 3, dtype={dtype})", lambda m: m.zeros((2, 3), dtype=DTYPES[dtype]))
        of(f"ones(2, 0, dtype={dtype})", lambda m: m.ones((2, 0), dtype=DTYPES[dtype]))
        of(f"full([2], 1, dtype={dtype})", lambda m: m.full(2, 1, dtype=DTYPES[dtype]))
    of("identity(3)", lambda m: m.identity(3))
    for start, stop, num, endpoint in [
        (0.0, 1.0, 5, True),
        (2.0, -1.0, 4, False),
        (1.0, 3.0, 1, True),
        (1.0, 3.0, 0, True),
    ]:
        text = f"{num}, endpoint={str(endpoint).lower()}"
        of(f"linspace({start}, {stop}, {text})", lambda m: m.linspace(start, stop, num, endpoint=endpoint))
        of(f"logspace({start}, {stop}, {text})", lambda m: m.logspace(start, stop, num, endpoint=endpoint))
        if start > 0 and stop > 0:
            of(f"geomspace({start}, {stop}, {text})", lambda m: m.geomspace(start, stop, num, endpoint=endpoint))
    family.case(
        "linspace(a, b, 4)", {"a": np.array(0.5), "b": np.array(2.0)}, lambda m, a, b: m.linspace(a, b, 4), grad=True
    )
    family.case(
        "linspace(a, b, 3, axis=1)",
        {"a": np.array([0.5, 1.0]), "b": np.array(2.0)},
        lambda m, a, b: m.linspace(a, b, 3, axis=1),
        grad=True,
    )
    family.case(
        "geomspace(a, b, 4)",
        {"a": np.array(0.5), "b": np.array(2.0)},
        lambda m, a, b: m.geomspace(a, b, 4),
        grad=True,
    )
    family.case("full([2, 2], a)", {"a": np.array(1.5)}, lambda m, a: m.full((2, 2), a), grad=True)
    family.case("full_like(x, a)", {"x": np.zeros((2, 3)), "a": np.array(1.5)}, lambda m, x, a: m.full_like(x, a))
    family.case(
        "zeros_like(x), ones_like(x)",
        {"x": np.zeros((2, 3), dtype=np.int8)},
        lambda m, x: (m.zeros_like(x), m.ones_like(x)),
    )
    family.case("shape(x), size(x)", {"x": np.zeros((2, 0, 3))}, lambda m, x: (np.array(x.shape), np.array(x.size)))
    for k in [-1, 0, 1]:
        of(f"a, b = tril_indices(3, k={k}, m=4); a, b", lambda m: m.tril_indices(3, k, 4))
        of(f"a, b = triu_indices(3, k={k}, m=4); a, b", lambda m: m.triu_indices(3, k, 4))
    family.case("one_hot(i, 4)", {"i": np.array([[0, 3], [1, 1]])}, lambda m, i: np.eye(4)[i])
    family.case(
        "one_hot(i, 3, dtype=i32)", {"i": np.array([2, 0], dtype=np.uint8)}, lambda m, i: np.eye(3, dtype=np.int32)[i]
    )


def families():
    family = Family(
        "shapes", "16 of the largest", "16 of the largest", "Ops that move and join elements, padding of all modes."
    )
    moves(family)
    pads(family)
    joins(family)
    create = Family("create", "4 of the largest", "16 of the largest", "Ops that make tensors.")
    made(create)
    return [family, create]
