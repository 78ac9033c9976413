"""Computes the polynomials of coefficients.rs.

    pip install mpmath==1.4.1 gmpy2
    python backend-cpu/src/maths/make.py [NAME...]

Each is the best approximation in the sense of Chebyshev, by the exchange algorithm of E. Remez (1934),
of a function with a weight, such that the relative error of what is computed from it is least. After each
solution the leading coefficient is rounded to the format, and the others are solved for anew. Without
names all are computed and the file is written; with names they are only shown.
"""

import sys

import numpy
from mpmath import mp, mpf

mp.prec = 200


def nearest(x, double):
    """x rounded to f64 or f32."""
    if double:
        return mpf(float(x))
    # Through f64: double rounding does not matter here.
    return mpf(float(numpy.float32(float(x))))


class Fit:
    """A weighted approximation of `function(x)` by polynomials in `variable(x)` on low..high."""

    def __init__(self, function, weight, low, high, variable=lambda x: x, points=300):
        low, high = mpf(low), mpf(high)
        middle, half = (low + high) / 2, (high - low) / 2
        self.x = [middle - half * mp.cos(mp.pi * (mpf(k) + mpf(1) / 2) / points) for k in range(points)]
        self.u = [variable(x) for x in self.x]
        self.f = [function(x) for x in self.x]
        self.w = [abs(weight(x)) for x in self.x]

    def solve(self, powers, fixed):
        """Coefficients of `powers`, best together with those that are fixed; and the error."""
        rest = [f - sum(c * u**p for p, c in fixed.items()) for f, u in zip(self.f, self.u)]
        if not powers:
            return {}, max(abs(r * w) for r, w in zip(rest, self.w))
        count, points = len(powers) + 1, len(self.x)
        nodes = [min(points - 1, int((1 - mp.cos(mp.pi * k / (count - 1))) / 2 * (points - 1))) for k in range(count)]
        rows = [[u**p for p in powers] for u in self.u]
        for _ in range(30):
            a, b = mp.matrix(count), mp.matrix(count, 1)
            for i, n in enumerate(nodes):
                for j in range(len(powers)):
                    a[i, j] = rows[n][j]
                a[i, count - 1] = (-1) ** i / self.w[n]
                b[i] = rest[n]
            solution = mp.lu_solve(a, b)
            c = [solution[j] for j in range(len(powers))]
            error = [w * (r - sum(map(lambda x, y: x * y, c, row))) for w, r, row in zip(self.w, rest, rows)]
            # The extreme of every run of one sign; of those the neighbours with the largest errors.
            runs = [0]
            for n in range(1, points):
                if (error[n] > 0) == (error[runs[-1]] > 0):
                    if abs(error[n]) > abs(error[runs[-1]]):
                        runs[-1] = n
                else:
                    runs.append(n)
            while len(runs) > count:
                if len(runs) == count + 1:
                    runs.pop(0 if abs(error[runs[0]]) < abs(error[runs[-1]]) else -1)
                else:
                    weak = min(range(len(runs) - 1), key=lambda k: max(abs(error[runs[k]]), abs(error[runs[k + 1]])))
                    del runs[weak : weak + 2]
            worst = max(map(abs, error))
            if len(runs) < count or worst < abs(solution[count - 1]) * mpf("1.001"):
                break
            nodes = runs
        if worst > 2 * abs(solution[count - 1]):
            return self.reweighted(rows, rest, powers)
        return dict(zip(powers, c)), worst

    def reweighted(self, rows, rest, powers):
        """As `solve`, where the exchange does not settle: least squares with weights that grow where the error is
        large (C. L. Lawson, 1961)."""
        count = len(powers)
        weights = [mpf(1)] * len(rows)
        best = None
        for _ in range(12):
            a, b = mp.matrix(count), mp.matrix(count, 1)
            scaled = [(v * w * w, row, r) for v, w, row, r in zip(weights, self.w, rows, rest)]
            for i in range(count):
                b[i] = mp.fsum(v * row[i] * r for v, row, r in scaled)
                for j in range(i, count):
                    a[i, j] = a[j, i] = mp.fsum(v * row[i] * row[j] for v, row, _ in scaled)
            solution = mp.lu_solve(a, b)
            c = [solution[j] for j in range(count)]
            error = [w * abs(r - sum(map(lambda x, y: x * y, c, row))) for w, r, row in zip(self.w, rest, rows)]
            if best is None or max(error) < best[1]:
                best = dict(zip(powers, c)), max(error)
            weights = [v * e for v, e in zip(weights, error)]
            total = sum(weights)
            weights = [v / total for v in weights]
        return best

    def rounded(self, count, double):
        """Coefficients rounded to the format: some of the first one by one, then the rest at once."""
        return min((self.rounded_singly(count, double, keep) for keep in range(4)), key=lambda found: found[1])

    def rounded_singly(self, count, double, keep):
        fixed = {}
        for step in range(count):
            c, _ = self.solve(list(range(step, count)), fixed)
            if step == min(keep, count - 1):
                fixed.update({p: nearest(x, double) for p, x in c.items()})
                break
            fixed[step] = nearest(c[step], double)
        return fixed, self.solve([], fixed)[1]


