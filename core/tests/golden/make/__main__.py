"""Writes the golden files beside this folder: values and gradients by others, which `arignote/tests/golden.rs` holds
every backend against.

Run only when asked, after a change of the cases:

    pip install numpy==2.4.6 scipy==1.17.1 jax==0.10.2 mpmath==1.3.0
    python core/tests/golden/make [FAMILY...]

Values are NumPy's and SciPy's, of special functions mpmath's with 50 digits, of neural nets JAX's; gradients are JAX's
and mpmath's, or formulas over NumPy where neither has the function. None is Arignote's.
"""

import importlib
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
MODULES = ["elementwise", "special", "reduce", "order", "products", "linalg", "shape", "index", "nn", "fft", "forms"]


def main(wanted):
    values = gradients = 0
    for module in MODULES:
        if wanted and module not in wanted:
            continue
        for family in importlib.import_module(module).families():
            some_values, some_gradients = family.write(HERE.parent)
            values += some_values
            gradients += some_gradients
    print(f"{values} values, {gradients} gradients")


main(sys.argv[1:])
