"""The seeded arrays on which block types are compared with ggml; the same on every machine."""

import numpy as np

from llamabox.gguf import GGMLType

SEED = 20261123
BLOCKS_PER_TYPE = 512
ROWS, COLUMNS = 256, 512


def random_blocks(type: GGMLType) -> np.ndarray:
    """Random bytes as blocks, so that every code, scale, infinity and NaN occurs: uint8 (BLOCKS_PER_TYPE, bytes)."""
    rng = np.random.default_rng([SEED, int(type)])
    blocks = rng.integers(0, 256, (BLOCKS_PER_TYPE, type.type_size), dtype=np.uint8)
    blocks[0], blocks[1] = 0, 255
    return blocks


def canonical_bytes(values: np.ndarray) -> bytes:
    """The bits of f32 values, every NaN the same: which NaN an operation gives is the processor's choice."""
    return np.where(np.isnan(values), np.float32(np.nan), values).astype("<f4").tobytes()


def weight_cases() -> dict[str, np.ndarray]:
    """Values shaped like weights and like trouble: f32 (ROWS, COLUMNS) by name. No libm decides a bit of them."""
    rng = np.random.default_rng(SEED)
    uniform = rng.random((ROWS, COLUMNS), np.float32) - np.float32(0.5)
    bell = sum(rng.random((ROWS, COLUMNS), np.float32) for _ in range(4)) - np.float32(2)
    ratio = bell / (rng.random((ROWS, COLUMNS), np.float32) + np.float32(0.05))
    rows = np.ldexp(np.float32(1), np.arange(ROWS) % 16 - 12).astype(np.float32)[:, None]
    sparse = np.where(rng.random((ROWS, COLUMNS), np.float32) < 0.05, bell, np.float32(0))
    return {
        "bell": bell * np.float32(0.02),
        "uniform": uniform,
        "heavy tails": ratio,
        "above zero": bell * np.float32(0.1) + np.float32(3),
        "below zero": bell * np.float32(0.1) - np.float32(3),
        "sparse": sparse,
        "rows of many sizes": bell * rows,
        "tiny": bell * np.float32(1e-6),
    }


def rms_error(values: np.ndarray, approximation: np.ndarray) -> float:
    """Root mean square of the difference, in f64."""
    return float(np.sqrt(np.mean(np.square(values.astype(np.float64) - approximation))))
