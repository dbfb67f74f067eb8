"""Reads the small fields that blocks are made of."""

import numpy as np


def f16(blocks: np.ndarray, offset: int, count: int = 1) -> np.ndarray:
    """`count` little-endian f16 numbers at a byte offset of each block: uint8 (N, bytes) -> float32 (N, count)."""
    return words(blocks, offset, count, np.float16).astype(np.float32)


def words(blocks: np.ndarray, offset: int, count: int, dtype) -> np.ndarray:
    """`count` numbers of `dtype` at a byte offset of each block: uint8 (N, bytes) -> (N, count)."""
    size = np.dtype(dtype).itemsize * count
    return np.ascontiguousarray(blocks[:, offset : offset + size]).view(dtype)


def nibbles(codes: np.ndarray, run: int) -> np.ndarray:
    """The low, then the high halves of each run of bytes: uint8 (N, M) -> uint8 (N, M / run, 2, run), values 0..15."""
    runs = codes.reshape(len(codes), codes.shape[1] // run, run)
    out = np.empty((*runs.shape[:2], 2, run), np.uint8)
    np.bitwise_and(runs, 15, out=out[:, :, 0])
    np.right_shift(runs, 4, out=out[:, :, 1])
    return out


def bit_planes(codes: np.ndarray, run: int, bits: int) -> np.ndarray:
    """The `bits`-wide fields of each run of bytes, lowest first: uint8 (N, M) -> uint8 (N, M / run, 8 / bits, run)."""
    runs = codes.reshape(len(codes), codes.shape[1] // run, 1, run)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    out = runs >> shifts
    out &= np.uint8((1 << bits) - 1)
    return out


def bits_of(codes: np.ndarray) -> np.ndarray:
    """The bits of each row of bytes, lowest first: uint8 (N, M) -> uint8 (N, 8 M), values 0 and 1."""
    return np.unpackbits(np.ascontiguousarray(codes), axis=-1, bitorder="little")
