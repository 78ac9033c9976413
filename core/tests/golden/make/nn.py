"""Neural nets: JAX's convolutions, windows, normalizations and losses."""


import jax
import jax.numpy as jnp
import numpy as np

from case import Family, spread

LETTERS = {1: ("NCH", "OIH"), 2: ("NCHW", "OIHW"), 3: ("NCDHW", "OIDHW")}


def text_of(value):
    return (
        str([list(v) if isinstance(v, tuple) else v for v in value])
        if isinstance(value, (list, tuple))
        else f'"{value}"'
        if isinstance(value, str)
        else str(value)
    )


def conv(x, w, stride, padding, dilation, groups):
    n = x.ndim - 2
    kernel = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilation)]
    if padding == "half":
        padding = [(k // 2, k // 2) for k in kernel]
    elif padding == "full":
        padding = [(k - 1, k - 1) for k in kernel]
    elif isinstance(padding, str):
        padding = padding.upper()
    return jax.lax.conv_general_dilated(
        x,
        w,
        stride,
        padding,
        rhs_dilation=dilation,
        feature_group_count=groups,
        dimension_numbers=(LETTERS[n][0], LETTERS[n][1], LETTERS[n][0]),
        precision="highest",
    )


def convolutions(family):
    rows = [
        (1, (2, 3, 7), (4, 3, 3), [1], [(0, 0)], [1], 1),
        (1, (2, 3, 7), (4, 3, 3), [2], [(1, 2)], [1], 1),
        (1, (1, 4, 9), (4, 2, 3), [1], [(2, 2)], [2], 2),
        (1, (2, 2, 6), (2, 2, 3), [2], "same", [1], 1),
        (1, (2, 2, 6), (2, 2, 2), [1], "full", [1], 1),
        (1, (1, 2, 6), (3, 2, 3), [1], "half", [1], 1),
        (1, (1, 2, 6), (3, 2, 3), [3], "valid", [1], 1),
        (1, (1, 3, 5), (3, 1, 2), [1], "same", [1], 3),
        (1, (1, 1, 4), (1, 1, 4), [1], [(0, 0)], [1], 1),
        (2, (1, 2, 4, 5), (3, 2, 2, 3), [1, 1], [(0, 0), (0, 0)], [1, 1], 1),
        (2, (1, 2, 5, 4), (2, 2, 3, 2), [2, 1], [(1, 1), (0, 1)], [1, 1], 1),
        (2, (1, 2, 5, 5), (2, 1, 2, 2), [1, 2], "same", [2, 1], 2),
        (2, (1, 1, 3, 3), (1, 1, 2, 2), [1, 1], "full", [1, 1], 1),
        (2, (2, 1, 4, 4), (2, 1, 3, 3), [1, 1], "half", [1, 1], 1),
        (3, (1, 1, 3, 3, 3), (2, 1, 2, 2, 2), [1, 1, 1], [(0, 0)] * 3, [1, 1, 1], 1),
        (3, (1, 2, 3, 2, 3), (2, 1, 2, 1, 2), [2, 1, 1], [(1, 0), (0, 0), (1, 1)], [1, 1, 1], 2),
    ]
    for n, left, right, stride, padding, dilation, groups in rows:
        attributes = (
            f", stride={text_of(stride)}, padding={text_of(padding)}, dilation={text_of(dilation)}, groups={groups}"
        )
        text = f"conv{n}d(x, k{attributes})"
        x, k = spread(f"{text}x", left, digits=1), spread(f"{text}k", right, digits=1)
        family.case(
            text,
            {"x": x, "k": k},
            lambda m, x, k: conv(jnp.asarray(x), jnp.asarray(k), stride, padding, dilation, groups),
            grad=True,
        )
    # The transposed one is the gradient of a convolution in its operand; the kernel is in, out, ...
    rows = [
        (1, (1, 2, 4), (2, 3, 3), [2], [1], [0], 1, [1]),
        (1, (2, 4, 3), (4, 1, 2), [1], [0], [0], 2, [2]),
        (1, (1, 2, 4), (2, 2, 3), [3], [1], [2], 1, [1]),
        (2, (1, 2, 3, 2), (2, 2, 2, 3), [2, 1], [0, 1], [1, 0], 1, [1, 1]),
        (2, (1, 2, 2, 3), (2, 1, 2, 2), [1, 2], [0, 0], [0, 0], 2, [2, 1]),
        (3, (1, 1, 2, 2, 2), (1, 2, 2, 2, 1), [2, 1, 1], [0, 0, 0], [0, 0, 0], 1, [1, 1, 1]),
    ]
    for n, left, right, stride, padding, extra, groups, dilation in rows:
        text = (
            f"conv_transpose{n}d(x, k, stride={text_of(stride)}, padding={text_of(padding)}, output_padding={text_of(extra)}, "
            f"groups={groups}, dilation={text_of(dilation)})"
        )
        sizes = [
            (length - 1) * s - 2 * p + d * (k - 1) + 1 + e
            for length, s, p, d, k, e in zip(left[2:], stride, padding, dilation, right[2:], extra)
        ]
        shape = (left[0], right[1] * groups, *sizes)

        def transposed(m, x, k):
            forward = lambda y: conv(y, k, stride, [(p, p) for p in padding], dilation, groups)
            return jax.vjp(forward, jnp.zeros(shape))[1](jnp.asarray(x))[0]

        family.case(
            text,
            {"x": spread(f"{text}x", left, digits=1), "k": spread(f"{text}k", right, digits=1)},
            transposed,
            grad=True,
        )
    # Paddings with names, and kernels whose lengths only a call knows.
    for padding in ["same", "half", "full"]:
        x, k = spread(f"named {padding} x", (1, 2, 4), digits=1), spread(f"named {padding} k", (2, 2, 3), digits=1)

        def named(m, x, k):
            lower = {"same": (0, 1), "half": (1, 1), "full": (2, 2)}[padding]
            length = {"same": 8, "half": 7, "full": 5}[padding]
            forward = lambda y: conv(y, k, [2], [lower], [1], 1)
            return jax.vjp(forward, jnp.zeros((1, 2, length)))[1](jnp.asarray(x))[0]

        family.case(f'conv_transpose1d(x, k, stride=2, padding="{padding}")', {"x": x, "k": k}, named, grad=True)


def pools(family):
    for n, shape, window, stride, padding, dilation in [
        (1, (2, 7), 3, 2, 1, 1),
        (1, (2, 7), 2, 1, 0, 2),
        (1, (1, 2, 6), 3, 3, 0, 1),
        (1, (5,), 2, 2, 0, 1),
        (2, (2, 4, 5), (2, 3), (2, 1), (1, 0), (1, 1)),
        (2, (1, 1, 5, 5), (2, 2), (1, 2), (0, 1), (2, 1)),
        (2, (1, 2, 4, 4), (2, 2), (2, 2), (0, 0), (1, 1)),
        (3, (3, 3, 4), (2, 2, 2), (1, 1, 2), (1, 0, 0), (1, 1, 1)),
    ]:
        whole = lambda value: (value,) * n if isinstance(value, int) else value
        lead = (1,) * (len(shape) - n)
        attributes = f"window={text_of(window)}, stride={text_of(stride)}, padding={text_of(padding)}, dilation={text_of(dilation)}"

        def window_of(x, start, op):
            pad = ((0, 0),) * len(lead) + tuple((p, p) for p in whole(padding))
            return jax.lax.reduce_window(
                jnp.asarray(x),
                start,
                op,
                lead + whole(window),
                lead + whole(stride),
                pad,
                window_dilation=lead + whole(dilation),
            )

        total = lambda x: window_of(x, 0.0, jax.lax.add)
        size = int(np.prod(whole(window)))
        x = spread(f"pool{attributes}{shape}", shape)
        family.case(f"sum_pool{n}d(x, {attributes})", {"x": x}, lambda m, x: total(x), grad=True)
        family.case(f"avg_pool{n}d(x, {attributes})", {"x": x}, lambda m, x: total(x) / size, grad=True)
        family.case(
            f"avg_pool{n}d(x, {attributes}, count_include_pad=false)",
            {"x": x},
            lambda m, x: total(x) / total(jnp.ones(x.shape)),
            grad=True,
        )
        # JAX's maximum of windows that are dilated has no derivative.
        grad = True if all(d == 1 for d in whole(dilation)) else None
        family.case(
            f"max_pool{n}d(x, {attributes})", {"x": x}, lambda m, x: window_of(x, -jnp.inf, jax.lax.max), grad=grad
        )


def normal(x, axes, epsilon=1e-5):
    mean = x.mean(axis=axes, keepdims=True)
    return (x - mean) / jnp.sqrt(((x - mean) ** 2).mean(axis=axes, keepdims=True) + epsilon)


def normalizations(family):
    column = lambda v, n: v.reshape((-1,) + (1,) * n)
    for shape, axes in [((3, 4), 1), ((2, 3, 2), (1, 2)), ((2, 2, 4), -1)]:
        own = tuple(shape[a] for a in ((axes,) if isinstance(axes, int) else axes))
        axis = list(axes) if isinstance(axes, tuple) else axes
        inputs = {
            "x": spread(f"ln{shape}{axes}", shape),
            "g": spread(f"lng{axes}", own),
            "b": spread(f"lnb{axes}", own),
        }
        family.case(
            f"layer_norm(x, g, b, axis={axis})",
            inputs,
            lambda m, x, g, b: normal(jnp.asarray(x), axes) * g + b,
            grad=True,
        )
        family.case(
            f"layer_norm(x, axis={axis}, epsilon=0.1)",
            {"x": inputs["x"]},
            lambda m, x: normal(jnp.asarray(x), axes, 0.1),
            grad=True,
        )
        rms = lambda m, x, g: x / jnp.sqrt((jnp.asarray(x) ** 2).mean(axis=axes, keepdims=True) + 1e-5) * g
        family.case(f"rms_norm(x, g, axis={axis})", {"x": inputs["x"], "g": inputs["g"]}, rms, grad=True)
    for shape in [(4, 3), (2, 3, 4), (2, 2, 2, 3)]:
        c, n = shape[1], len(shape) - 2
        inputs = {"x": spread(f"bn{shape}", shape), "g": spread(f"bng{c}", (c,)), "b": spread(f"bnb{c}", (c,))}
        axes = (0, *range(2, len(shape)))

        def batch(m, x, g, b):
            return (
                normal(jnp.asarray(x), axes) * column(g, n) + column(b, n),
                jnp.mean(x, axis=axes),
                jnp.var(x, axis=axes),
            )

        family.case("y, m, v = batch_norm(x, g, b); y, m, v", inputs, batch, grad=True)
        if n:
            family.case(
                "instance_norm(x, g, b)",
                inputs,
                lambda m, x, g, b: normal(jnp.asarray(x), tuple(range(2, len(shape)))) * column(g, n) + column(b, n),
                grad=True,
            )
        inputs = {**inputs, "m": spread(f"bnm{c}", (c,)), "v": spread(f"bnv{c}", (c,), 0.2, 3)}
        family.case(
            "batch_norm_inference(x, m, v, g, b)",
            inputs,
            lambda _, x, g, b, m, v: (x - column(m, n)) / jnp.sqrt(column(v, n) + 1e-5) * column(g, n) + column(b, n),
            grad=True,
        )

    def grouped(m, x, g, b):
        parts = jnp.asarray(x).reshape(2, 2, 2, 3)
        return normal(parts, (2, 3)).reshape(2, 4, 3) * column(g, 1) + column(b, 1)

    family.case(
        "group_norm(x, g, b, groups=2)",
        {"x": spread("gn", (2, 4, 3)), "g": spread("gng", (4,)), "b": spread("gnb", (4,))},
        grouped,
        grad=True,
    )


def losses(family):
    scores, labels = spread("ce", (3, 4), -5, 5), np.array([1, 0, 3])
    log_softmax = lambda x, axis=-1: jax.nn.log_softmax(jnp.asarray(x), axis=axis)
    for shape in [(3, 4), (2, 3, 4), (5,), (1, 1)]:
        x = spread(f"sm{shape}", shape, -9, 9)
        for axis in [-1, 0]:
            family.case(
                f"softmax(x, axis={axis})",
                {"x": x},
                lambda m, x: jax.nn.softmax(jnp.asarray(x), axis=axis),
                grad=True,
            )
            family.case(f"log_softmax(x, axis={axis})", {"x": x}, lambda m, x: log_softmax(x, axis), grad=True)
    family.case(
        "softmax(x)",
        {"x": np.array([[1e3, 1e3], [-1e3, 1e3], [0.0, -np.inf], [np.nan, 1.0]])},
        lambda m, x: jax.nn.softmax(x),
    )
    family.case(
        "log_softmax(x)",
        {"x": np.array([[1e3, 1e3], [-1e3, 1e3], [0.0, -np.inf], [np.nan, 1.0]])},
        lambda m, x: jax.nn.log_softmax(x),
    )
    pick = lambda x, i: jnp.take_along_axis(jnp.asarray(x), np.asarray(i)[..., None], axis=-1)[..., 0]
    family.case(
        "cross_entropy(x, i)", {"x": scores, "i": labels}, lambda m, x, i: -pick(log_softmax(x), i), grad=True
    )
    family.case(
        "cross_entropy(x, i)",
        {"x": spread("ce3", (2, 2, 3)), "i": np.array([[0, 2], [1, 1]], dtype=np.uint8)},
        lambda m, x, i: -pick(log_softmax(x), i),
        grad=True,
    )
    p = np.array([[0.1, 0.2, 0.3, 0.4], [0.0, 1.0, 0.0, 0.0], [0.25, 0.25, 0.5, 0.0]])
    family.case(
        "softmax_cross_entropy(x, p)", {"x": scores, "p": p}, lambda m, x, p: -(p * log_softmax(x)).sum(-1), grad=True
    )
    q, t = spread("bce", (2, 3), 0.05, 0.95), spread("bcet", (2, 3), 0.1, 0.9)
    family.case(
        "binary_crossentropy(q, t)",
        {"q": q, "t": t},
        lambda m, q, t: -(t * jnp.log(q) + (1 - t) * jnp.log(1 - q)),
        grad=True,
    )
    family.case(
        "sigmoid_binary_crossentropy(x, t)",
        {"x": spread("sbce", (2, 3), -9, 9), "t": t},
        lambda m, x, t: t * jax.nn.softplus(-jnp.asarray(x)) + (1 - t) * jax.nn.softplus(jnp.asarray(x)),
        grad=True,
    )
    s = np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
    family.case(
        "categorical_crossentropy(s, t)", {"s": s, "t": t}, lambda m, s, t: -(t * jnp.log(s)).sum(-1), grad=True
    )
    family.case(
        "categorical_crossentropy(s, i)",
        {"s": s, "i": np.array([2, 0])},
        lambda m, s, i: -jnp.log(pick(s, i)),
        grad=True,
    )
    family.case(
        "kl_divergence(s, t)", {"s": s, "t": t}, lambda m, s, t: (s * (jnp.log(s) - jnp.log(t))).sum(-1), grad=True
    )
    huber = lambda delta: (
        lambda m, x, y: jnp.where(jnp.abs(x - y) <= delta, (x - y) ** 2 / 2, delta * (jnp.abs(x - y) - delta / 2))
    )
    for delta in [1.0, 0.5]:
        family.case(
            f"huber_loss(x, y, delta={delta})",
            {"x": spread("hx", (2, 3)), "y": spread("hy", (3,))},
            huber(delta),
            grad=True,
        )
    family.case(
        "embedding(i, t)",
        {"i": np.array([[1, 0], [1, -1]]), "t": spread("emb", (3, 2))},
        lambda m, i, t: t[np.asarray(i)],
        grad=True,
    )
    for x in [spread("hs", (3, 4), -5, 5)]:
        family.case("hard_swish(x)", {"x": x}, lambda m, x: jax.nn.hard_swish(jnp.asarray(x)), grad=True)


def families():
    family = Family("nets", "256 of the largest", "256 of the largest", "Neural nets, by JAX in f64.")
    for part in [convolutions, pools, normalizations, losses]:
        part(family)
    return [family]
