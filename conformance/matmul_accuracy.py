"""Multiplies the same quantised weights by the same rows with ggml's CPU backend and with ours; stores both errors.

    LLAMA_CPP_DIR=.../bin LLAMA_CPP_SOURCE=... python conformance/matmul_accuracy.py

Weights are quantised by ggml, with an importance matrix where the type must have one. A product's error is its NMSE
against the f64 product of the dequantised weights and the f32 rows: what quantising the rows to 8 bits and summing in
f32 cost. Writes
    conformance/results/matmul_accuracy.json   type -> ggml's NMSE, ours, and ours over ggml's
    conformance/results/matmul_accuracy.npz    a smaller case: rows "x", "<type> weights", "<type> products"
tests/kernels/test_matmul_accuracy.py checks against both.
"""

import json
from pathlib import Path

import numpy as np
from ggml_products import GgmlProducts, Product

from llamabox.gguf import GGMLType, dequantize
from llamabox.kernels import Ops, Weight, open_backend

RESULTS = Path(__file__).parent / "results" / "matmul_accuracy.json"
SAMPLES = RESULTS.with_suffix(".npz")
SEED = 20261126
LARGE, SMALL = (192, 32, 2048), (16, 16, 512)  # weight rows, rows of x, values a row
NEVER_WEIGHTS = ("BF16", "Q8_1", "Q8_K")  # ggml multiplies by these only as the other factor, BF16 is no block type
TYPES = [type for type in GGMLType if type.dtype is None and type.name not in NEVER_WEIGHTS]


def weights_like(rng: np.random.Generator, n_out: int, width: int) -> np.ndarray:
    """f32 (O, D) as weights are: a bell a little heavy in its tails, rows and columns of different sizes."""
    values = rng.standard_t(6, (n_out, width)) * rng.lognormal(0, 0.3, (n_out, 1)) * rng.lognormal(0, 0.2, width)
    return (values * 0.02).astype(np.float32)


def rows_like(rng: np.random.Generator, rows: int, width: int) -> np.ndarray:
    """f32 (T, D) as activations are: a bell, and one value in 200 ten times as large."""
    large = np.where(rng.random((rows, width)) < 0.005, 10, 1)
    return (rng.standard_normal((rows, width)) * large).astype(np.float32)


def nmse(expected: np.ndarray, found: np.ndarray) -> float:
    """Sum of squared differences over sum of squares."""
    return float(np.square(expected - found).sum() / np.square(expected).sum())


def exact(weights: np.ndarray, type: GGMLType, x: np.ndarray) -> np.ndarray:
    """x times the dequantised weights, f64 (T, O)."""
    return x.astype(np.float64) @ dequantize(weights, type).astype(np.float64).T


def products(ops: Ops, weights: np.ndarray, type: GGMLType, x: np.ndarray) -> np.ndarray:
    """A backend's own, f32 (T, O)."""
    weight = Weight(type.name, type, (len(weights), x.shape[1]), weights)
    return ops.to_numpy(ops.linear(ops.array(x), weight))


class Case:
    """Values of weights and rows of one size, and what ggml makes of them."""

    def __init__(self, ggml: GgmlProducts, n_out: int, rows: int, width: int):
        rng = np.random.default_rng([SEED, width])
        self._ggml, self.values, self.x = ggml, weights_like(rng, n_out, width), rows_like(rng, rows, width)

    def quantized(self, type: GGMLType) -> np.ndarray:
        """The weights' blocks, uint8 (O, row bytes)."""
        must = self._ggml.lib.ggml_quantize_requires_imatrix(int(type))
        return self._ggml.quantize_rows(self.values, type, np.square(self.x).mean(axis=0) if must else None)

    def products(self, weights: np.ndarray, type: GGMLType) -> np.ndarray:
        """ggml's own, f32 (T, O)."""
        product = Product(self._ggml, type, weights, self.x)
        product.run()
        y = product.result()
        product.free()
        return y


def main():
    ggml, ops = GgmlProducts(), open_backend("cpu", threads=2)
    large, small = Case(ggml, *LARGE), Case(ggml, *SMALL)
    types, samples = {}, {"x": small.x}
    for type in TYPES:
        weights = large.quantized(type)
        expected = exact(weights, type, large.x)
        theirs = nmse(expected, large.products(weights, type))
        ours = nmse(expected, products(ops, weights, type, large.x))
        types[type.name] = {"ggml": theirs, "ours": ours, "ratio": ours / theirs}
        weights = small.quantized(type)
        samples[f"{type.name} weights"], samples[f"{type.name} products"] = weights, small.products(weights, type)
        print(f"{type.name:8} ggml {theirs:.3e}  ours {ours:.3e}  ratio {ours / theirs:.4f}", flush=True)
    provenance = {
        "program": f"libggml-cpu ({ggml.version}), NumPy {np.__version__}",
        "command": "LLAMA_CPP_DIR=<bin> python conformance/matmul_accuracy.py",
        "shapes": {"weights": [LARGE[0], LARGE[2]], "x": LARGE[1:]},
    }
    RESULTS.write_text(json.dumps({"provenance": provenance, "types": types}, indent=1) + "\n")
    np.savez_compressed(SAMPLES, **samples)


if __name__ == "__main__":
    main()
