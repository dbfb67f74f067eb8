"""exp and what follows from it, eight values at a time. NaN stays NaN."""

from llamabox.kernels.cpu.simd import (
    f32_of,
    fma,
    inline,
    max_f32,
    min_f32,
    splat_f32x8,
    to_f32,
    to_i32,
    zero_below,
)

LOWEST, HIGHEST = -87.33, 88.37  # where exp meets the smallest normal f32, and 2^127.5


@inline
def exp(x):
    """e^x to 2 units in the last place; 0 below LOWEST, e^HIGHEST above HIGHEST.

    Source: Cephes expf: x = n ln 2 + r, |r| <= ln 2 / 2; a polynomial for e^r; 2^n through the exponent's bits.
    """
    bounded = min_f32(splat_f32x8(HIGHEST), max_f32(splat_f32x8(LOWEST), x))
    n = to_i32(bounded * 1.44269504)
    whole = to_f32(n)
    r = fma(whole, splat_f32x8(-0.693359375), bounded)
    r = fma(whole, splat_f32x8(2.12194440e-4), r)
    y = splat_f32x8(1.9875691500e-4)
    y = fma(y, r, splat_f32x8(1.3981999507e-3))
    y = fma(y, r, splat_f32x8(8.3334519073e-3))
    y = fma(y, r, splat_f32x8(4.1665795894e-2))
    y = fma(y, r, splat_f32x8(1.6666665459e-1))
    y = fma(y, r, splat_f32x8(5.0000001201e-1))
    y = fma(y, r * r, r) + 1.0
    return zero_below(x, LOWEST, y * f32_of((n + 127) << 23))


@inline
def tanh(x):
    """1 - 2 / (e^2x + 1): absolute error 1e-7."""
    return splat_f32x8(1.0) - splat_f32x8(2.0) / (exp(x + x) + 1.0)


@inline
def silu(x):
    """x / (1 + e^-x)."""
    return x / (exp(x * -1.0) + 1.0)


@inline
def gelu(x):
    """tanh form: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) = x - x / (e^2y + 1)."""
    y = x * 0.7978845608028654 * (x * x * 0.044715 + 1.0)
    return x - x / (exp(y + y) + 1.0)


@inline
def gelu_erf(x):
    """exact form: the positive part of x, less |x| times the normal distribution's share beyond |x|.

    Source: erf by Abramowitz and Stegun 7.1.26, off by at most 1.5e-7. Beyond 20 the share is 0.
    """
    size = min_f32(splat_f32x8(20.0), max_f32(x * -1.0, x))
    z = size * 0.7071067811865476
    t = splat_f32x8(1.0) / fma(z, splat_f32x8(0.3275911), splat_f32x8(1.0))
    y = splat_f32x8(1.061405429)
    y = fma(y, t, splat_f32x8(-1.453152027))
    y = fma(y, t, splat_f32x8(1.421413741))
    y = fma(y, t, splat_f32x8(-0.284496736))
    y = fma(y, t, splat_f32x8(0.254829592))
    return max_f32(splat_f32x8(0.0), x) - size * y * t * exp(z * z * -1.0) * 0.5
