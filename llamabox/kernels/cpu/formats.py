"""Every block type, described once: where its integers, scales and minimums are.

Kernels see a row as units of 8 groups of 32 values: 8 blocks of a 32-value type, or one 256-value super-block.

    value = scale[group] * (integer - offset) + minimum[group]       types with one scale a group
    value = scale[group] * sub[half group] * (integer - offset)      types with an integer scale for every 16 values
          + minimum[group] * subminimum[half group]                  and maybe an integer minimum too

A description is a handful of functions of the unit's address p (formats_legacy.py, formats_k.py, ...):
    integers(p, j)  -> i8x32     the 32 integers of group j, in order
    halves(p, j)    -> 2 i8x32   the first 16 integers of groups j and j + 4, and the last 16 of both; j < 4. A type
                                 describes this or `integers`, whichever is less to do; the other follows
    scales(p)       -> f32x8     one a group
    minimums(p)     -> f32x8     one a group, for types that have them
    subscales(p)    -> i16x16    one for every 16 values, for types that have them
    subminimums(p)  -> i16x16    one for every 16 values, for types that have them (and then subscales and minimums too)
    opened(p, m)    -> address   for types whose codes are spread over the unit: puts it in order in 256 bytes at m; the
                                 other functions are then given the address that it returns
Units are always whole: at the end of a row, what follows is read with it and does not count (unit.py). A unit's length
in bytes may be odd, and a block may hold more groups than one: 2 (64 values), 4 (128), 8 (256).
How wide the integers are decides how many products fit 16 bits, two of them added side by side, times |x| <= 127:
    bits 5   unsigned, at most 31: four products are added before widening   2 * 4 * 31 * 127 = 31496
    bits 6   unsigned, at most 63: two                                       2 * 2 * 63 * 127 = 32004
    bits 7   unsigned, at most 127: one                                      2 * 127 * 127 = 32258
    bits 8   signed: one, and the sign moves to the other factor             2 * 128 * 127 = 32512
Sub-scales are at most 128 in size; NVFP4's reach 30720. A group's sum of products may then pass 2^31, but with integers
of at most 24 and an offset of 12 the sum less its centre is below 32 * 12 * 127 * 30720 < 2^31: right modulo 2^32.
Byte layouts: ggml-common.h and ggml-quants.c.
"""

from collections.abc import Callable
from dataclasses import dataclass

from llamabox.gguf import GGMLType
from llamabox.kernels.cpu import formats_fp4 as fp4
from llamabox.kernels.cpu import formats_iq as iq
from llamabox.kernels.cpu import formats_k as k
from llamabox.kernels.cpu import formats_legacy as legacy
from llamabox.kernels.cpu import formats_ternary as ternary
from llamabox.kernels.cpu.simd import high_halves, inline, low_halves


def _halves_of(integers: Callable) -> Callable:
    @inline
    def halves(p, j):
        a, b = integers(p, j), integers(p, j + 4)
        return low_halves(a, b), high_halves(a, b)

    return halves


def _integers_of(halves: Callable) -> Callable:
    @inline
    def integers(p, j):
        first, last = halves(p, j & 3)
        return low_halves(first, last) if j < 4 else high_halves(first, last)

    return integers


@dataclass(frozen=True)
class Format:
    """One block type; see the module's docstring."""

    type: GGMLType
    bits: int
    integers: Callable | None
    scales: Callable
    minimums: Callable | None = None
    subscales: Callable | None = None
    subminimums: Callable | None = None
    offset: int = 0
    opened: Callable | None = None
    halves: Callable | None = None

    def __post_init__(self):
        if self.halves is None:
            object.__setattr__(self, "halves", _halves_of(self.integers))
        if self.integers is None:
            object.__setattr__(self, "integers", _integers_of(self.halves))

    @property
    def name(self) -> str:
        return self.type.name

    @property
    def unit_bytes(self) -> int:
        return 256 // self.type.block_size * self.type.type_size


