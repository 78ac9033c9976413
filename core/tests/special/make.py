"""Writes expected.bin: what the special functions are at the points of grid.txt, to the nearest f64.

Run only when asked, after a change of grid.txt: pip install mpmath; python make.py
The values are little-endian f64, in the order of the file. Arithmetic has 60 digits or more; it takes some minutes.
"""

import pathlib
import struct

from mpmath import (besseli, besselj, besselk, erf, erfc, erfinv, exp, expm1, fabs, findroot, gamma, hyp2f1, log, log1p,
                    loggamma, mp, mpf, pi, psi, quad, rgamma, sign, sin, sqrt)

HERE = pathlib.Path(__file__).parent
STRIDES = [0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0xABC98388FB8FAC03, 0x8CB92BA72F3D8DD7]


def bits(x):
    return struct.unpack("<q", struct.pack("<d", abs(x)))[0]


def point(spacing, low, high, index, operand):
    """The same steps in IEEE arithmetic as in special.rs."""
    part = (index + 1) * STRIDES[operand] % 2**64
    if spacing == "lin":
        return low + (high - low) * ((part >> 11) / 2**53)
    if spacing == "int":
        return float(int(low) + (part * (int(high) - int(low) + 1) >> 64))
    size = struct.unpack("<d", struct.pack("<q", bits(low) + (part * (bits(high) - bits(low)) >> 64)))[0]
    return -size if low < 0 else size


def lower(a, x):
    """P(a, x) by its series, with digits enough that 1 - P is exact too."""
    mp.dps = 60
    if x > a:
        size = x - a - a * log(x / a)
        if size > 800:
            return mpf(1)  # 1 - P is less than the least f64.
        mp.dps = 100 + int(size / 2)
    term = total = mpf(1)
    k = 1
    while True:
        term *= x / (a + k)
        total += term
        if term < total * mpf(10) ** (-mp.dps):
            break
        k += 1
    return total * exp(a * log(x) - x - loggamma(a + 1))


def beta_ratio(a, b, x):
    """I_x(a, b) by the series in x after DLMF 8.17.8, all terms positive."""
    mp.dps = 60
    if x > (a + 1) / (a + b + 2):
        mp.dps = 100
        return 1 - beta_series(b, a, 1 - x)
    return beta_series(a, b, x)


def beta_series(a, b, x):
    term = total = mpf(1)
    k = 0
    while term > total * mpf(10) ** (-mp.dps):
        term *= (a + b + k) * x / (a + 1 + k)
        total += term
        k += 1
    return total * exp(a * log(x) + b * log(1 - x) + loggamma(a + b) - loggamma(a + 1) - loggamma(b))


def erfc_inverse(q):
    if q > 0.1:
        return erfinv(1 - q)
    start = sqrt(-log(q) - log(-pi * log(q)) / 2)
    return findroot(lambda y: log(erfc(y)) - log(q), start)


def inverse(value, wanted, low, high):
    """Where an increasing function has a value: halves of the interval, in the logarithm of the place."""
    for _ in range(90):
        mp.dps = 40
        middle = sqrt(low * high)
        low, high = (low, middle) if value(middle) > wanted else (middle, high)
    return sqrt(low * high)


def normal_log(x):
    return log(erfc(-x / sqrt(2)) / 2)


def normal_log_inverse(y):
    """The root of the logarithm of the distribution function, from where its leading term has it."""
    start = -sqrt(-2 * y) if y < -1 else -sqrt(2) * erfc_inverse(2 * exp(y)) if y < -0.6 else sqrt(2) * erfc_inverse(-2 * expm1(y))
    return findroot(lambda x: normal_log(x) - y, start)


def owens_t(h, a):
    mp.dps = 40
    height, ends = fabs(h), [a * k / 8 for k in range(9)]
    return quad(lambda x: exp(-(height**2) * (1 + x * x) / 2) / (1 + x * x), ends) / (2 * pi)


def modified(v, x):
    """K_v(x) of a broken order by I of both signs, with digits enough for their difference."""
    with mp.workdps(120 + int(x)):
        return pi / 2 * (besseli(-v, x) - besseli(v, x)) / sin(pi * v)


def log_modified(v, x):
    """log(I_v(x)), also where I is 1 and next to nothing more."""
    with mp.workdps(80 if x > 1 else 700):
        return log(besseli(v, x))


def lgamma(x):
    return loggamma(x).real


def logistic(x):
    return 1 / (1 + exp(-x))


C = mpf(0.044715)
ALPHA, SCALE = mpf("1.6732632423543772848170429916717"), mpf("1.0507009873554804934193349852946")

