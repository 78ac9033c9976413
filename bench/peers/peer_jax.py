"""JAX: one jitted function per workload, buffers of the state donated."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular

VERSION = f"JAX {jax.__version__}"


def configure(options):
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")


def load(array):
    return jnp.asarray(array)


def unload(value):
    return np.asarray(value)


class Function:
    """A function of the inputs."""

    def __init__(self, function, inputs):
        self.function, self.inputs = jax.jit(function), inputs

    def call(self):
        return jax.block_until_ready(self.function(**self.inputs))

    def states(self):
        return []


class Step:
    """A function of parameters and inputs that gives results and new parameters."""

    def __init__(self, function, parameters, inputs):
        # jit gives dictionaries back in the order of their keys.
        self.function, self.names = jax.jit(function, donate_argnums=0), list(parameters)
        self.parameters, self.inputs = parameters, inputs

    def call(self):
        results, self.parameters = self.function(self.parameters, **self.inputs)
        return jax.block_until_ready((results, self.parameters))[0]

    def states(self):
        return [self.parameters[name] for name in self.names]


def build(workload, inputs):
    formula = globals()[workload["formula"]]
    if workload["constants"]:
        formula = functools.partial(formula, **workload["constants"])
    if not workload["states"]:
        return Function(formula, inputs)
    parameters = {name: inputs.pop(name) for name in workload["states"]}
    return Step(formula, parameters, inputs)


def ew_a1(a):
    return [a + 1]


def ew_axpby(a, b):
    return [2 * a + 3 * b]


def ew_sq(a, b):
    return [a**2 + b**2 + 2 * a * b]


def ew_pow10(a, b):
    return [2 * a + b**10]


def ew_sigmoid(a, b, c):
    return [1 / (1 + jnp.exp(-(a * b + c)))]


def ew_gauss(x, mu, s):
    return [jnp.exp(-0.5 * ((x - mu) / s) ** 2) / (s * math.sqrt(2 * math.pi))]


def ew_long(a, b, c, d):
    r = b
    for _ in range(8):
        r = jnp.abs(jnp.maximum(r * a + b, c)) / d
    return [r]


def gauss_logp(x, mu, log_sigma):
    def density(mu, log_sigma):
        z = (x - mu) / jnp.exp(log_sigma)
        return jnp.sum(-0.5 * z**2 - log_sigma - 0.5 * math.log(2 * math.pi))
    value, slopes = jax.value_and_grad(density, (0, 1))(mu, log_sigma)
    return [value, *slopes]


def descend(loss, parameters, rate):
    """The auxiliary results and the parameters after a step."""
    (value, results), slopes = jax.value_and_grad(loss, has_aux=True)(parameters)
    new = {name: value - rate * slopes[name] for name, value in parameters.items()}
    return results if results is not None else [value], new


def logreg(parameters, x, y):
    def loss(p):
        z = x @ p["w"] + p["b"]
        entropy = jnp.mean(-y * jax.nn.log_sigmoid(z) - (1 - y) * jax.nn.log_sigmoid(-z))
        return entropy + 0.01 * jnp.sum(p["w"] ** 2), [z > 0, entropy]
    return descend(loss, parameters, 0.1)


def cross_entropy(logits, y):
    picked = jnp.take_along_axis(logits, y[..., None], axis=-1)[..., 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - picked)


def softmax_reg(parameters, x, y):
    def loss(p):
        return cross_entropy(x @ p["w"] + p["b"], y), None
    return descend(loss, parameters, 0.1)


def mlp_tanh(parameters, x, y):
    def loss(p):
        hidden = jnp.tanh(x @ p["w1"] + p["b1"])
        return cross_entropy(hidden @ p["w2"] + p["b2"], y), None
    return descend(loss, parameters, 0.01)


def mlp_relu(parameters, x, y):
    def loss(p):
        hidden = jax.nn.relu(x @ p["w1"] + p["b1"])
        hidden = jax.nn.relu(hidden @ p["w2"] + p["b2"])
        return cross_entropy(hidden @ p["w3"] + p["b3"], y), None
    return descend(loss, parameters, 0.01)


def lenet(parameters, x, y, pool1=2, pool2=2, before=lambda maps: maps):
    def layer(x, w, b, pool):
        maps = before(lax.conv_general_dilated(x, w, (1, 1), "VALID") + b[:, None, None])
        window = (1, 1, pool, pool)
        return jnp.tanh(lax.reduce_window(maps, -jnp.inf, lax.max, window, window, "VALID"))

    def loss(p):
        features = layer(layer(x, p["w1"], p["b1"], pool1), p["w2"], p["b2"], pool2)
        hidden = jnp.tanh(features.reshape(len(y), -1) @ p["w3"] + p["b3"])
        return cross_entropy(hidden @ p["w4"] + p["b4"], y), None
    return descend(loss, parameters, 0.01)


conv_small = conv_med = conv_large = functools.partial(lenet, before=jnp.tanh)


def rnn_scan(parameters, x, y):
    def loss(p):
        def step(h, x_t):
            h = jnp.tanh(x_t + h @ p["wh"])
            return h, h
        _, hs = lax.scan(step, jnp.zeros_like(p["b"]), x @ p["wx"] + p["b"])
        return cross_entropy(hs @ p["wo"] + p["bo"], y), None
    return descend(loss, parameters, 0.01)


def lstm_scan(parameters, x, y):
    def loss(p):
        def step(carry, x_t):
            h, c = carry
            i, f, g, o = jnp.split(x_t + h @ p["wh"], 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None
        zero = jnp.zeros((x.shape[1], len(p["wh"])), x.dtype)
        (h, _), _ = lax.scan(step, (zero, zero), x @ p["wx"] + p["b"])
        return cross_entropy(h @ p["wo"] + p["bo"], y), None
    return descend(loss, parameters, 0.01)


def scan_pow(a, steps):
    return [lax.fori_loop(0, steps, lambda _, r: r * a, jnp.ones_like(a))]


def scan_scalar(r, x, steps):
    def step(_, carry):
        x, total = carry
        x = r * x * (1 - x)
        return x, total + x
    return list(lax.fori_loop(0, steps, step, (x, jnp.zeros_like(x))))


def softmax_xent(logits, y):
    return list(jax.value_and_grad(cross_entropy)(logits, y))


def norm(x, gain, bias):
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.var(x, axis=-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * gain + bias


def layernorm(x, gain, bias, g):
    y, back = jax.vjp(norm, x, gain, bias)
    return [y, *back(g)]


def reduce_all(x):
    return [jnp.sum(x)]


def reduce_ax0(x):
    return [jnp.sum(x, axis=0)]


def reduce_ax1(x):
    return [jnp.sum(x, axis=1)]


def var_ax1(x):
    return [jnp.var(x, axis=1)]


def matmul_f32(a, b):
    return [a @ b]


matmul_f64 = bmm = matmul_f32


def gemv(a, x):
    return [a @ x]


def overhead_add3(x, y):
    return [x + y]


def overhead_8schools(place, effects, errors):
    def density(place):
        mean, log_spread, own = place[0], place[1], place[2:]
        spread = jnp.exp(log_spread)
        residuals = (effects - mean - spread * own) / errors
        priors = -0.5 * (mean / 5) ** 2 - jnp.log1p((spread / 5) ** 2) + log_spread
        return priors - 0.5 * jnp.sum(own**2) - 0.5 * jnp.sum(residuals**2)
    return list(jax.value_and_grad(density)(place))


def embedding(parameters, indices, g):
    table = parameters["table"]
    loss, slope = jax.value_and_grad(lambda rows: jnp.mean(jnp.sum(rows * g, axis=1)))(table[indices])
    return [loss], {"table": table.at[indices].add(-0.1 * slope)}


def gp_chol(x, y, log_amplitude, log_lengths, log_noise):
    n = len(y)

    def likelihood(log_amplitude, log_lengths, log_noise):
        scaled = x / jnp.exp(log_lengths)
        distance = jnp.sum((scaled[:, None] - scaled[None]) ** 2, axis=-1)
        kernel = jnp.exp(2 * log_amplitude - 0.5 * distance) + jnp.exp(2 * log_noise) * jnp.eye(n)
        factor = jnp.linalg.cholesky(kernel)
        white = solve_triangular(factor, y, lower=True)
        return -0.5 * white @ white - jnp.sum(jnp.log(jnp.diagonal(factor))) - 0.5 * n * math.log(2 * math.pi)
    value, slopes = jax.value_and_grad(likelihood, (0, 1, 2))(log_amplitude, log_lengths, log_noise)
    return [value, *slopes]


def attention(x, target, heads, **parameters):
    batch, sequence, width = x.shape
    depth = width // heads

    def loss(p):
        qkv = (norm(x, p["gain1"], p["bias1"]) @ p["wqkv"] + p["bqkv"]).reshape(batch, sequence, 3, heads, depth)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(depth)
        mixed = (jax.nn.softmax(scores) @ v).swapaxes(1, 2).reshape(batch, sequence, width)
        middle = x + mixed @ p["wo"] + p["bo"]
        wide = jax.nn.gelu(norm(middle, p["gain2"], p["bias2"]) @ p["w1"] + p["b1"], approximate=False)
        return jnp.mean((middle + wide @ p["w2"] + p["b2"] - target) ** 2)
    value, slopes = jax.value_and_grad(loss)(parameters)
    names = ["gain1", "bias1", "wqkv", "bqkv", "wo", "bo", "gain2", "bias2", "w1", "b1", "w2", "b2"]
    return [value, *(slopes[name] for name in names)]


def transpose_copy(x):
    return [x.T]


def strided(x):
    return [jnp.sum(x[::2, ::3] * 2)]


def concat_slice(a, b, c, d):
    return [jnp.concatenate([a, b, c, d], axis=1)[:, 100:900] * 2]


def deep_chain(x, w, b):
    def cost(x):
        for layer in range(len(w)):
            x = jnp.tanh(x * w[layer]) + b[layer]
        return jnp.sum(x)
    return list(jax.value_and_grad(cost)(x))
