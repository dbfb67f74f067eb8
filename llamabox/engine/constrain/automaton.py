"""Find the lexemes of a grammar that a greedy lexer would get wrong.

All lexemes run side by side in one automaton over classes of characters. In a state where lexeme A is complete and
lexeme B can go on with a character that may also follow A, greed would go on with B and lose A: B has to be cut.
Repetitions count as endless ones here, and all lexemes as possible everywhere, which can only find more to cut.
"""

import time
from bisect import bisect_left

from llamabox.engine.constrain.follow import Follow, lexemes_of
from llamabox.engine.constrain.nodes import (
    MAX_CHAR,
    Alt,
    Chars,
    Cut,
    Except,
    GrammarError,
    Node,
    Ranges,
    Ref,
    Repeat,
    Rules,
    Seq,
    Text,
)
from llamabox.engine.constrain.regular import Regular

MAX_CLASSES, MAX_POSITIONS, MAX_LINKS, MAX_STATES = 2000, 20_000, 300_000, 10_000
Conflicts = set[Node]


class TooMany(Exception):
    """An automaton that would grow too large."""


class Classes:
    """Characters that no part of the grammar tells apart. A set of classes is an int, one bit a class."""

    def __init__(self, pairs: set[tuple[int, int]]):
        self._starts = sorted({0, *(low for low, _ in pairs), *(high + 1 for _, high in pairs)} - {MAX_CHAR + 1})
        if len(self._starts) > MAX_CLASSES:
            raise GrammarError(
                f"it tells apart {len(self._starts)} classes of characters, expected at most {MAX_CLASSES}"
            )
        self._masks: dict[Ranges, int] = {}

    @property
    def all(self) -> int:
        return (1 << len(self._starts)) - 1

    def mask(self, ranges: Ranges) -> int:
        if ranges not in self._masks:
            mask = 0
            for low, high in ranges:
                mask |= (1 << bisect_left(self._starts, high + 1)) - (1 << bisect_left(self._starts, low))
            self._masks[ranges] = mask
        return self._masks[ranges]


class Positions:
    """The Chars of all lexemes, written out: what each one reads, what may come after it (Glushkov's automaton)."""

    def __init__(self, bodies: Rules, classes: Classes):
        self._bodies, self._classes = bodies, classes
        self.masks: list[int] = []
        self.after: list[set[int]] = []
        self.owners: list[int] = []
        self.is_last: list[bool] = []
        self._n_links = 0

    def add(self, node: Node, owner: int) -> set[int]:
        """Write out one lexeme; its first positions."""
        first, last, _ = self._add(node, owner)
        for position in last:
            self.is_last[position] = True
        return first

    def _add(self, node: Node, owner: int) -> tuple[set[int], set[int], bool]:
        """(first positions, last positions, whether it may be empty)"""
        if isinstance(node, Chars):
            position = self._position(node.ranges, owner)
            return {position}, {position}, False
        if isinstance(node, Text):
            places = [self._position(((ord(c), ord(c)),), owner) for c in node.text]
            for position in places[:-1]:
                self.after[position] = {position + 1}
            return {places[0]}, {places[-1]}, False
        if isinstance(node, Ref):
            return self._add(self._bodies[node.name], owner)
        if isinstance(node, Except):
            return self._add(node.item, owner)
        if isinstance(node, Repeat):
            first, last, empty = self._add(node.item, owner)
            if node.most != 1:
                self._link(last, first)
            return first, last, empty or node.least == 0
        if isinstance(node, Alt):
            parts = [self._add(item, owner) for item in node.items]
            firsts, lasts = set().union(*(p[0] for p in parts)), set().union(*(p[1] for p in parts))
            return firsts, lasts, any(p[2] for p in parts)
        return self._add_sequence(node, owner)

    def _position(self, ranges: Ranges, owner: int) -> int:
        self.masks.append(self._classes.mask(ranges))
        self.after.append(set())
        self.owners.append(owner)
        self.is_last.append(False)
        return len(self.masks) - 1

    def _add_sequence(self, node: Seq, owner: int) -> tuple[set[int], set[int], bool]:
        first: set[int] = set()
        last: set[int] = set()
        empty = True
        for item in node.items:
            item_first, item_last, item_empty = self._add(item, owner)
            self._link(last, item_first)
            first = first | item_first if empty else first
            last = last | item_last if item_empty else item_last
            empty = empty and item_empty
        return first, last, empty

    def _link(self, before: set[int], after: set[int]) -> None:
        self._n_links += len(before) * len(after)
        if self._n_links > MAX_LINKS:
            raise TooMany
        for position in before:
            self.after[position] |= after


