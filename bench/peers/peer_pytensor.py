"""PyTensor by its C or its Numba linker: `pytensor.function` with shared variables and updates."""

import functools
import math

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.extra_ops import cpu_contiguous
from pytensor.tensor.special import log_softmax

VERSION = f"PyTensor {pytensor.__version__}"
mode = None


def configure(options):
    global mode
    mode = "NUMBA" if options["linker"] == "numba" else pytensor.compile.mode.Mode("cvm", "fast_run")


def load(array):
    return array


def unload(value):
    return np.asarray(value)


class Task:
    def __init__(self, function, arguments, shared):
        self.function, self.arguments, self.shared = function, arguments, shared

    def call(self):
        return self.function(*self.arguments)

    def states(self):
        return [shared.get_value() for shared in self.shared]


def build(workload, inputs):
    """`trust_input` is what an expert sets: no check of arguments in each call."""
    variables, arguments, shared = {}, [], {}
    for name, value in inputs.items():
        if name in workload["states"]:
            variables[name] = shared[name] = pytensor.shared(value, name=name, shape=value.shape)
        else:
            variables[name] = pt.tensor(name, dtype=value.dtype, shape=value.shape)
            arguments.append(name)
    stated = globals()[workload["formula"]](**variables, **workload["constants"])
    results, updates = stated if isinstance(stated, tuple) else (stated, {})
    function = pytensor.function([variables[name] for name in arguments], results, updates=updates, mode=mode, trust_input=True)
    return Task(function, [inputs[name] for name in arguments], [shared[name] for name in workload["states"]])


def ew_a1(a):
    return [a + 1]


def ew_axpby(a, b):
    return [2 * a + 3 * b]


def ew_sq(a, b):
    return [a**2 + b**2 + 2 * a * b]


def ew_pow10(a, b):
    return [2 * a + b**10]


def ew_sigmoid(a, b, c):
    return [1 / (1 + pt.exp(-(a * b + c)))]


def ew_gauss(x, mu, s):
    return [pt.exp(-0.5 * ((x - mu) / s) ** 2) / (s * math.sqrt(2 * math.pi))]


def ew_long(a, b, c, d):
    r = b
    for _ in range(8):
        r = pt.abs(pt.maximum(r * a + b, c)) / d
    return [r]


def gauss_logp(x, mu, log_sigma):
    density = pt.sum(-0.5 * ((x - mu) / pt.exp(log_sigma)) ** 2 - log_sigma - 0.5 * math.log(2 * math.pi))
    return [density, *pt.grad(density, [mu, log_sigma])]


def descend(cost, parameters, rate):
    """The rate in the dtype of each parameter, so that f32 stays f32."""
    gradients = pt.grad(cost, parameters)
    return {parameter: parameter - np.asarray(rate, parameter.dtype) * gradient for parameter, gradient in zip(parameters, gradients)}


def logreg(x, y, w, b):
    p = pt.sigmoid(x @ w + b)
    entropy = pt.mean(-y * pt.log(p) - (1 - y) * pt.log(1 - p))
    return [p > 0.5, entropy], descend(entropy + 0.01 * pt.sum(w**2), [w, b], 0.1)


def cross_entropy(logits, y):
    return -pt.mean(log_softmax(logits, axis=-1)[pt.arange(y.shape[0]), y])


def softmax_reg(x, y, w, b):
    loss = cross_entropy(x @ w + b, y)
    return [loss], descend(loss, [w, b], 0.1)


def mlp_tanh(x, y, w1, b1, w2, b2):
    loss = cross_entropy(pt.tanh(x @ w1 + b1) @ w2 + b2, y)
    return [loss], descend(loss, [w1, b1, w2, b2], 0.01)


def relu(x):
    return pt.maximum(x, np.asarray(0, x.dtype))


