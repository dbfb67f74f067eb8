"""Helpers shared by the quantisers."""

import numpy as np


def inverse(d):
    """1 / d, and 0 where d is 0."""
    return np.where(d == 0, np.float32(0), 1 / d)


def f16_bytes(d):
    """float32 (N, k) -> their f16 bytes, uint8 (N, 2 k)."""
    return d.astype(np.float16).view(np.uint8)


def pack_nibbles(codes, run):
    """Codes 0..15, low halves then high halves of each run of bytes: uint8 (N, 2 M) -> uint8 (N, M)."""
    halves = codes.reshape(len(codes), -1, 2, run)
    return (halves[:, :, 0] | halves[:, :, 1] << 4).reshape(len(codes), -1)


def pack_bit_planes(codes, run, bits):
    """Codes of `bits` bits, lowest field first, of each run of bytes: uint8 (N, 8 / bits * M) -> uint8 (N, M)."""
    planes = codes.reshape(len(codes), -1, 8 // bits, run)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    return np.bitwise_or.reduce(planes << shifts, axis=2).reshape(len(codes), -1)


def round_away(x):
    """Round to the nearest whole number, halves away from zero, as C's roundf."""
    size = np.abs(x)
    whole = np.floor(size)
    whole += size - whole >= 0.5
    return np.copysign(whole, x)