TABLE = {}


def polynomial(name, doc, single, double, fit, **ranges):
    """Registers a polynomial of so many coefficients in the two widths."""
    TABLE[name] = (doc, single, double, fit, ranges)


def show(name):
    doc, single, double, fit, ranges = TABLE[name]
    out = [f"/// {doc}\npub(super) const {name}: Polynomial = Polynomial {{"]
    for field, count, wide in (("single", single, False), ("double", double, True)):
        if not count:
            out.append(f"    {field}: &[],")
            continue
        which = Fit(*fit, **ranges) if isinstance(fit, tuple) else fit(wide)
        c, error = which.rounded(count, wide)
        numbers = [repr(float(c[p])) if wide else repr(numpy.float32(float(c[p])).item()) for p in range(count)]
        if not wide:
            numbers = [str(numpy.float32(float(c[p]))) for p in range(count)]
        print(name, field, count, "error 2^", mp.nstr(mp.log(error, 2), 5), file=sys.stderr)
        lines, line = [], "       "
        for number in numbers:
            if len(line) + len(number) > 118:
                lines.append(line)
                line = "       "
            line += f" {number},"
        lines.append(line)
        out.append(f"    {field}: &[\n" + "\n".join(lines) + "\n    ],")
    out.append("};")
    return "\n".join(out)


def series(x, terms):
    """The sum of terms of a power series, for arguments at which the closed form cancels."""
    return mp.nsum(lambda k: terms(int(k), x), [0, mp.inf])


PARTS = {}


def parts(name, doc, value):
    """Registers a constant in three parts for each width."""
    PARTS[name] = (doc, value)


def show_parts(name):
    doc, value = PARTS[name]
    lines = []
    for wide in (False, True):
        rest, numbers = value, []
        for _ in range(3):
            numbers.append(nearest(rest, wide))
            rest -= numbers[-1]
        lines.append(f"[{', '.join(repr(float(number)) for number in numbers)}]")
    return f"/// {doc}\npub(super) const {name}: Parts = Parts {{\n    single: {lines[0]},\n    double: {lines[1]},\n}};"


parts("LN_2", "`log(2)`.", mp.log(2))
parts("LOG2_E", "`1 / log(2)`.", 1 / mp.log(2))
parts("LOG10_2", "`log(2) / log(10)`.", mp.log10(2))
parts("LOG10_E", "`1 / log(10)`.", 1 / mp.log(10))
parts("TWICE_LOG2_E", "`2 / log(2)`.", 2 / mp.log(2))
parts("THIRD", "A third.", mpf(1) / 3)
parts("HALF_PI", "`π / 2`.", mp.pi / 2)
parts("SQRT_HALF", "`√½`.", mp.sqrt(mpf(1) / 2))
parts("SELU_PRODUCT", "Scale times alpha of `selu`.", mpf(1.0507009873554805) * mpf(1.6732632423543772))
parts("GELU_LINEAR", "`2 √(2/π)`.", 2 * mp.sqrt(2 / mp.pi))
parts("GELU_CUBIC", "0.044715 times that, with 0.044715 as an `f64`.", 2 * mp.sqrt(2 / mp.pi) * mpf(0.044715))
HALF_LN_2 = mp.log(2) / 2 * mpf("1.0005")
polynomial("EXP", "`exp(r) = 1 + r + r² p(r)` for `r` of at most `ln 2 / 2`.", 5, 10,
           (lambda r: (mp.expm1(r) - r) / r**2, lambda r: r**2 / mp.expm1(r), -HALF_LN_2, HALF_LN_2))
polynomial("EXP2", "`exp2(r) = 1 + r p(r)` for `r` of at most 1/2.", 7, 11,
           (lambda r: (mpf(2)**r - 1) / r, lambda r: r / mpf(2)**r, -0.50001, 0.50001))
F_LOW, F_HIGH = mp.sqrt(0.5) * mpf("0.99999") - 1, mp.sqrt(2) * mpf("1.00001") - 1
polynomial("LOG", "`log(1 + f) = f + f² p(f)` for `1 + f` between `√½` and `√2`.", 9, 0,
           (lambda f: (mp.log1p(f) - f) / f**2, lambda f: f**2 / mp.log1p(f), F_LOW, F_HIGH))
