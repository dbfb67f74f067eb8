"""Pace: how much prefill a step may hold, so that those who decode never wait for long.

A controller with one state: the rows a second that steps with prefill reach. A step aims at half of the gap that is
allowed; one that overran shrinks the next in proportion, one that was full and short lets it grow, at most twofold.
"""

FIRST_ROWS = 64  # the first prefill, when no speed is known, and the least while nobody decodes
ALONE_S = 1.0  # aim of a step while nobody decodes: how long a new request or a cancellation may wait


class Pace:
    """max_rows: most rows of prefill in a step; max_gap_s: longest gap between two tokens of a sequence."""

    def __init__(self, max_rows: int, max_gap_s: float):
        self._max_rows, self._aim_s = max_rows, max_gap_s / 2
        self._rows_per_s: float | None = None
        self._decode_s = 0.0  # recent duration of steps without prefill

    def prefill_rows(self, n_decoding: int) -> int:
        """Rows of prefill that the next step may have, at least 1, beside n_decoding sequences that decode."""
        least = 1 if n_decoding > 0 and self._rows_per_s is not None else FIRST_ROWS
        rows = 0 if self._rows_per_s is None else int(self._rows_per_s * self._aim(n_decoding)) - n_decoding
        return min(max(rows, least), self._max_rows)

    def measured(self, n_prefill: int, n_decoding: int, seconds: float) -> None:
        """A step with that many rows of prefill and of decoding took so long."""
        seconds = max(seconds, 1e-6)
        if n_prefill == 0:
            self._decode_s = seconds if self._decode_s == 0 else 0.8 * self._decode_s + 0.2 * seconds
            return
        rows_per_s = (n_prefill + n_decoding) / seconds
        if self._rows_per_s is None or seconds > self._aim(n_decoding):
            self._rows_per_s = rows_per_s
        elif n_prefill >= 0.8 * self.prefill_rows(n_decoding):
            self._rows_per_s = min(rows_per_s, 2 * self._rows_per_s)

    def _aim(self, n_decoding: int) -> float:
        """Seconds. Where decoding alone is slower than the aim, prefill gets half as much time again."""
        return max(self._aim_s, 1.5 * self._decode_s) if n_decoding > 0 else ALONE_S
