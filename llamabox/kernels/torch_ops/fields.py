"""Reads the small fields that blocks are made of. Blocks are uint8 (N, bytes a block)."""

from functools import cache

import numpy as np
import torch
from torch import Tensor


def halves(blocks: Tensor, offset: int, count: int = 1) -> Tensor:
    """f16 numbers at a byte offset -> float32 (N, count)"""
    return blocks[:, offset : offset + 2 * count].contiguous().view(torch.float16).float()


def signed(codes: Tensor) -> Tensor:
    """Bytes as int8, float32."""
    return codes.contiguous().view(torch.int8).float()


def words16(blocks: Tensor, offset: int, count: int) -> Tensor:
    """u16 numbers at a byte offset -> int32 (N, count)"""
    pairs = blocks[:, offset : offset + 2 * count].reshape(len(blocks), count, 2).int()
    return pairs[:, :, 0] | pairs[:, :, 1] << 8


def words32(blocks: Tensor, offset: int, count: int) -> Tensor:
    """u32 numbers at a byte offset, as int32 of the same bits -> (N, count)"""
    field = blocks[:, offset : offset + 4 * count]
    return field.clone(memory_format=torch.contiguous_format).view(torch.int32)  # a copy: aligned, as a slice is not


def shifted(x: Tensor, shifts: range, mask: int) -> Tensor:
    """x >> shift & mask for each shift, on a new last axis."""
    return x[..., None] >> constants(tuple(shifts), x.dtype, x.device) & mask


def bit_planes(codes: Tensor, run: int, bits: int) -> Tensor:
    """The fields of so many bits of each run of bytes, lowest first: uint8 (N, M) -> uint8 (N, 8 / bits * M)

    run  1, or a multiple of 4: then four bytes are taken at once
    """
    mask = (1 << bits) - 1
    if run == 1:
        return shifted(codes, range(0, 8, bits), mask).reshape(len(codes), -1)
    words = words32(codes, 0, codes.shape[1] // 4).reshape(len(codes), -1, run // 4)
    planes = [words >> shift & mask * 0x01010101 for shift in range(0, 8, bits)]
    return torch.stack(planes, dim=2).view(torch.uint8).reshape(len(codes), -1)


def nibbles(codes: Tensor, run: int) -> Tensor:
    """The low, then the high halves of each run of bytes: uint8 (N, M) -> uint8 (N, 2 M), values 0..15"""
    return bit_planes(codes, run, 4)


def bits_of(codes: Tensor) -> Tensor:
    """The bits of each row of bytes, lowest first: uint8 (N, M) -> uint8 (N, 8 M), values 0 and 1"""
    return shifted(codes, range(8), 1).reshape(len(codes), -1)


def look_up(table: np.ndarray, codes: Tensor) -> Tensor:
    """The entries that codes point to, float32: table (n, ...), one array that lives on, codes (N, M) -> (N, M, ...)"""
    return on_device(Table(table), codes.device)[codes.long()].float()


class Table:
    """A constant array, known by its identity."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self.array is other.array

    def __hash__(self) -> int:
        return id(self.array)


@cache
def on_device(table: Table, device: torch.device) -> Tensor:
    """A table, moved to a device once."""
    return torch.from_numpy(table.array.copy()).to(device)


@cache
def constants(numbers: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Small whole numbers, moved to a device once."""
    return torch.tensor(numbers, dtype=dtype, device=device)
