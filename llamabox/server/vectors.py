"""Vectors as clients want them: normalised, shortened, as numbers or as base64."""

import base64

import numpy as np

INT16 = 32760.0  # llama.cpp's range of "max absolute"


def normalised(x: np.ndarray, kind: int) -> np.ndarray:
    """x (..., D) over a norm of its last axis; zeros stay.

    kind  -1: as it is; 0: the largest absolute value becomes 32760; 1: taxicab; 2: Euclidean; more: that p-norm
    """
    if kind == -1:
        return x
    size = np.abs(x).astype(np.float64)
    largest = size.max(axis=-1, keepdims=True)
    largest[largest == 0] = 1
    norm = largest / INT16 if kind == 0 else largest * ((size / largest) ** kind).sum(-1, keepdims=True) ** (1 / kind)
    norm[norm == 0] = 1
    return (x / norm).astype(np.float32)


def shortened(x: np.ndarray, dimensions: int | None, kind: int) -> np.ndarray:
    """The first values of a vector (D,), normalised: what models trained for it (Matryoshka) keep most in."""
    return normalised(x if dimensions is None else x[:dimensions], kind)


def encoded(x: np.ndarray, encoding_format: str | None) -> list[float] | str:
    """A list of numbers, or base64 of the little-endian float32 values."""
    if encoding_format == "base64":
        return base64.b64encode(x.astype("<f4").tobytes()).decode()
    return x.tolist()


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), through tanh, which cannot overflow."""
    return float(0.5 * np.tanh(0.5 * x) + 0.5)
