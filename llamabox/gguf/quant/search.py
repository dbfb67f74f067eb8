"""The least-squares searches for a sub-block's scale (and minimum) behind the K types.

Both start from the plain scale, which maps the extremes of the values to the extremes of the codes, then try scales a
little off it: the codes of a try are fixed, the best scale for them is solved for, and the try with the smallest
weighted square error wins. As ggml's make_qkx2_quants and make_qx_quants, but the error of a try comes from the sums of
its solution rather than value by value. Values are f32 (n, N), a sub-block a column: sums run over the first axis.
"""

import numpy as np

TINY = 1e-15  # a sub-block of smaller values counts as zero


def scale_and_minimum(x, top, extra_steps):
    """The scale and minimum, f32 (N,) and >= 0, for x ~ scale * code - minimum with codes 0..top.

    Weights are rms(x) + |x|: larger values count for more. extra_steps: each try maps what lies between the best
    minimum so far and the largest value to top + extra steps. Values are shifted to start at 0 and their size taken
    out, so that f32 sums suffice.
    """
    size = np.abs(x).max(axis=0)
    x = x / np.where(size < TINY, 1, size)
    low = np.minimum(x.min(axis=0), 0)
    width = x.max(axis=0) - low
    shifted = _Shifted(x - low, np.abs(x) + np.sqrt(np.square(x).mean(axis=0)), low)
    scale, offset = width / top, np.zeros_like(low)
    error = shifted.error(shifted.code_sums(offset, top / width, top), scale, offset)
    for extra in extra_steps:
        sums = shifted.code_sums(offset, np.float32(top + extra) / (width - offset), top)
        try_scale, try_offset = shifted.solve(sums)
        try_error = shifted.error(sums, try_scale, try_offset)
        better = try_error < error  # a try without a solution has error NaN
        error[better], scale[better], offset[better] = try_error[better], try_scale[better], try_offset[better]
    empty = (width <= 0) | (size < TINY)
    return np.where(empty, 0, scale * size), -(low + offset) * size


class _Shifted:
    """Weighted sums over u = x - low, for fits u ~ scale * code + offset with low + offset <= 0."""

    def __init__(self, u, weights, low):
        self.u, self.weights, self.low = u, weights, low
        self.weighted_u = weights * u
        self.sum_w = weights.sum(axis=0)
        self.sum_u = self.weighted_u.sum(axis=0)
        self.sum_uu = (self.weighted_u * u).sum(axis=0)

    def code_sums(self, offset, inverse_scale, top):
        """Weighted sums of codes, of their squares and of code * u; codes are (u - offset) * inverse_scale rounded."""
        codes = self.u - offset
        codes *= inverse_scale
        np.rint(codes, out=codes)
        np.clip(codes, 0, top, out=codes)
        sum_lu = (codes * self.weighted_u).sum(axis=0)
        weighted = codes * self.weights
        sum_l = weighted.sum(axis=0)
        weighted *= codes
        return sum_l, weighted.sum(axis=0), sum_lu

    def solve(self, sums):
        """The scale and offset of least error for these codes; NaN where all codes are equal."""
        sum_l, sum_ll, sum_lu = sums
        determinant = self.sum_w * sum_ll - sum_l * sum_l
        determinant = np.where(determinant > 0, determinant, np.float32(np.nan))
        scale = (self.sum_w * sum_lu - self.sum_u * sum_l) / determinant
        offset = (sum_ll * self.sum_u - sum_l * sum_lu) / determinant
        positive = self.low + offset > 0  # a minimum cannot be negative: fix it at 0 and solve for the scale alone
        scale = np.where(positive, (sum_lu + self.low * sum_l) / sum_ll, scale)
        return scale, np.where(positive, -self.low, offset)

    def error(self, sums, scale, offset):
        """The weighted square error of a fit."""
        sum_l, sum_ll, sum_lu = sums
        quadratic = scale * (scale * sum_ll + 2 * (offset * sum_l - sum_lu))
        return quadratic + offset * (offset * self.sum_w - 2 * self.sum_u) + self.sum_uu


def signed_scale(x, half, extra_steps):
    """The scale, f32 (N,) of either sign, for x ~ scale * code with codes -half..half - 1.

    Weights are x^2. The value of largest size maps to -half, or in each try to -(half + extra).
    """
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=0)[None], axis=0)[0]
    empty = np.abs(largest) < TINY
    largest = np.where(empty, 1, largest)
    x = x / largest  # the largest is now 1
    weights = x * x
    weighted_x = weights * x
    best_gain, best_scale = np.full(largest.shape, -1, np.float32), np.zeros_like(largest)
    for extra in extra_steps:
        codes = np.rint(x * np.float32(-(half + extra)))
        np.clip(codes, -half, half - 1, out=codes)
        sum_lx = (codes * weighted_x).sum(axis=0)
        codes *= codes
        codes *= weights
        sum_ll = codes.sum(axis=0)
        scale = sum_lx / sum_ll
        gain = scale * sum_lx  # what the fit takes off the square error
        better = gain > best_gain
        best_gain[better], best_scale[better] = gain[better], scale[better]
    return np.where(empty, 0, best_scale * largest)
