"""PyTorch, eager or with torch.compile: the forward function is compiled, its backward comes with it, and the step of
gradient descent updates parameters in place."""

import functools
import math

import torch
import torch.nn.functional as F

VERSION = f"PyTorch {torch.__version__}"
compiled = lambda function: function
is_compiled = False


def configure(options):
    global compiled, is_compiled
    if "compile" in options:
        is_compiled = True
        compiled = lambda function: torch.compile(function, fullgraph=True, dynamic=False)
        # What every program pays once, as it pays for the import.
        torch.compile(lambda x: x + 1)(torch.ones(2))


def load(array):
    return torch.from_numpy(array.copy()) if array.ndim else torch.tensor(array)


def unload(value):
    return value.detach().numpy()


class Task:
    def __init__(self, call, states=()):
        self.call, self.kept = call, states

    def states(self):
        return self.kept


def build(workload, inputs):
    names = workload["states"]
    call = globals()[workload["formula"]](**inputs, **workload["constants"])
    return Task(call, [inputs[name] for name in names])


def plain(function, *inputs):
    """A function without gradients."""
    function = compiled(function)

    def call():
        with torch.no_grad():
            return [function(*inputs)]
    return call


def slopes(function, inputs, targets):
    """The value of a function and its gradients in some inputs."""
    function = compiled(function)
    for target in targets:
        target.requires_grad_()

    def call():
        value = function(*inputs)
        return [value, *torch.autograd.grad(value, targets)]
    return call


def descend(function, inputs, parameters, rate):
    """The results of a function, whose first is the cost, and a step of gradient descent."""
    function = compiled(function)
    for parameter in parameters:
        parameter.requires_grad_()

    def call():
        cost, *results = function(*inputs, *parameters)
        gradients = torch.autograd.grad(cost, parameters)
        with torch.no_grad():
            torch._foreach_add_(parameters, gradients, alpha=-rate)
        return results or [cost]
    return call


def ew_a1(a):
    return plain(lambda a: a + 1, a)


def ew_axpby(a, b):
    return plain(lambda a, b: 2 * a + 3 * b, a, b)


def ew_sq(a, b):
    return plain(lambda a, b: a**2 + b**2 + 2 * a * b, a, b)


def ew_pow10(a, b):
    return plain(lambda a, b: 2 * a + b**10, a, b)


def ew_sigmoid(a, b, c):
    return plain(lambda a, b, c: torch.sigmoid(a * b + c), a, b, c)


def ew_gauss(x, mu, s):
    return plain(lambda x, mu, s: torch.exp(-0.5 * ((x - mu) / s) ** 2) / (s * math.sqrt(2 * math.pi)), x, mu, s)


def ew_long(a, b, c, d):
    def function(a, b, c, d):
        r = b
        for _ in range(8):
            r = torch.abs(torch.maximum(r * a + b, c)) / d
        return r
    return plain(function, a, b, c, d)


def gauss_logp(x, mu, log_sigma):
    def density(x, mu, log_sigma):
        z = (x - mu) / torch.exp(log_sigma)
        return torch.sum(-0.5 * z**2 - log_sigma - 0.5 * math.log(2 * math.pi))
    return slopes(density, (x, mu, log_sigma), (mu, log_sigma))


def logreg(x, y, w, b):
    def cost(x, y, w, b):
        z = x @ w + b
        entropy = F.binary_cross_entropy_with_logits(z, y)
        return entropy + 0.01 * torch.sum(w**2), z > 0, entropy
    return descend(cost, (x, y), (w, b), 0.1)


def softmax_reg(x, y, w, b):
    return descend(lambda x, y, w, b: (F.cross_entropy(torch.addmm(b, x, w), y),), (x, y), (w, b), 0.1)


def mlp_tanh(x, y, w1, b1, w2, b2):
    def cost(x, y, w1, b1, w2, b2):
        hidden = torch.tanh(torch.addmm(b1, x, w1))
        return (F.cross_entropy(torch.addmm(b2, hidden, w2), y),)
    return descend(cost, (x, y), (w1, b1, w2, b2), 0.01)


def mlp_relu(x, y, w1, b1, w2, b2, w3, b3):
    def cost(x, y, w1, b1, w2, b2, w3, b3):
        hidden = torch.relu(torch.addmm(b1, x, w1))
        hidden = torch.relu(torch.addmm(b2, hidden, w2))
        return (F.cross_entropy(torch.addmm(b3, hidden, w3), y),)
    return descend(cost, (x, y), (w1, b1, w2, b2, w3, b3), 0.01)


def lenet(x, y, w1, b1, w2, b2, w3, b3, w4, b4, pool1=2, pool2=2, before=lambda maps: maps):
    def cost(x, y, w1, b1, w2, b2, w3, b3, w4, b4):
        maps = torch.tanh(F.max_pool2d(before(F.conv2d(x, w1, b1)), pool1))
        maps = torch.tanh(F.max_pool2d(before(F.conv2d(maps, w2, b2)), pool2))
        hidden = torch.tanh(torch.addmm(b3, maps.flatten(1), w3))
        return (F.cross_entropy(torch.addmm(b4, hidden, w4), y),)
    return descend(cost, (x, y), (w1, b1, w2, b2, w3, b3, w4, b4), 0.01)


conv_small = conv_med = conv_large = functools.partial(lenet, before=torch.tanh)


