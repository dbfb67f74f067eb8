"""bf16 and the blocks of 32 values; the layouts are drawn in dequant/legacy.py."""

import numpy as np

from llamabox.gguf.quant.fields import f16_bytes, inverse, pack_nibbles, round_away


def bf16(values):  # f32 (N, 1) -> uint8 (N, 2): rounded to nearest even, NaN kept
    bits = values.view(np.uint32)
    is_nan = (bits & 0x7FFFFFFF) > 0x7F800000
    bits = np.where(is_nan, bits & 0xFFFF0000 | 0x400000, bits)
    rounded = bits + (0x7FFF + (bits >> 16 & 1)) >> 16
    return rounded.astype(np.uint16).view(np.uint8)


def q4_0(values):  # the value of largest size becomes code 0, that is -8
    d = _extreme(values) / -8
    codes = np.trunc(values * inverse(d) + np.float32(8.5)).astype(np.uint8).clip(0, 15)
    return np.concatenate([f16_bytes(d), pack_nibbles(codes, 16)], axis=1)


def q4_1(values):
    d, low, codes = _between_extremes(values, 15)
    return np.concatenate([f16_bytes(d), f16_bytes(low), pack_nibbles(codes, 16)], axis=1)


def q5_0(values):
    d = _extreme(values) / -16
    codes = np.trunc(values * inverse(d) + np.float32(16.5)).astype(np.uint8).clip(0, 31)
    return np.concatenate([f16_bytes(d), *_pack_five_bits(codes)], axis=1)


def q5_1(values):
    d, low, codes = _between_extremes(values, 31)
    return np.concatenate([f16_bytes(d), f16_bytes(low), *_pack_five_bits(codes)], axis=1)


def q8_0(values):
    d = np.abs(values).max(axis=1, keepdims=True) / 127
    codes = round_away(values * inverse(d)).astype(np.int8)
    return np.concatenate([f16_bytes(d), codes.view(np.uint8)], axis=1)


def _extreme(values):
    """The value of largest size of each block, with its sign: (N, 32) -> (N, 1)."""
    return np.take_along_axis(values, np.abs(values).argmax(axis=1, keepdims=True), axis=1)


def _between_extremes(values, top):
    """Codes 0..top spread evenly from each block's smallest to its largest value: (step, smallest, codes)."""
    high, low = values.max(axis=1, keepdims=True), values.min(axis=1, keepdims=True)
    d = (high - low) / top
    codes = np.trunc((values - low) * inverse(d) + np.float32(0.5)).astype(np.uint8).clip(0, top)
    return d, low, codes


def _pack_five_bits(codes):
    """Codes 0..31, (N, 32) -> their fifth bits (N, 4) and low halves (N, 16)."""
    return np.packbits(codes >> 4, axis=1, bitorder="little"), pack_nibbles(codes & 15, 16)
