"""Merging neighbours by rank: the loop that BPE and SentencePiece's BPE share.

Of all neighbouring pairs the one with the lowest rank is joined first, of equal ranks the leftmost, and so on until no
pair has a rank.
"""

import heapq
from collections.abc import Mapping
from itertools import pairwise

LONG = 256  # parts from which a heap beats a plain minimum
NEVER = 1 << 62
PLACE_BITS = 40
LAST_PLACE = (1 << PLACE_BITS) - 1


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
    """`merge` with a heap over a linked list of parts. A heap entry is rank and place of a pair in one number.

    An entry whose rank is no longer that of the pair at its place is outdated.
    """
    parts = list(parts)
    count = len(parts)
    following, preceding = list(range(1, count + 1)), list(range(-1, count - 1))
    pair_ranks = [ranks.get(left + joint + right, NEVER) for left, right in pairwise(parts)] + [NEVER]
    heap = [rank << PLACE_BITS | at for at, rank in enumerate(pair_ranks) if rank != NEVER]
    heapq.heapify(heap)
    while heap:
        entry = heapq.heappop(heap)
        at = entry & LAST_PLACE
        if pair_ranks[at] != entry >> PLACE_BITS:
            continue
        gone = following[at]
        after = following[at] = following[gone]
        joined = parts[at] = parts[at] + parts[gone]
        parts[gone] = ""
        pair_ranks[gone] = pair_ranks[at] = NEVER
        if after < count:
            preceding[after] = at
            pair_ranks[at] = rank = ranks.get(joined + joint + parts[after], NEVER)
            if rank != NEVER:
                heapq.heappush(heap, rank << PLACE_BITS | at)
        before = preceding[at]
        if before >= 0:
            pair_ranks[before] = rank = ranks.get(parts[before] + joint + joined, NEVER)
            if rank != NEVER:
                heapq.heappush(heap, rank << PLACE_BITS | before)
    return [part for part in parts if part]
