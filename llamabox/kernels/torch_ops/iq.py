"""The IQ types: codes that point into a codebook of magnitudes, signs, scales. Layouts: gguf/dequant/iq.py."""

from functools import cache

import numpy as np
import torch

from llamabox.gguf.dequant.codebooks import codebook, even_signs, sign_bytes
from llamabox.gguf.dequant.iq import IQ4_LEVELS
from llamabox.kernels.torch_ops.fields import bit_planes, bits_of, halves, look_up, nibbles, shifted, words16, words32


def iq2_xxs(blocks):
    pairs = words32(blocks, 2, 16).reshape(-1, 8, 2)
    codes = blocks[:, 2:66].reshape(-1, 8, 8)[:, :, :4].reshape(-1, 32)
    signs, scales = _signs_and_scale(pairs[:, :, 1])
    return _scaled(_iq2_scale(blocks, scales), _book("IQ2_XXS", codes), signs)


def iq2_xs(blocks):
    codes = words16(blocks, 2, 32)
    scales = _low_high(blocks[:, 66:])
    return _scaled(_iq2_scale(blocks, scales), _book("IQ2_XS", codes & 511), look_up(_even(), codes >> 9))


def iq2_s(blocks):
    high = shifted(blocks[:, 66:74], range(0, 8, 2), 3).reshape(-1, 32)
    codes = blocks[:, 2:34].int() | high.int() << 8
    scales = _low_high(blocks[:, 74:])
    return _scaled(_iq2_scale(blocks, scales), _book("IQ2_S", codes), look_up(_signs(), blocks[:, 34:66]))


def iq3_xxs(blocks):
    signs, scales = _signs_and_scale(words32(blocks, 66, 8))
    return _scaled(halves(blocks, 0) * (0.5 + scales.float()) * 0.5, _book("IQ3_XXS", blocks[:, 2:66]), signs)


def iq3_s(blocks):
    codes = blocks[:, 2:66].int() | bits_of(blocks[:, 66:74]).int() << 8
    scales = halves(blocks, 0) * (2 * _low_high(blocks[:, 106:]).float() + 1)
    return _scaled(scales, _book("IQ3_S", codes), look_up(_signs(), blocks[:, 74:106]))


def iq1_s(blocks):
    high = words16(blocks, 34, 8)
    codes = blocks[:, 2:34].int() | shifted(high, range(0, 12, 3), 7).reshape(-1, 32) << 8
    scales = halves(blocks, 0) * (2 * (high >> 12 & 7) + 1)
    return _moved(scales, codes, (high >> 15).repeat_interleave(4, dim=1))


def iq1_m(blocks):
    packed = words16(blocks, 48, 4)
    d = sum((packed[:, i] >> 12) << 4 * i for i in range(4))  # the bits of an f16
    d = torch.stack([d & 255, d >> 8], dim=1).to(torch.uint8)
    scales = shifted(packed, range(0, 12, 3), 7).reshape(-1, 16)
    high = _low_high(blocks[:, 32:48])
    codes = blocks[:, :32].int() | (high & 7).int() << 8
    return _moved(halves(d, 0) * (2 * scales + 1), codes, high >> 3)


def iq4_nl(blocks):
    return halves(blocks, 0) * look_up(IQ4_LEVELS, nibbles(blocks[:, 2:], 16))


def iq4_xs(blocks):
    scales = _low_high(blocks[:, 4:8]) | bit_planes(blocks[:, 2:4], 1, 2) << 4
    levels = look_up(IQ4_LEVELS, nibbles(blocks[:, 8:], 16))
    return _scaled(halves(blocks, 0) * (scales.float() - 32), levels)


@cache
def _bytes_of(name):
    return codebook(name).view(np.int8).reshape(len(codebook(name)), -1)


@cache
def _signs():
    return sign_bytes().view(np.int8).reshape(256, 8)


@cache
def _even():
    return even_signs().view(np.int8).reshape(128, 8)


def _book(name, codes):
    """The magnitudes of codes: (N, M) -> f32 (N, M, 8 or 4)"""
    return look_up(_bytes_of(name), codes)


def _low_high(packed):
    """The low, then the high half of each byte: uint8 (N, M) -> uint8 (N, 2 M)"""
    return nibbles(packed, 1)


def _signs_and_scale(packed):
    """u32 words of 4 x 7 sign bits and a 4-bit scale: int32 (N, M) -> factors f32 (N, 4 M, 8), int32 (N, M)"""
    codes = shifted(packed, range(0, 28, 7), 127).reshape(len(packed), -1)
    return look_up(_even(), codes), packed >> 28 & 15


def _iq2_scale(blocks, scales):
    return halves(blocks, 0) * (0.5 + scales.float()) * 0.25


def _scaled(scales, magnitudes, signs=None):
    """scale * sign * magnitude: f32 (N, S) and 256 magnitudes and signs a block -> f32 (N, 256)"""
    codes = magnitudes.reshape(*scales.shape, -1)
    codes = codes if signs is None else codes * signs.reshape(codes.shape)
    return (scales[:, :, None] * codes).reshape(-1, 256)


def _moved(scales, codes, negative):
    """scale * (level + shift) for IQ1: f32 (N, S), codes (N, 32), whose shift is -1/8 (N, 32) -> f32 (N, 256)"""
    eighths = _book("IQ1_S", codes) * 8 + (1 - 2 * negative.float())[:, :, None]
    return _scaled(scales * 0.125, eighths)
