"""What a case is, and how a file of them is written."""

import warnings
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

jax.config.update("jax_enable_x64", True)
warnings.simplefilter("ignore")
np.seterr(all="ignore")

DTYPES = {
    "bool": "bool",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
    "f16": "float16",
    "f32": "float32",
    "f64": "float64",
}
NAMES = {np.dtype(name): ours for ours, name in DTYPES.items()}


class NumPy:
    """NumPy with SciPy's special functions: the namespace for values."""

    special = scipy.special

    def __getattr__(self, name):
        return getattr(np, name)


class Jax:
    """The same of JAX: the namespace for derivatives."""

    special = jax.scipy.special

    def __getattr__(self, name):
        return getattr(jnp, name)


def weights(shape, first=0):
    """The cotangents of a result. golden.rs computes the same ones; all are exact."""
    count = int(np.prod(shape, dtype=np.int64))
    return (((np.arange(first, first + count) * 7 + 3) % 11 - 5) / 8 + 0.0625).reshape(shape)


def number(value):
    """The shortest text that reads back to the same bits, but for those of a NaN."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    # Of f16 and f32 as f64, which both sides can hold.
    text = repr(float(value))
    return text.removesuffix(".0").replace("e+", "e") if text != "-0.0" else "-0"


def array(value):
    value = np.asarray(value)
    return f"{NAMES[value.dtype]}[{', '.join(map(str, value.shape))}] {' '.join(map(number, value.ravel()))}".rstrip()


class Family:
    """The cases of one file. Tolerances are in units of the dtype's epsilon, of each element or of the largest."""

    def __init__(self, name, tolerance, gradients, about):
        self.name, self.tolerance, self.of_gradients, self.about = name, tolerance, gradients, about
        self.blocks, self.gradients = [], 0

    def case(self, text, inputs, f, grad=None, wrt=None, tolerance=None, gradients=None, dtypes=None, known=False):
        """`text` over the inputs is `f(namespace, inputs...)`.

        `grad` says where derivatives come from: True for JAX, a function of the inputs that gives the
        list of those of `wrt`, or None for no derivatives. `dtypes` replaces those of the results; `known`
        says that the op needs lengths that are known.
        """
        values = list(inputs.values())
        results = f(NumPy(), *values)
        results = list(results) if isinstance(results, (tuple, list)) else [results]
        results = [np.asarray(result) for result in results]
        if dtypes:
            results = [result.astype(DTYPES[dtype]) for result, dtype in zip(results, dtypes.split())]
        lines = [f"case {text}"]
        if tolerance:
            lines.append(f"tolerance {tolerance}")
        if gradients:
            lines.append(f"gradients {gradients}")
        if known:
            lines.append("lengths known")
        lines += [f"{name} {array(value)}" for name, value in inputs.items()]
        lines += [f"= {array(result)}" for result in results]
        if grad is not None:
            wrt = wrt or [name for name, value in inputs.items() if np.asarray(value).dtype == np.float64]
            places = [list(inputs).index(name) for name in wrt]
            if grad is True:

                def cost(*chosen):
                    all_values = [
                        jnp.asarray(value) if np.asarray(value).dtype == np.float64 else value for value in values
                    ]
                    for place, value in zip(places, chosen):
                        all_values[place] = value
                    given = f(Jax(), *all_values)
                    given = list(given) if isinstance(given, (tuple, list)) else [given]
                    total, first = 0.0, 0
                    for result in given:
                        total = total + jnp.sum(weights(result.shape, first) * result)
                        first += int(np.prod(result.shape, dtype=np.int64))
                    return total

                found = jax.grad(cost, argnums=tuple(range(len(places))))(
                    *[jnp.asarray(values[place]) for place in places]
                )
            else:
                found = grad(*values)
            for name, value, place in zip(wrt, found, places):
                value = np.asarray(value, dtype=np.float64)
                assert value.shape == np.shape(values[place]), (text, value.shape, np.shape(values[place]))
                lines.append(f"d{name} {array(value)}")
            self.gradients += 1
        self.blocks.append("\n".join(lines))

    def write(self, folder):
        head = [f"# {line}" for line in self.about.strip().split("\n")] + [
            f"tolerance {self.tolerance}",
            f"gradients {self.of_gradients}",
        ]
        path = folder / f"{self.name}.txt"
        path.write_text("\n".join(head) + "\n\n" + "\n\n".join(self.blocks) + "\n")
        jax.clear_caches()
        print(
            f"{self.name}: {len(self.blocks)} values, {self.gradients} gradients, {path.stat().st_size // 1024} KiB"
        )
        return len(self.blocks), self.gradients


def spread(text, shape, low=-2.0, high=2.0, dtype="f64", digits=2):
    """Numbers of few digits, the same in every run, no two alike where there are enough."""
    random = np.random.default_rng(zlib.crc32(text.encode()))
    count = int(np.prod(shape, dtype=np.int64))
    steps = int(round((high - low) * 10**digits))
    if DTYPES[dtype].startswith(("float",)):
        places = random.permutation(steps - 1)[:count] + 1 if steps > count else random.integers(1, steps, count)
        return np.round(low + places / 10**digits, digits).reshape(shape).astype(DTYPES[dtype])
    if dtype == "bool":
        return random.integers(0, 2, count).astype(bool).reshape(shape)
    return random.integers(int(low), int(high) + 1, count).reshape(shape).astype(DTYPES[dtype])
