"""Pace: how many rows a step may have, so that prefill never keeps those who decode waiting for long.

A controller with one state, the rows a second that steps with prefill reach. A step aims at half of the gap that is
allowed; one that overran shrinks the next in proportion, one that was full and short lets it grow, at most twofold.
"""

FIRST_ROWS = 64  # the first prefill, when no speed is known
ALONE_S = 1.0  # aim of a step while nobody decodes: how long a new request or a cancellation may wait


class Pace:
    """max_rows: rows of any step; max_gap_s: longest gap between two tokens of a sequence."""

    def __init__(self, max_rows: int, max_gap_s: float):
        self._max_rows, self._aim_s = max_rows, max_gap_s / 2
        self._rows_per_s: float | None = None
        self._decode_s = 0.0  # recent duration of steps without prefill

    def rows(self, n_decoding: int) -> int:
        """Rows that the next step may have in all; at least one more than those that decode, if max_rows allows."""
        if self._rows_per_s is None:
            wanted = FIRST_ROWS
        else:
            wanted = int(self._rows_per_s * self._aim(n_decoding))
        return min(max(wanted, n_decoding + 1), self._max_rows)

    def measured(self, n_prefill: int, n_decoding: int, seconds: float) -> None:
        """A step with that many rows of prefill and of decoding took so long."""
        seconds = max(seconds, 1e-6)
        if n_prefill == 0:
            self._decode_s = seconds if self._decode_s == 0 else 0.8 * self._decode_s + 0.2 * seconds
            return
        n_rows = n_prefill + n_decoding
        if self._rows_per_s is None or seconds > self._aim(n_decoding):
            self._rows_per_s = n_rows / seconds
        elif n_rows >= 0.8 * self.rows(n_decoding):
            self._rows_per_s = min(n_rows / seconds, 2 * self._rows_per_s)

    def _aim(self, n_decoding: int) -> float:
        """Seconds. Where decoding alone is slower than the aim, prefill gets half as much time again."""
        return max(self._aim_s, 1.5 * self._decode_s) if n_decoding > 0 else ALONE_S