def rnn_scan(x, y, wx, wh, b, wo, bo):
    def cost(x, y, wx, wh, b, wo, bo):
        h, hs = torch.zeros_like(b), []
        for x_t in (torch.addmm(b, x, wx)).unbind(0):
            h = torch.tanh(x_t + h @ wh)
            hs.append(h)
        return (F.cross_entropy(torch.addmm(bo, torch.stack(hs), wo), y),)
    return descend(cost, (x, y), (wx, wh, b, wo, bo), 0.01)


def lstm_scan(x, y, wx, wh, b, wo, bo):
    def cost(x, y, wx, wh, b, wo, bo):
        h = c = x.new_zeros(x.shape[1], len(wh))
        for x_t in (x @ wx + b).unbind(0):
            i, f, g, o = torch.addmm(x_t, h, wh).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return (F.cross_entropy(torch.addmm(bo, h, wo), y),)
    return descend(cost, (x, y), (wx, wh, b, wo, bo), 0.01)


def scan_pow(a, steps):
    def function(a):
        r = torch.ones_like(a)
        for _ in range(steps):
            r = r * a
        return r
    return plain(function, a)


def scan_scalar(r, x, steps):
    if is_compiled:
        raise NotImplementedError("torch.compile unrolls the loop, which has 100,000 steps")

    def call():
        value, total = x, torch.zeros_like(x)
        with torch.no_grad():
            for _ in range(steps):
                value = r * value * (1 - value)
                total += value
        return [value, total]
    return call


def softmax_xent(logits, y):
    return slopes(F.cross_entropy, (logits, y), (logits,))


def layernorm(x, gain, bias, g):
    function = compiled(lambda x, gain, bias: F.layer_norm(x, gain.shape, gain, bias))
    targets = (x, gain, bias)
    for target in targets:
        target.requires_grad_()

    def call():
        y = function(x, gain, bias)
        return [y, *torch.autograd.grad(y, targets, g)]
    return call


def reduce_all(x):
    return plain(torch.sum, x)


def reduce_ax0(x):
    return plain(lambda x: torch.sum(x, 0), x)


def reduce_ax1(x):
    return plain(lambda x: torch.sum(x, 1), x)


def var_ax1(x):
    return plain(lambda x: torch.var(x, 1, correction=0), x)


def matmul_f32(a, b):
    return plain(torch.matmul, a, b)


matmul_f64 = bmm = matmul_f32


def gemv(a, x):
    return plain(torch.mv, a, x)


def overhead_add3(x, y):
    return plain(lambda x, y: x + y, x, y)


def overhead_8schools(place, effects, errors):
    def density(place, effects, errors):
        mean, log_spread, own = place[0], place[1], place[2:]
        spread = torch.exp(log_spread)
        residuals = (effects - mean - spread * own) / errors
        priors = -0.5 * (mean / 5) ** 2 - torch.log1p((spread / 5) ** 2) + log_spread
        return priors - 0.5 * torch.sum(own**2) - 0.5 * torch.sum(residuals**2)
    return slopes(density, (place, effects, errors), (place,))


def embedding(table, indices, g):
    function = compiled(lambda rows, g: torch.mean(torch.sum(rows * g, 1)))

    def call():
        rows = table[indices].requires_grad_()
        loss = function(rows, g)
        slope, = torch.autograd.grad(loss, rows)
        table.index_add_(0, indices, slope, alpha=-0.1)
        return [loss]
    return call


def gp_chol(x, y, log_amplitude, log_lengths, log_noise):
    n = len(y)

    def likelihood(x, y, log_amplitude, log_lengths, log_noise):
        scaled = x / torch.exp(log_lengths)
        distance = torch.sum((scaled[:, None] - scaled[None]) ** 2, -1)
        kernel = torch.exp(2 * log_amplitude - 0.5 * distance) + torch.exp(2 * log_noise) * torch.eye(n, dtype=x.dtype)
        factor = torch.linalg.cholesky(kernel)
        white = torch.linalg.solve_triangular(factor, y[:, None], upper=False)[:, 0]
        return -0.5 * white @ white - torch.sum(torch.log(torch.diagonal(factor))) - 0.5 * n * math.log(2 * math.pi)
    return slopes(likelihood, (x, y, log_amplitude, log_lengths, log_noise), (log_amplitude, log_lengths, log_noise))


def attention(x, target, heads, **parameters):
    batch, sequence, width = x.shape
    names = ["gain1", "bias1", "wqkv", "bqkv", "wo", "bo", "gain2", "bias2", "w1", "b1", "w2", "b2"]

    def loss(x, target, gain1, bias1, wqkv, bqkv, wo, bo, gain2, bias2, w1, b1, w2, b2):
        qkv = F.layer_norm(x, (width,), gain1, bias1) @ wqkv + bqkv
        q, k, v = qkv.view(batch, sequence, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, sequence, width)
        middle = x + mixed @ wo + bo
        wide = F.gelu(F.layer_norm(middle, (width,), gain2, bias2) @ w1 + b1)
        return F.mse_loss(middle + wide @ w2 + b2, target)
    values = tuple(parameters[name] for name in names)
    return slopes(loss, (x, target, *values), values)


def transpose_copy(x):
    return plain(lambda x: x.t().contiguous(), x)


def strided(x):
    return plain(lambda x: torch.sum(x[::2, ::3] * 2), x)


def concat_slice(a, b, c, d):
    return plain(lambda *all: torch.cat(all, 1)[:, 100:900] * 2, a, b, c, d)


def deep_chain(x, w, b):
    def cost(x, w, b):
        for w_i, b_i in zip(w.unbind(0), b.unbind(0)):
            x = torch.tanh(x * w_i) + b_i
        return torch.sum(x)
    return slopes(cost, (x, w, b), (x,))
