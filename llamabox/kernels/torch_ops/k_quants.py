"""The K types: super-blocks of 256 values, f16 scales over small integer scales. Layouts: gguf/dequant/k_quants.py."""

import torch

from llamabox.kernels.torch_ops.fields import bit_planes, halves, nibbles, signed, words32


def q2_k(blocks):
    scales, minima = blocks[:, :16] & 15, blocks[:, :16] >> 4
    codes = bit_planes(blocks[:, 16:80], 32, 2).float()
    return _scaled(halves(blocks, 80) * scales, codes, halves(blocks, 82) * minima)


def q3_k(blocks):
    scales = nibbles(blocks[:, 96:104], 8) | bit_planes(blocks[:, 104:108], 4, 2) << 4
    codes = bit_planes(blocks[:, :32], 32, 1) << 2 | bit_planes(blocks[:, 32:96], 32, 2)
    return _scaled(halves(blocks, 108) * (scales.float() - 32), codes.float().sub_(4))


def q4_k(blocks):
    return _scale_and_shift(blocks, nibbles(blocks[:, 16:], 32))


def q5_k(blocks):
    return _scale_and_shift(blocks, bit_planes(blocks[:, 16:48], 32, 1) << 4 | nibbles(blocks[:, 48:], 32))


def q6_k(blocks):
    codes = bit_planes(blocks[:, 128:192], 32, 2) << 4 | nibbles(blocks[:, :128], 64)
    return _scaled(halves(blocks, 208) * signed(blocks[:, 192:208]), codes.float().sub_(32))


def q8_k(blocks):
    return words32(blocks, 0, 1).view(torch.float32) * signed(blocks[:, 4:260])


def _scaled(scales, codes, minima=None):
    """scale * code - minimum, in place: f32 (N, S), f32 (N, 256), f32 (N, S) or None -> (N, 256)"""
    values = codes.reshape(*scales.shape, -1).mul_(scales[:, :, None])
    if minima is not None:
        values.sub_(minima[:, :, None])
    return values.reshape(-1, 256)


def _scale_and_shift(blocks, codes):
    """d * scale * code - dmin * minimum for Q4_K and Q5_K, whose 8 scales and minima have 6 bits each."""
    first, second, last = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = torch.cat([first & 63, (last & 15) | (first >> 2) & 48], dim=1)
    minima = torch.cat([second & 63, (last >> 4) | (second >> 2) & 48], dim=1)
    return _scaled(halves(blocks, 0) * scales, codes.float(), halves(blocks, 2) * minima)
