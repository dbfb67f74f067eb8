"""Merging neighbours by rank: the loop that BPE and SentencePiece's BPE share.

Of all neighbouring pairs the one with the lowest rank is joined first, of equal ranks the leftmost, and so on until no
pair has a rank.
"""

import heapq
from collections.abc import Mapping
from itertools import pairwise

LONG = 256  # parts from which a heap beats a plain minimum
NEVER = 1 << 62


def merge(parts: list[str], ranks: Mapping[str, int], joint: str) -> list[str]:
    """Merge `parts` until nothing merges; the rank of a pair is `ranks[left + joint + right]`.

    O(n^2) in fast C calls below LONG parts, O(n log n) from there.
    """
    return merge_long(parts, ranks, joint) if len(parts) >= LONG else merge_short(parts, ranks, joint)


def merge_short(parts: list[str], ranks: Mapping[str, int], joint: str) -> list[str]:
    """`merge` by looking for the minimum in every round."""
    parts = list(parts)
    pair_ranks = [ranks.get(left + joint + right, NEVER) for left, right in pairwise(parts)]
    while pair_ranks:
        best = min(pair_ranks)
        if best == NEVER:
            break
        at = pair_ranks.index(best)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
        del pair_ranks[at]
        if at:
            pair_ranks[at - 1] = ranks.get(parts[at - 1] + joint + parts[at], NEVER)
        if at < len(pair_ranks):
            pair_ranks[at] = ranks.get(parts[at] + joint + parts[at + 1], NEVER)
    return parts


def merge_long(parts: list[str], ranks: Mapping[str, int], joint: str) -> list[str]:
    """`merge` with a heap of pairs over a linked list of parts; an outdated heap entry is known by its rank."""
    parts = list(parts)
    count = len(parts)
    following, preceding = list(range(1, count + 1)), list(range(-1, count - 1))
    pair_ranks = [ranks.get(left + joint + right, NEVER) for left, right in pairwise(parts)] + [NEVER]
    heap = [(rank, at) for at, rank in enumerate(pair_ranks) if rank != NEVER]
    heapq.heapify(heap)
    while heap:
        rank, at = heapq.heappop(heap)
        if pair_ranks[at] != rank:
            continue
        gone = following[at]
        parts[at] += parts[gone]
        parts[gone] = ""
        pair_ranks[gone] = NEVER
        after = following[at] = following[gone]
        pair_ranks[at] = NEVER
        changed = [preceding[at]] if preceding[at] >= 0 else []
        if after < count:
            preceding[after] = at
            changed.append(at)
        for left in changed:
            new = ranks.get(parts[left] + joint + parts[following[left]], NEVER)
            pair_ranks[left] = new
            if new != NEVER:
                heapq.heappush(heap, (new, left))
    return [part for part in parts if part]
