"""Types with one scale a block: 4, 5 and 8 bits, the ternary and binary types, and 4-bit floating point.

Each function takes blocks, uint8 (N, bytes a block), and returns float32 (N, values a block), in the order of products
of gguf/dequant, where the layouts are drawn. Products are taken in place, in what was made here.
"""

import torch

from llamabox.gguf.dequant.fp4 import E2M1_DOUBLED, HALF_E8M0, HALF_UE4M3
from llamabox.kernels.torch_ops.fields import bit_planes, bits_of, constants, halves, look_up, nibbles, signed


def bf16(blocks):
    return blocks.view(torch.bfloat16).float()


def q4_0(blocks):
    return nibbles(blocks[:, 2:], 16).float().sub_(8).mul_(halves(blocks, 0))


def q4_1(blocks):
    return nibbles(blocks[:, 4:], 16).float().mul_(halves(blocks, 0)).add_(halves(blocks, 2))


def q5_0(blocks):
    return _five_bits(blocks[:, 2:6], blocks[:, 6:]).float().sub_(16).mul_(halves(blocks, 0))


def q5_1(blocks):
    return _five_bits(blocks[:, 4:8], blocks[:, 8:]).float().mul_(halves(blocks, 0)).add_(halves(blocks, 2))


def q8_0(blocks):
    return signed(blocks[:, 2:]).mul_(halves(blocks, 0))


def q8_1(blocks):
    return halves(blocks, 0) * signed(blocks[:, 4:])


def tq1_0(blocks):
    digits = [_digits(blocks[:, :32], 5), _digits(blocks[:, 32:48], 5), _digits(blocks[:, 48:52], 4)]
    return halves(blocks, 52) * torch.cat(digits, dim=1)


def tq2_0(blocks):
    return bit_planes(blocks[:, :64], 32, 2).float().sub_(1).mul_(halves(blocks, 64))


def q1_0(blocks):
    return bits_of(blocks[:, 2:]).float().mul_(2).sub_(1).mul_(halves(blocks, 0))


def q2_0(blocks):
    return bit_planes(blocks[:, 2:], 1, 2).float().sub_(1).mul_(halves(blocks, 0))


def mxfp4(blocks):
    return look_up(HALF_E8M0, blocks[:, :1]) * look_up(E2M1_DOUBLED, nibbles(blocks[:, 1:], 16))


def nvfp4(blocks):
    codes = nibbles(blocks[:, 4:], 8).reshape(-1, 4, 16)
    return (look_up(HALF_UE4M3, blocks[:, :4])[:, :, None] * look_up(E2M1_DOUBLED, codes)).reshape(-1, 64)


def _five_bits(high, low):
    """uint8 (N, 4) fifth bits and (N, 16) low halves -> codes 0..31, uint8 (N, 32)"""
    return bits_of(high) << 4 | nibbles(low, 16)


def _digits(packed, count):
    """The first `count` base-3 digits, less 1, of each byte: uint8 (N, M) -> float32 (N, count * M)"""
    powers = constants(tuple(3**n for n in range(count)), torch.int32, packed.device)
    pushed = packed.int()[:, None, :] * powers[:, None] & 255
    return ((pushed * 3 >> 8) - 1).reshape(len(packed), -1).float()