def mlp_relu(x, y, w1, b1, w2, b2, w3, b3):
    loss = cross_entropy(relu(relu(x @ w1 + b1) @ w2 + b2) @ w3 + b3, y)
    return [loss], descend(loss, [w1, b1, w2, b2, w3, b3], 0.01)


def lenet(x, y, w1, b1, w2, b2, w3, b3, w4, b4, pool1=2, pool2=2, before=lambda maps: maps):
    def layer(x, w, b, pool):
        # There is no convolution of batches of maps: a product with shifted images, beside each other.
        n, _, height, width = x.type.shape
        c, _, k, _ = w.type.shape
        height, width = height - k + 1, width - k + 1
        shifted = pt.stack([x[:, :, i:i + height, j:j + width] for i in range(k) for j in range(k)], axis=2)
        maps = (w.reshape((c, -1)) @ shifted.reshape((n, -1, height * width))).reshape((n, c, height, width)) + b[:, None, None]
        windows = before(maps).reshape((n, c, height // pool, pool, width // pool, pool))
        return pt.tanh(pt.max(windows, axis=(3, 5)))
    features = layer(layer(x, w1, b1, pool1), w2, b2, pool2)
    hidden = pt.tanh(features.flatten(2) @ w3 + b3)
    loss = cross_entropy(hidden @ w4 + b4, y)
    return [loss], descend(loss, [w1, b1, w2, b2, w3, b3, w4, b4], 0.01)


conv_small = conv_med = conv_large = functools.partial(lenet, before=pt.tanh)


def scan(function, **arguments):
    return pytensor.scan(function, return_updates=False, **arguments)


def rnn_scan(x, y, wx, wh, b, wo, bo):
    hs = scan(lambda x_t, h, wh: pt.tanh(x_t + h @ wh), sequences=[x @ wx + b], outputs_info=[pt.zeros_like(b)], non_sequences=[wh])
    loss = cross_entropy(hs @ wo + bo, y)
    return [loss], descend(loss, [wx, wh, b, wo, bo], 0.01)


def lstm_scan(x, y, wx, wh, b, wo, bo):
    units = wh.type.shape[0]

    def step(x_t, h, c, wh):
        gates = x_t + h @ wh
        i, f, g, o = (gates[:, at * units:(at + 1) * units] for at in range(4))
        c = pt.sigmoid(f) * c + pt.sigmoid(i) * pt.tanh(g)
        return pt.sigmoid(o) * pt.tanh(c), c
    zero = pt.zeros((x.type.shape[1], units), dtype=x.dtype)
    hs, _ = scan(step, sequences=[x @ wx + b], outputs_info=[zero, zero], non_sequences=[wh])
    loss = cross_entropy(hs[-1] @ wo + bo, y)
    return [loss], descend(loss, [wx, wh, b, wo, bo], 0.01)


def scan_pow(a, steps):
    powers = scan(lambda power, a: power * a, outputs_info=[pt.ones_like(a)], non_sequences=[a], n_steps=steps)
    return [powers[-1]]


def scan_scalar(r, x, steps):
    def step(x, total, r):
        x = r * x * (1 - x)
        return x, total + x
    xs, totals = scan(step, outputs_info=[x, pt.zeros_like(x)], non_sequences=[r], n_steps=steps)
    return [xs[-1], totals[-1]]


def softmax_xent(logits, y):
    loss = cross_entropy(logits, y)
    return [loss, pt.grad(loss, logits)]


def layernorm(x, gain, bias, g):
    z = x - pt.mean(x, axis=-1, keepdims=True)
    variance = pt.mean(z**2, axis=-1, keepdims=True)
    y = z / pt.sqrt(variance + np.asarray(1e-5, x.dtype)) * gain + bias
    return [y, *pt.grad(pt.sum(y * g), [x, gain, bias])]


def reduce_all(x):
    return [pt.sum(x)]


def reduce_ax0(x):
    return [pt.sum(x, axis=0)]


def reduce_ax1(x):
    return [pt.sum(x, axis=1)]


def var_ax1(x):
    return [pt.var(x, axis=1)]


def matmul_f32(a, b):
    return [a @ b]


matmul_f64 = bmm = matmul_f32


def gemv(a, x):
    return [a @ x]


def overhead_add3(x, y):
    return [x + y]


def overhead_8schools(place, effects, errors):
    mean, log_spread, own = place[0], place[1], place[2:]
    spread = pt.exp(log_spread)
    residuals = (effects - mean - spread * own) / errors
    priors = -0.5 * (mean / 5) ** 2 - pt.log1p((spread / 5) ** 2) + log_spread
    density = priors - 0.5 * pt.sum(own**2) - 0.5 * pt.sum(residuals**2)
    return [density, pt.grad(density, place)]


def embedding(table, indices, g):
    rows = table[indices]
    loss = pt.mean(pt.sum(rows * g, axis=1))
    slope = pt.grad(loss, rows)
    return [loss], {table: pt.inc_subtensor(rows, np.asarray(-0.1, g.dtype) * slope)}


def gp_chol(x, y, log_amplitude, log_lengths, log_noise):
    n = y.type.shape[0]
    scaled = x / pt.exp(log_lengths)
    distance = pt.sum((scaled[:, None] - scaled[None]) ** 2, axis=-1)
    kernel = pt.exp(2 * log_amplitude - 0.5 * distance) + pt.exp(2 * log_noise) * pt.eye(n)
    factor = pt.linalg.cholesky(kernel)
    white = pt.linalg.solve_triangular(factor, y, lower=True)
    value = -0.5 * white @ white - pt.sum(pt.log(pt.diagonal(factor))) - 0.5 * n * math.log(2 * math.pi)
    return [value, *pt.grad(value, [log_amplitude, log_lengths, log_noise])]


def attention(x, target, heads, **parameters):
    batch, sequence, width = x.type.shape
    names = ["gain1", "bias1", "wqkv", "bqkv", "wo", "bo", "gain2", "bias2", "w1", "b1", "w2", "b2"]
    gain1, bias1, wqkv, bqkv, wo, bo, gain2, bias2, w1, b1, w2, b2 = (parameters[name] for name in names)
    number = lambda value: np.asarray(value, x.dtype)

    def norm(x, gain, bias):
        z = x - pt.mean(x, axis=-1, keepdims=True)
        return z / pt.sqrt(pt.mean(z**2, axis=-1, keepdims=True) + number(1e-5)) * gain + bias
    qkv = (norm(x, gain1, bias1) @ wqkv + bqkv).reshape((batch, sequence, 3, heads, width // heads)).transpose(2, 0, 3, 1, 4)
    q, k, v = qkv[0], qkv[1], qkv[2]
    scores = (q @ k.transpose(0, 1, 3, 2)) * number(1 / math.sqrt(width // heads))
    mixed = (pt.special.softmax(scores, axis=-1) @ v).transpose(0, 2, 1, 3).reshape((batch, sequence, width))
    middle = x + mixed @ wo + bo
    inner = norm(middle, gain2, bias2) @ w1 + b1
    wide = inner * (1 + pt.erf(inner * number(math.sqrt(0.5)))) * number(0.5)
    loss = pt.mean((middle + wide @ w2 + b2 - target) ** 2)
    return [loss, *pt.grad(loss, [parameters[name] for name in names])]


def transpose_copy(x):
    # A transpose alone would be a view; the copy is asked for.
    return [cpu_contiguous(x.T)]


def strided(x):
    return [pt.sum(x[::2, ::3] * np.asarray(2, x.dtype))]


def concat_slice(a, b, c, d):
    return [pt.concatenate([a, b, c, d], axis=1)[:, 100:900] * np.asarray(2, a.dtype)]


def deep_chain(x, w, b):
    y = x
    for layer in range(w.type.shape[0]):
        y = pt.tanh(y * w[layer]) + b[layer]
    cost = pt.sum(y)
    return [cost, pt.grad(cost, x)]