def _opened(type: GGMLType, bits: int, integers: Callable, opened: Callable, offset: int, sub=None) -> Format:
    return Format(type, bits, integers, iq.opened_scales, subscales=sub, offset=offset, opened=opened)


FORMATS = {
    f.type: f
    for f in (
        Format(GGMLType.Q8_0, 8, legacy.q8_0_integers, legacy.q8_0_scales),
        Format(GGMLType.Q8_1, 8, legacy.q8_1_integers, legacy.q8_1_scales),
        Format(GGMLType.Q4_0, 5, legacy.q4_0_integers, legacy.q4_0_scales, offset=8),
        Format(GGMLType.Q4_1, 5, legacy.q4_1_integers, legacy.q4_1_scales, legacy.q4_1_minimums),
        Format(GGMLType.Q5_0, 5, None, legacy.q5_0_scales, offset=16, halves=legacy.q5_0_halves),
        Format(GGMLType.Q5_1, 5, None, legacy.q5_1_scales, legacy.q5_1_minimums, halves=legacy.q5_1_halves),
        Format(GGMLType.Q2_K, 5, k.q2_k_integers, k.q2_k_scales, k.q2_k_minimums, k.q2_k_subscales, k.q2_k_subminimums),
        Format(GGMLType.Q3_K, 5, k.q3_k_integers, k.q3_k_scales, subscales=k.q3_k_subscales, offset=4),
        Format(GGMLType.Q4_K, 5, None, k.q4_k_scales, k.q4_k_minimums, halves=k.q4_k_halves),
        Format(GGMLType.Q5_K, 5, k.q5_k_integers, k.q4_k_scales, k.q4_k_minimums),
        Format(GGMLType.Q6_K, 6, k.q6_k_integers, k.q6_k_scales, subscales=k.q6_k_subscales, offset=32),
        Format(GGMLType.Q8_K, 8, k.q8_k_integers, k.q8_k_scales),
        Format(GGMLType.IQ4_NL, 8, iq.iq4_nl_integers, iq.iq4_nl_scales),
        Format(GGMLType.IQ4_XS, 8, iq.iq4_xs_integers, iq.iq4_xs_scales),
        _opened(GGMLType.IQ3_XXS, 7, iq.iq3_xxs_integers, iq.iq3_xxs_opened, 62),
        _opened(GGMLType.IQ3_S, 5, iq.iq3_s_integers, iq.iq3_s_opened, 15),
        _opened(GGMLType.IQ2_XXS, 7, iq.iq2_xxs_integers, iq.iq2_xxs_opened, 43),
        _opened(GGMLType.IQ2_XS, 7, iq.iq2_xs_integers, iq.iq2_xs_opened, 43, iq.opened_subscales),
        _opened(GGMLType.IQ2_S, 7, iq.iq2_s_integers, iq.iq2_s_opened, 43, iq.opened_subscales),
        _opened(GGMLType.IQ1_S, 5, iq.iq1_integers, iq.iq1_s_opened, 9),
        _opened(GGMLType.IQ1_M, 5, iq.iq1_integers, iq.iq1_m_opened, 9, iq.opened_subscales),
        Format(GGMLType.TQ1_0, 5, ternary.tq1_0_integers, ternary.tq1_0_scales, offset=1),
        Format(GGMLType.TQ2_0, 5, ternary.tq2_0_integers, ternary.tq2_0_scales, offset=1),
        Format(GGMLType.Q1_0, 5, ternary.q1_0_integers, ternary.q1_0_scales, offset=1),
        Format(GGMLType.Q2_0, 5, ternary.q2_0_integers, ternary.q2_0_scales, offset=1),
        Format(GGMLType.MXFP4, 5, fp4.mxfp4_integers, fp4.mxfp4_scales, offset=12),
        Format(GGMLType.NVFP4, 5, fp4.nvfp4_integers, fp4.nvfp4_scales, subscales=fp4.nvfp4_subscales, offset=12),
    )
}
