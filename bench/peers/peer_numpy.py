"""NumPy as an expert writes it: temporaries reused in place, gradients by hand, products by BLAS.

Every formula works in the dtype of its inputs; on float64 inputs this is also what all results are compared with.
"""

import math

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.special import erf

VERSION = f"NumPy {np.__version__}"


def configure(options):
    pass


def load(array):
    return array


def unload(value):
    return np.asarray(value)


class Task:
    def __init__(self, call, states=()):
        self.call, self.kept = call, states

    def states(self):
        return self.kept


def build(workload, inputs):
    formula = globals()[workload["formula"]]
    call = formula(**inputs, **workload["constants"])
    return Task(call, [inputs[name] for name in workload["states"]])


def ew_a1(a):
    return lambda: [a + 1]


def ew_axpby(a, b):
    def call():
        r, t = 2 * a, 3 * b
        r += t
        return [r]
    return call


def ew_sq(a, b):
    def call():
        r, t = a * a, b * b
        r += t
        np.multiply(a, b, out=t)
        t *= 2
        r += t
        return [r]
    return call


def ew_pow10(a, b):
    def call():
        t = b * b
        r = t * t
        r *= r
        r *= t
        np.multiply(a, 2, out=t)
        r += t
        return [r]
    return call


def ew_sigmoid(a, b, c):
    def call():
        r = a * b
        r += c
        return [sigmoid_inplace(r)]
    return call


def sigmoid_inplace(r):
    np.negative(r, out=r)
    np.exp(r, out=r)
    r += 1
    return np.reciprocal(r, out=r)


def ew_gauss(x, mu, s):
    def call():
        r = x - mu
        r /= s
        r *= r
        r *= -0.5
        np.exp(r, out=r)
        r *= 1 / (s * math.sqrt(2 * math.pi))
        return [r]
    return call


def ew_long(a, b, c, d):
    def call():
        r = b.copy()
        for _ in range(8):
            r *= a
            r += b
            np.maximum(r, c, out=r)
            np.abs(r, out=r)
            r /= d
        return [r]
    return call


def gauss_logp(x, mu, log_sigma):
    half_log_tau = 0.5 * math.log(2 * math.pi)

    def call():
        z = x - mu
        inverse = math.exp(-log_sigma)
        total, squares = z.sum(), np.dot(z, z) * inverse * inverse
        value = -0.5 * squares - x.size * (log_sigma + half_log_tau)
        return [value, total * inverse * inverse, squares - x.size]
    return call


def logreg(x, y, w, b):
    n = len(y)

    def call():
        z = x @ w
        z += b
        p = sigmoid_inplace(z.copy())
        # log(1 + exp(-|z|)) and the rest of the entropy.
        entropy = np.mean(np.logaddexp(0, z) - y * z)
        prediction = p > 0.5
        p -= y
        p /= n
        gradient = p @ x
        gradient += 0.02 * w
        gradient *= 0.1
        np.subtract(w, gradient, out=w)
        np.subtract(b, 0.1 * p.sum(), out=b)
        return [prediction, entropy]
    return call


def softmax_loss(logits, y):
    """Mean cross-entropy; the logits become its gradient."""
    n = len(y)
    rows = np.arange(n)
    logits -= logits.max(axis=1, keepdims=True)
    picked = logits[rows, y]
    np.exp(logits, out=logits)
    sums = logits.sum(axis=1, keepdims=True)
    loss = (np.log(sums[:, 0]) - picked).mean()
    logits /= sums
    logits[rows, y] -= 1
    logits /= n
    return loss


def descend(parameter, gradient, rate):
    gradient *= rate
    np.subtract(parameter, gradient, out=parameter)


def softmax_reg(x, y, w, b):
    def call():
        logits = x @ w
        logits += b
        loss = softmax_loss(logits, y)
        descend(w, x.T @ logits, 0.1)
        descend(b, logits.sum(axis=0), 0.1)
        return [loss]
    return call


def mlp_tanh(x, y, w1, b1, w2, b2):
    def call():
        hidden = x @ w1
        hidden += b1
        np.tanh(hidden, out=hidden)
        logits = hidden @ w2
        logits += b2
        loss = softmax_loss(logits, y)
        back = logits @ w2.T
        descend(w2, hidden.T @ logits, 0.01)
        descend(b2, logits.sum(axis=0), 0.01)
        hidden *= hidden
        np.subtract(1, hidden, out=hidden)
        back *= hidden
        descend(w1, x.T @ back, 0.01)
        descend(b1, back.sum(axis=0), 0.01)
        return [loss]
    return call