FUNCTIONS = {
    "erf": erf,
    "erfc": erfc,
    "erfcx": lambda x: exp(x * x) * erfc(x),
    "erfinv": lambda x: sign(x) * erfc_inverse(1 - fabs(x)) if fabs(x) > 0.5 else erfinv(x),
    "erfcinv": lambda x: erfc_inverse(x) if x < 1 else -erfc_inverse(2 - x),
    "ndtr": lambda x: erfc(-x / sqrt(2)) / 2,
    "ndtri": lambda x: -sqrt(2) * (erfc_inverse(2 * x) if x < 0.5 else -erfc_inverse(2 - 2 * x)),
    "gamma": gamma,
    "lgamma": lgamma,
    "digamma": lambda x: psi(0, x),
    "trigamma": lambda x: psi(1, x),
    "polygamma": lambda n, x: psi(int(n), x),
    "gammainc": lower,
    "gammaincc": lambda a, x: 1 - lower(a, x),
    "gammal": lambda a, x: lower(a, x) * gamma(a),
    "gammau": lambda a, x: (1 - lower(a, x)) * gamma(a),
    "chi2sf": lambda x, k: 1 - lower(k / 2, x / 2),
    "beta": lambda a, b: gamma(a) * gamma(b) / gamma(a + b),
    "betaln": lambda a, b: lgamma(a) + lgamma(b) - lgamma(a + b),
    "betainc": beta_ratio,
    "i0": lambda x: besseli(0, x),
    "i1": lambda x: besseli(1, x),
    "i0e": lambda x: exp(-x) * besseli(0, x),
    "i1e": lambda x: exp(-x) * besseli(1, x),
    "iv": lambda n, x: besseli(n, x),
    "ive": lambda n, x: exp(-x) * besseli(n, x),
    "j0": lambda x: besselj(0, x),
    "j1": lambda x: besselj(1, x),
    "jv": lambda n, x: besselj(n, x),
    "kv": besselk,
    "kve": lambda v, x: exp(x) * besselk(v, x),
    "log_kv": lambda v, x: log(modified(v, x)),
    "log_kv_dx": lambda v, x: v / x - modified(v + 1, x) / modified(v, x),
    "log_iv": log_modified,
    "log_iv_dx": lambda v, x: v / x + besseli(v + 1, x) / besseli(v, x),
    "hyp2f1": hyp2f1,
    "owens_t": owens_t,
    "poch": lambda x, m: gamma(x + m) * rgamma(x),
    "log_ndtr": normal_log,
    "ndtri_exp": normal_log_inverse,
    "gammaincinv": lambda a, p: inverse(lambda x: lower(a, x), p, mpf(10) ** -30, mpf(1000)),
    "gammainccinv": lambda a, q: inverse(lambda x: lower(a, x), 1 - q, mpf(10) ** -30, mpf(1000)),
    "betaincinv": lambda a, b, p: inverse(lambda x: beta_ratio(a, b, x), p, mpf(10) ** -30, mpf(1)),
    "xlogy": lambda x, y: x * log(y),
    "xlog1py": lambda x, y: x * log1p(y),
    "logaddexp": lambda x, y: log(exp(x) + exp(y)),
    "logsubexp": lambda x, y: log(exp(x) - exp(y)),
    "log1mexp": lambda x: log1p(-exp(x)) if x < -1 else log(-expm1(x)),
    "logit": lambda x: log(x / (1 - x)),
    "sigmoid": logistic,
    "log_sigmoid": lambda x: -log1p(exp(-x)),
    "softplus": lambda x: log1p(exp(x)),
    "silu": lambda x: x * logistic(x),
    "gelu": lambda x: x * erfc(-x / sqrt(2)) / 2,
    "gelu_tanh": lambda x: x * logistic(2 * sqrt(2 / pi) * (x + C * x**3)),
    "elu": lambda x, alpha: x if x > 0 else alpha * expm1(x),
    "selu": lambda x: SCALE * (x if x > 0 else ALPHA * expm1(x)),
    "softsign": lambda x: x / (1 + fabs(x)),
}


def main():
    written = bytearray()
    for line in (HERE / "grid.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        print(line, flush=True)
        name, count, *rest = line.split()
        for index in range(int(count)):
            operands = []
            for operand in range(len(rest) // 3):
                spacing, low, high = rest[3 * operand : 3 * operand + 3]
                operands.append(point(spacing, float(low), float(high), index, operand))
            mp.dps = 80
            try:
                value = FUNCTIONS[name](*map(mpf, operands))
            except (OverflowError, ZeroDivisionError) as error:
                raise SystemExit(f"{name} of {operands}: {error!r}")
            written += struct.pack("<d", float(value))
    (HERE / "expected.bin").write_bytes(written)
    print(len(written), "bytes")


if __name__ == "__main__":
    main()