S = lambda z: mp.sqrt(z)
polynomial("LOG_RATIO", "`log(1 + f) = 2s + s³ p(s²)` with `s = f / (2 + f)`, for `1 + f` between `√½` and `√2`.", 0, 7,
           (lambda z: (2 * mp.atanh(S(z)) - 2 * S(z)) / S(z)**3, lambda z: S(z)**2, 0, mpf("0.029439")))
polynomial("ATANH_SERIES", "`artanh(s) = s + s³/3 + s⁵ p(s²)` with `s = f / (2 + f)`, for `1 + f` between `√½` and `√2`.", 3, 7,
           (lambda z: (mp.atanh(S(z)) / S(z) - 1 - z / 3) / z**2, lambda z: z**2, 0, mpf("0.029439")))
polynomial("SIN", "`sin(r) = r + r³ p(r²)` for `r` of at most `π/4`.", 3, 6,
           (lambda z: (mp.sin(S(z)) - S(z)) / S(z)**3, lambda z: S(z)**3 / mp.sin(S(z)), 0, (mp.pi / 4 * mpf("1.002"))**2))
polynomial("COS", "`cos(r) = 1 - r²/2 + r⁴ p(r²)` for `r` of at most `π/4`.", 3, 6,
           (lambda z: (mp.cos(S(z)) - 1 + z / 2) / z**2, lambda z: z**2 / mp.cos(S(z)), 0, (mp.pi / 4 * mpf("1.002"))**2))
polynomial("TAN", "`tan(r) = r + r³ p(r²)` for `r` of at most `π/4`.", 6, 14,
           (lambda z: (mp.tan(S(z)) - S(z)) / S(z)**3, lambda z: S(z)**3 / mp.tan(S(z)), 0, (mp.pi / 4 * mpf("1.002"))**2))
polynomial("ASIN", "`arcsin(s) = s + s³ p(s²)` for `s` of at most 0.5404.", 6, 13,
           (lambda z: (mp.asin(S(z)) - S(z)) / S(z)**3, lambda z: S(z)**3 / mp.asin(S(z)), 0, mpf("0.2921")))
polynomial("TANH", "`tanh(a) = a + a³ p(a²)` for `a` of at most 0.55.", 5, 10,
           (lambda z: (mp.tanh(S(z)) - S(z)) / S(z)**3, lambda z: S(z)**3 / mp.tanh(S(z)), 0, mpf("0.3026")))
polynomial("ATAN", "`arctan(t) = t + t³ p(t²)` for `t` of at most 1.", 9, 20,
           (lambda z: (mp.atan(S(z)) - S(z)) / S(z)**3, lambda z: S(z)**3 / mp.atan(S(z)), 0, 1))
polynomial("SINH", "`sinh(x) = x + x³ p(x²)` for `x` of at most 1.", 4, 7,
           (lambda z: (mp.sinh(S(z)) - S(z)) / S(z)**3, lambda z: S(z)**3 / mp.sinh(S(z)), 0, mpf("1.001")))
polynomial("ERF", "`erf(x) = x + x p(x²)` for `x` of at most 1.", 7, 12,
           (lambda z: mp.erf(S(z)) / S(z) - 1, lambda z: S(z) / mp.erf(S(z)), 0, mpf("1.001")))


def erfc_scaled(q):
    """`(a + 2) exp(a²) erfc(a)` where `q = (a - 2) / (a + 2)`."""
    a = 2 * (1 + q) / (1 - q)
    return (a + 2) * mp.exp(a * a) * mp.erfc(a)


def erfc_fit(top):
    variable = lambda a: (a - 2) / (a + 2)
    function = lambda q: (erfc_scaled(q) - ERFC_MIDDLE) / q
    return Fit(function, lambda q: q / erfc_scaled(q), variable(mpf("0.3")), variable(mpf(top)), points=160)


ERFC_MIDDLE = erfc_scaled(mpf(0))
parts("ERFC_MIDDLE", "`4 exp(4) erfc(2)`.", ERFC_MIDDLE)
polynomial("ERFC_SCALED", "`(a + 2) exp(a²) erfc(a) = 4 exp(4) erfc(2) + q p(q)` with `q = (a - 2) / (a + 2)`, for `a` from 0.3 to where `erfc` vanishes.", 10, 23,
           lambda wide: erfc_fit("27.5" if wide else "10.3"))

HEAD = """//! Coefficients of best polynomials, lowest power first. Written by make.py, which says how.

use super::{Parts, Polynomial};
"""

if __name__ == "__main__":
    names = sys.argv[1:]
    if names:
        for name in names:
            print(show(name))
    else:
        from pathlib import Path

        text = HEAD + "".join("\n" + show_parts(name) + "\n" for name in PARTS)
        text += "".join("\n" + show(name) + "\n" for name in TABLE)
        Path(__file__).with_name("coefficients.rs").write_text(text)