def mlp_relu(x, y, w1, b1, w2, b2, w3, b3):
    def call():
        first = x @ w1
        first += b1
        np.maximum(first, 0, out=first)
        second = first @ w2
        second += b2
        np.maximum(second, 0, out=second)
        logits = second @ w3
        logits += b3
        loss = softmax_loss(logits, y)
        back = logits @ w3.T
        descend(w3, second.T @ logits, 0.01)
        descend(b3, logits.sum(axis=0), 0.01)
        back *= second > 0
        below = back @ w2.T
        descend(w2, first.T @ back, 0.01)
        descend(b2, back.sum(axis=0), 0.01)
        below *= first > 0
        descend(w1, x.T @ below, 0.01)
        descend(b1, below.sum(axis=0), 0.01)
        return [loss]
    return call


def columns_of(x, k):
    """[batch, channels * k * k, height * width]: a column for each place of a k by k kernel."""
    n, c, h, w = x.shape
    h, w = h - k + 1, w - k + 1
    columns = np.empty((n, c, k, k, h, w), x.dtype)
    for i in range(k):
        for j in range(k):
            columns[:, :, i, j] = x[:, :, i:i + h, j:j + w]
    return columns.reshape(n, c * k * k, h * w)


def images_of(columns, shape, k):
    """The sum over all columns that an element of the images was copied to."""
    n, c, h, w = shape
    images = np.zeros(shape, columns.dtype)
    h, w = h - k + 1, w - k + 1
    columns = columns.reshape(n, c, k, k, h, w)
    for i in range(k):
        for j in range(k):
            images[:, :, i:i + h, j:j + w] += columns[:, :, i, j]
    return images