def find_conflicts(
    rules: dict[str, Cut], bodies: Rules, regular: Regular, followed: bool, deadline: float
) -> Conflicts:
    """Nodes of lexemes that have to be cut smaller; none: the lexemes are right.  rules: those of a CutGrammar"""
    check_time(deadline)
    nodes = lexemes_of(rules)
    largest = {node for node in nodes if not isinstance(node, (Chars, Except))}
    total = sum(regular.size(node) for node in nodes)
    if total > MAX_POSITIONS and largest:
        return largest
    if total > MAX_POSITIONS:
        raise GrammarError(f"it has {total} different characters, expected at most {MAX_POSITIONS}")
    classes = Classes(characters(nodes, bodies))
    positions = Positions(bodies, classes)
    try:
        firsts = [positions.add(node, owner) for owner, node in enumerate(nodes)]
    except TooMany:
        return largest
    masks = [union(positions.masks, first) for first in firsts]
    follow = Follow(rules, nodes, masks, classes.all if followed else 0)
    found = _run(positions, set().union(*firsts), follow.after, deadline)
    wrong = largest if found is None else {nodes[owner] for owner in found}
    if wrong and not wrong & largest:
        raise GrammarError("it is too complex: its parts cannot be told apart")
    return wrong & largest


def check_time(deadline: float) -> None:
    """Errors:  GrammarError when it is past"""
    if time.monotonic() > deadline:
        raise GrammarError("it is too complex: it takes too long to tell its parts apart")


def _run(positions: Positions, start: set[int], following: list[int], deadline: float) -> set[int] | None:
    """The numbers of the lexemes to cut; None when there are too many states to tell."""
    wrong: set[int] = set()
    seen: set[frozenset[int]] = set()
    waiting = _step(positions, start)
    while waiting:
        state = waiting.pop()
        if state in seen:
            continue
        seen.add(state)
        check_time(deadline)
        if len(seen) > MAX_STATES:
            return wrong or None
        ahead = set().union(*(positions.after[p] for p in state))
        after_complete = 0
        for p in state:
            if positions.is_last[p]:
                after_complete |= following[positions.owners[p]]
        if after_complete:
            wrong |= {positions.owners[p] for p in ahead if positions.masks[p] & after_complete}
        waiting += _step(positions, ahead)
    return wrong


def _step(positions: Positions, ahead: set[int]) -> list[frozenset[int]]:
    """The states that reading one character of any class leads to."""
    groups: dict[int, set[int]] = {}  # classes that lead to the same positions -> those
    for position in ahead:
        mask, fresh = positions.masks[position], {}
        for classes, members in groups.items():
            if both := classes & mask:
                fresh[both] = members | {position}
                mask &= ~both
            if only := classes & ~both:
                fresh[only] = members
        if mask:
            fresh[mask] = {position}
        groups = fresh
    return [frozenset(members) for members in groups.values()]


def union(masks: list[int], positions: set[int]) -> int:
    """All the classes that some of the positions read."""
    found = 0
    for position in positions:
        found |= masks[position]
    return found


def characters(nodes: list[Node], bodies: Rules) -> set[tuple[int, int]]:
    """Every range of characters inside some nodes, rules included."""
    found: set[tuple[int, int]] = set()
    seen: set[Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, Chars):
            found.update(node.ranges)
        elif isinstance(node, Text):
            found.update((ord(c), ord(c)) for c in node.text)
        elif isinstance(node, Ref):
            waiting.append(bodies[node.name])
        else:
            waiting += (node.item,) if isinstance(node, (Repeat, Except)) else node.items
    return found
