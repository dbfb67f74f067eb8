"""Shifting: what a context shift keeps and drops. Source: llama-server's pre_decode."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shifting:
    """For one sequence.  n_keep: tokens at its front that stay; n_discard: tokens dropped next; 0: half the rest"""

    n_keep: int
    n_discard: int

    def bounds(self, n_computed: int) -> tuple[int, int]:
        """(kept at the front, dropped after them) of so many computed tokens; at least one is dropped, and one left."""
        n_left = n_computed - self.n_keep
        n_discard = self.n_discard if self.n_discard > 0 else n_left // 2
        return self.n_keep, min(max(n_discard, 1), n_left - 1)


def shifting(n_prompt: int, n_ctx: int, n_keep: int, n_discard: int, add_bos: bool) -> Shifting | None:
    """How a sequence shifts; None: it cannot, its context is too small.

    n_keep  of the request: less than 0 means the whole prompt; the BOS that the model wants comes on top
    """
    n_keep = min((n_prompt if n_keep < 0 else n_keep) + add_bos, n_ctx - 4)
    return Shifting(n_keep, n_discard) if n_keep >= 0 else None