def pooled(maps, k):
    """Maxima of k by k windows of [batch, channels, height, width], and where they are.

    Rows come first, as they are contiguous.
    """
    n, c, h, w = maps.shape
    bands = maps.reshape(n, c, h // k, k, w)
    high = bands[:, :, :, 0].copy()
    for i in range(1, k):
        np.maximum(high, bands[:, :, :, i], out=high)
    high = high.reshape(n, c, h // k, w // k, k)
    top = high[..., 0].copy()
    for j in range(1, k):
        np.maximum(top, high[..., j], out=top)
    return top, bands == np.repeat(top, k, axis=3)[:, :, :, None]


def unpooled(gradient, where):
    """[batch, channels, height * width]."""
    n, c, _, k, _ = where.shape
    return (where * np.repeat(gradient, k, axis=3)[:, :, :, None]).reshape(n, c, -1)


def squashed(top, times):
    """tanh, and its slope."""
    slope = np.ones_like(top)
    for _ in range(times):
        np.tanh(top, out=top)
        slope *= 1 - top * top
    return top, slope


def lenet(x, y, w1, b1, w2, b2, w3, b3, w4, b4, pool1=2, pool2=2, times=1):
    batch, k = len(y), w1.shape[2]

    def layer(x, w, b, pool):
        n, _, height, width = x.shape
        columns = columns_of(x, k)
        maps = w.reshape(len(w), -1) @ columns
        maps += b[:, None]
        top, where = pooled(maps.reshape(n, len(w), height - k + 1, width - k + 1), pool)
        return columns, where, *squashed(top, times)

    def descend_layer(w, b, gradient, columns):
        descend(w.reshape(len(w), -1), (gradient @ columns.transpose(0, 2, 1)).sum(axis=0), 0.01)
        descend(b, gradient.sum(axis=(0, 2)), 0.01)

    def call():
        columns1, where1, first, slope1 = layer(x, w1, b1, pool1)
        columns2, where2, second, slope2 = layer(first, w2, b2, pool2)
        flat = second.reshape(batch, -1)
        hidden = flat @ w3
        hidden += b3
        np.tanh(hidden, out=hidden)
        logits = hidden @ w4
        logits += b4
        loss = softmax_loss(logits, y)

        back = logits @ w4.T
        descend(w4, hidden.T @ logits, 0.01)
        descend(b4, logits.sum(axis=0), 0.01)
        hidden *= hidden
        np.subtract(1, hidden, out=hidden)
        back *= hidden
        slope2 *= (back @ w3.T).reshape(second.shape)
        descend(w3, flat.T @ back, 0.01)
        descend(b3, back.sum(axis=0), 0.01)
        gradient2 = unpooled(slope2, where2)
        slope1 *= images_of(w2.reshape(len(w2), -1).T @ gradient2, first.shape, k)
        descend_layer(w2, b2, gradient2, columns2)
        descend_layer(w1, b1, unpooled(slope1, where1), columns1)
        return [loss]
    return call


def conv_small(**inputs):
    # tanh before the maxima as well: it increases, so that it can be taken of the maxima alone.
    return lenet(**inputs, times=2)


conv_med = conv_large = conv_small


def rnn_scan(x, y, wx, wh, b, wo, bo):
    steps, units = len(x), len(b)

    def call():
        hs = np.zeros((steps + 1, units), x.dtype)
        inputs = x @ wx
        inputs += b
        for t in range(steps):
            h = hs[t + 1]
            np.dot(hs[t], wh, out=h)
            h += inputs[t]
            np.tanh(h, out=h)
        logits = hs[1:] @ wo
        logits += bo
        loss = softmax_loss(logits, y)
        outer = logits @ wo.T
        slope = 1 - hs[1:] * hs[1:]
        carry = np.zeros(units, x.dtype)
        for t in range(steps - 1, -1, -1):
            g = outer[t]
            g += carry
            g *= slope[t]
            np.dot(wh, g, out=carry)
        descend(wo, hs[1:].T @ logits, 0.01)
        descend(bo, logits.sum(axis=0), 0.01)
        descend(wx, x.T @ outer, 0.01)
        descend(wh, hs[:-1].T @ outer, 0.01)
        descend(b, outer.sum(axis=0), 0.01)
        return [loss]
    return call


def lstm_scan(x, y, wx, wh, b, wo, bo):
    steps, batch, features = x.shape
    units = len(wh)
    parts = [slice(at * units, (at + 1) * units) for at in range(4)]

    def call():
        hs = np.zeros((steps + 1, batch, units), x.dtype)
        cs = np.zeros_like(hs)
        gates = (x.reshape(-1, features) @ wx).reshape(steps, batch, 4 * units)
        gates += b
        tanhs = np.empty_like(hs[1:])
        for t in range(steps):
            a = gates[t]
            a += hs[t] @ wh
            # Input, forget and output gates are logistic, the third is the candidate.
            sigmoid_inplace(a[:, : 2 * units])
            np.tanh(a[:, parts[2]], out=a[:, parts[2]])
            sigmoid_inplace(a[:, parts[3]])
            c = cs[t + 1]
            np.multiply(a[:, parts[1]], cs[t], out=c)
            c += a[:, parts[0]] * a[:, parts[2]]
            np.tanh(c, out=tanhs[t])
            np.multiply(a[:, parts[3]], tanhs[t], out=hs[t + 1])
        logits = hs[-1] @ wo
        logits += bo
        loss = softmax_loss(logits, y)
        dh = logits @ wo.T
        dc = np.zeros_like(dh)
        transposed = np.ascontiguousarray(wh.T)
        for t in range(steps - 1, -1, -1):
            a = gates[t]
            i, f, g, o = (a[:, part] for part in parts)
            dc += dh * o * (1 - tanhs[t] * tanhs[t])
            do = dh * tanhs[t]
            do *= o * (1 - o)
            di = dc * g
            dg = dc * i
            df = dc * cs[t]
            dc *= f
            di *= i * (1 - i)
            df *= f * (1 - f)
            dg *= 1 - g * g
            i[...], f[...], g[...], o[...] = di, df, dg, do
            dh = a @ transposed
        flat = gates.reshape(-1, 4 * units)
        descend(wo, hs[-1].T @ logits, 0.01)
        descend(bo, logits.sum(axis=0), 0.01)
        descend(wx, x.reshape(-1, features).T @ flat, 0.01)
        descend(wh, hs[:-1].reshape(-1, units).T @ flat, 0.01)
        descend(b, flat.sum(axis=0), 0.01)
        return [loss]
    return call


def scan_pow(a, steps):
    def call():
        r = np.ones_like(a)
        for _ in range(steps):
            r *= a
        return [r]
    return call


def scan_scalar(r, x, steps):
    def call():
        factor, value, total = float(r), float(x), 0.0
        for _ in range(steps):
            value = factor * value * (1.0 - value)
            total += value
        return [value, total]
    return call


def softmax_xent(logits, y):
    def call():
        gradient = logits.copy()
        loss = softmax_loss(gradient, y)
        return [loss, gradient]
    return call


def layernorm(x, gain, bias, g):
    width = x.shape[1]

    def call():
        z = x - x.mean(axis=1, keepdims=True)
        inverse = np.einsum("ij,ij->i", z, z)[:, None]
        inverse /= width
        inverse += 1e-5
        np.sqrt(inverse, out=inverse)
        np.reciprocal(inverse, out=inverse)
        z *= inverse
        y = z * gain
        y += bias
        dz = g * gain
        shared = np.einsum("ij,ij->i", dz, z)[:, None]
        shared /= width
        dgain, dbias = np.einsum("ij,ij->j", g, z), g.sum(axis=0)
        dz -= dz.mean(axis=1, keepdims=True)
        z *= shared
        dz -= z
        dz *= inverse
        return [y, dz, dgain, dbias]
    return call


def reduce_all(x):
    return lambda: [x.sum()]


def reduce_ax0(x):
    return lambda: [x.sum(axis=0)]


def reduce_ax1(x):
    return lambda: [x.sum(axis=1)]


def var_ax1(x):
    return lambda: [x.var(axis=1)]


def matmul_f32(a, b):
    return lambda: [a @ b]


matmul_f64 = bmm = matmul_f32


def gemv(a, x):
    return lambda: [a @ x]


def overhead_add3(x, y):
    return lambda: [x + y]


def overhead_8schools(place, effects, errors):
    inverse = 1 / errors

    def call():
        mean, log_spread, own = place[0], place[1], place[2:]
        spread = math.exp(log_spread)
        residuals = effects - mean
        residuals -= spread * own
        residuals *= inverse
        ratio = (spread / 5) ** 2
        value = -0.5 * (mean / 5) ** 2 - math.log1p(ratio) + log_spread - 0.5 * (own @ own) - 0.5 * (residuals @ residuals)
        residuals *= inverse
        gradient = np.empty_like(place)
        gradient[0] = residuals.sum() - mean / 25
        gradient[1] = spread * (residuals @ own) - 2 * ratio / (1 + ratio) + 1
        np.multiply(residuals, spread, out=gradient[2:])
        gradient[2:] -= own
        return [value, gradient]
    return call


def embedding(table, indices, g):
    count = len(indices)

    def call():
        rows = table[indices]
        loss = np.einsum("ij,ij->", rows, g) / count
        np.subtract.at(table, indices, g * np.asarray(0.1 / count, g.dtype))
        return [loss]
    return call


def gp_chol(x, y, log_amplitude, log_lengths, log_noise):
    n = len(y)

    def call():
        scaled = x * np.exp(-log_lengths)
        squares = [np.subtract.outer(column, column) for column in scaled.T]
        for square in squares:
            square *= square
        kernel = squares[0] + squares[1]
        kernel += squares[2]
        kernel *= -0.5
        kernel += 2 * log_amplitude
        np.exp(kernel, out=kernel)
        noise = math.exp(2 * log_noise)
        full = kernel.copy()
        full.flat[:: n + 1] += noise
        factor = cholesky(full, lower=True, overwrite_a=True, check_finite=False)
        white = solve_triangular(factor, y, lower=True, check_finite=False)
        weights = solve_triangular(factor, white, lower=True, trans=1, check_finite=False)
        value = -0.5 * white @ white - np.log(np.diagonal(factor)).sum() - 0.5 * n * math.log(2 * math.pi)
        # d value / d kernel = (weights weights' - inverse) / 2, of which only the lower half of the inverse is made.
        inverse, _ = dpotri(factor, lower=1)
        slope = np.tril(inverse, -1)
        slope += slope.T
        slope.flat[:: n + 1] = np.diagonal(inverse)
        trace = np.trace(slope)
        np.subtract(np.outer(weights, weights), slope, out=slope)
        slope *= kernel
        by_length = np.array([np.vdot(slope, square) for square in squares]) / 2
        return [value, slope.sum(), by_length, noise * (weights @ weights - trace)]
    return call


def norm_forward(x, gain, bias):
    z = x - x.mean(axis=-1, keepdims=True)
    inverse = 1 / np.sqrt(np.mean(z * z, axis=-1, keepdims=True) + 1e-5)
    z *= inverse
    return z * gain + bias, z, inverse


def norm_back(g, z, inverse, gain):
    dgain, dbias = np.einsum("bsd,bsd->d", g, z), g.sum(axis=(0, 1))
    dz = g * gain
    dz -= dz.mean(axis=-1, keepdims=True) + z * np.mean(dz * z, axis=-1, keepdims=True)
    dz *= inverse
    return dz, dgain, dbias


def attention(x, target, gain1, bias1, wqkv, bqkv, wo, bo, gain2, bias2, w1, b1, w2, b2, heads):
    batch, sequence, width = x.shape
    depth = width // heads
    scale = 1 / math.sqrt(depth)
    rows = batch * sequence

    def call():
        n1, z1, i1 = norm_forward(x, gain1, bias1)
        n1 = n1.reshape(rows, width)
        qkv = n1 @ wqkv
        qkv += bqkv
        q, k, v = np.ascontiguousarray(qkv.reshape(batch, sequence, 3, heads, depth).transpose(2, 0, 3, 1, 4))
        p = q @ k.swapaxes(-1, -2)
        p *= scale
        p -= p.max(axis=-1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=-1, keepdims=True)
        mixed = np.ascontiguousarray((p @ v).swapaxes(1, 2)).reshape(rows, width)
        middle = mixed @ wo
        middle += bo
        middle = middle.reshape(x.shape)
        middle += x
        n2, z2, i2 = norm_forward(middle, gain2, bias2)
        n2 = n2.reshape(rows, width)
        inner = n2 @ w1
        inner += b1
        half = erf(inner * math.sqrt(0.5))
        half += 1
        half *= 0.5
        wide = inner * half
        output = wide @ w2
        output += b2
        output = output.reshape(x.shape)
        output += middle
        output -= target
        loss = np.mean(output * output)

        g = output
        g *= 2 / output.size
        flat = g.reshape(rows, width)
        dw2, db2 = wide.T @ flat, flat.sum(axis=0)
        dwide = flat @ w2.T
        slope = inner * inner
        slope *= -0.5
        np.exp(slope, out=slope)
        slope *= inner
        slope *= 1 / math.sqrt(2 * math.pi)
        slope += half
        dwide *= slope
        dw1, db1 = n2.T @ dwide, dwide.sum(axis=0)
        dmiddle, dgain2, dbias2 = norm_back((dwide @ w1.T).reshape(x.shape), z2, i2, gain2)
        dmiddle += g
        flat = dmiddle.reshape(rows, width)
        dwo, dbo = mixed.T @ flat, flat.sum(axis=0)
        dmixed = (flat @ wo.T).reshape(batch, sequence, heads, depth).swapaxes(1, 2)
        dqkv = np.empty((3, batch, heads, sequence, depth), x.dtype)
        np.matmul(p.swapaxes(-1, -2), dmixed, out=dqkv[2])
        dp = dmixed @ v.swapaxes(-1, -2)
        dp -= np.sum(dp * p, axis=-1, keepdims=True)
        dp *= p
        dp *= scale
        np.matmul(dp, k, out=dqkv[0])
        np.matmul(dp.swapaxes(-1, -2), q, out=dqkv[1])
        flat = np.ascontiguousarray(dqkv.transpose(1, 3, 0, 2, 4)).reshape(rows, 3 * width)
        dwqkv, dbqkv = n1.T @ flat, flat.sum(axis=0)
        _, dgain1, dbias1 = norm_back((flat @ wqkv.T).reshape(x.shape), z1, i1, gain1)
        return [loss, dgain1, dbias1, dwqkv, dbqkv, dwo, dbo, dgain2, dbias2, dw1, db1, dw2, db2]
    return call


def transpose_copy(x):
    return lambda: [np.ascontiguousarray(x.T)]


def strided(x):
    return lambda: [(x[::2, ::3] * 2).sum()]


def concat_slice(a, b, c, d):
    def call():
        r = np.concatenate([a, b, c, d], axis=1)[:, 100:900]
        return [r * 2]
    return call


def deep_chain(x, w, b):
    depth = len(w)

    def call():
        tanhs = np.empty_like(w)
        y = x
        for layer in range(depth):
            t = tanhs[layer]
            np.multiply(y, w[layer], out=t)
            np.tanh(t, out=t)
            y = t + b[layer]
        slopes = tanhs
        slopes *= slopes
        np.subtract(1, slopes, out=slopes)
        slopes *= w
        return [y.sum(), slopes.prod(axis=0)]
    return call
