"""KVMemory: random operations keep its invariants, and a block holds what its sequences think it holds."""

import random
from dataclasses import dataclass

import pytest

from llamabox.engine.kv_memory import MAX_ROOTS, KVMemory, Table
from llamabox.kernels import BLOCK


class Pool:
    """Blocks whose contents tell what computed them: cell i of a sequence knows tokens[: i + 1], and how far its key
    was turned since."""

    def __init__(self, n_blocks):
        self.cells = [[None] * BLOCK for _ in range(n_blocks)]
        self.memory = KVMemory(n_blocks, self.copy, self.move)

    def copy(self, source, target):
        self.cells[target] = list(self.cells[source])

    def move(self, sources, targets, deltas):
        found = [self.cells[cell // BLOCK][cell % BLOCK] for cell in sources]
        for target, (known, turned), delta in zip(targets, found, deltas, strict=True):
            self.cells[target // BLOCK][target % BLOCK] = (known, turned + delta)

    def write(self, table, tokens, start, stop):
        for i in range(start, stop):
            self.cells[table.blocks[i // BLOCK]][i % BLOCK] = (hash(tuple(tokens[: i + 1])), 0)

    def read(self, table, n):
        return [self.cells[table.blocks[i // BLOCK]][i % BLOCK] for i in range(n)]

    def check(self, table, tokens, n_computed):
        assert self.read(table, n_computed) == [(hash(tuple(tokens[: i + 1])), 0) for i in range(n_computed)]


def check_tree(memory, tables):
    """Every block has exactly one place: free, in the tree, or private to one table; references are counted right."""
    nodes, stack = [], list(memory._roots.values())
    while stack:
        node = stack.pop()
        for key, child in node.children.items():
            assert key == child.tokens and child.parent is node
            assert node.parent is None or len(node.tokens) == BLOCK, "only full blocks have others after them"
            nodes.append(child)
            stack.append(child)
    private = [b for t in tables for b in t.blocks[len(t.nodes) :]]
    blocks = [*memory._free, *private, *(n.block for n in nodes)]
    assert sorted(blocks) == list(range(memory.n_blocks))
    for node in nodes:
        assert node.refs == sum(node in t.nodes for t in tables)
    assert set(memory._cached) == {n for n in nodes if n.refs == 0}
    position = {node: i for i, node in enumerate(memory._cached)}
    for node in memory._cached:
        assert all(position[child] < position[node] for child in node.children.values()), "children go first"


@dataclass(eq=False)
class Open:
    """A sequence of the random test. known: what its computed cells must hold."""

    table: Table
    tokens: list
    known: list

    @property
    def n_computed(self):
        return len(self.known)


class Run:
    """Random operations on one memory."""

    def __init__(self, seed):
        self.r = r = random.Random(seed)
        self.n_sequences, self.per_sequence = r.choice([(1, 1), (1, 4), (3, 5), (8, 3)])
        self.pool = Pool(self.n_sequences * self.per_sequence)
        self.memory, self.open, self.ended = self.pool.memory, [], [[1]]
        self.prompts = [[r.randrange(3) for _ in range(self.per_sequence * BLOCK)] for _ in range(4)]

    def start(self):
        base = self.r.choice(self.prompts)
        tokens = base[: self.r.randrange(1, len(base) + 1)]
        if self.r.random() < 0.3:
            tokens = tokens[:-1] + [self.r.randrange(3)]
        if self.r.random() < 0.2:
            return self.start_with_chunks(tokens[self.r.randrange(len(tokens)) :])
        expected = self.memory.match(tokens)
        share = self.r.random() < 0.8
        assert self.memory.fits(tokens, len(tokens), share)
        table, n = self.memory.open(tokens, share)
        assert n < len(tokens) and (n <= expected if table.share else n == 0)
        self.pool.check(table, tokens, n)
        self.open.append(Open(table, tokens, self.pool.read(table, n)))

    def start_with_chunks(self, tokens):
        """In a tree of its own: what its blocks hold is then not what its tokens would compute."""
        table, n = self.memory.open(tokens, True, "chunks")
        exact = self.pool.read(table, n)
        reused = self.memory.reuse(table, n, tokens, self.r.choice(self.ended), self.r.choice([1, 5, 40]), "chunks")
        assert n <= reused <= max(n, len(tokens) - 1) and self.pool.read(table, n) == exact
        self.open.append(Open(table, tokens, self.pool.read(table, reused)))
        self.memory.publish(table, tokens, reused)

    def compute(self, s):
        n = s.n_computed
        if n == len(s.tokens) and len(s.tokens) < self.per_sequence * BLOCK:
            s.tokens.append(self.r.randrange(3))
        count = min(self.r.choice([1, 7, 50]), len(s.tokens) - n)
        assert self.memory.grow(s.table, n + count), "n sequences of the longest length always fit"
        self.pool.write(s.table, s.tokens, n, n + count)
        s.known += self.pool.read(s.table, n + count)[n:]
        self.memory.publish(s.table, s.tokens, s.n_computed)

    def shift(self, s):
        n_keep = self.r.randrange(s.n_computed + 1)
        n_discard = self.r.randrange(s.n_computed - n_keep + 1)
        assert self.memory.shift(s.table, n_keep, n_discard, s.n_computed)
        s.known[n_keep:] = [(known, turned - n_discard) for known, turned in s.known[n_keep + n_discard :]]
        del s.tokens[n_keep : n_keep + n_discard]

    def end(self, s):
        self.open.remove(s)
        if self.r.random() < 0.8:
            self.memory.close(s.table, s.tokens, s.n_computed)
            self.ended.append(s.tokens[: s.n_computed])
        else:
            self.memory.discard(s.table)

    def forget(self):
        tokens = self.r.choice(self.ended)
        for tree in ((), "chunks"):
            n = self.memory.held(tokens, tree)[1]
            self.memory.forget(tokens, tree)
            assert self.memory.held(tokens, tree)[1] <= n

    def step(self):
        action = self.r.random()
        if action < 0.3 and len(self.open) < self.n_sequences:
            self.start()
        elif action < 0.75 and self.open:
            self.compute(self.r.choice(self.open))
        elif action < 0.82 and self.open:
            self.shift(self.r.choice(self.open))
        elif action < 0.85:
            self.forget()
        elif self.open:
            self.end(self.r.choice(self.open))
        for s in self.open:
            assert self.pool.read(s.table, s.n_computed) == s.known
        check_tree(self.memory, [s.table for s in self.open])


@pytest.mark.parametrize("seed", range(16))
def test_random_operations_keep_the_invariants(seed):
    run = Run(seed)
    for _ in range(400):
        run.step()
    for s in run.open:
        run.memory.close(s.table, s.tokens, s.n_computed)
    assert run.memory.n_used == 0


def run(memory, tokens, share=True):
    """One whole sequence -> how many of its tokens were found in the cache."""
    table, n_cached = memory.open(tokens, share)
    assert memory.grow(table, len(tokens))
    memory.close(table, tokens, len(tokens))
    return n_cached


def test_reuse_is_exact_to_the_token():
    copies = []
    memory = KVMemory(32, lambda *blocks: copies.append(blocks))
    text = list(range(100))
    assert run(memory, text) == 0
    assert run(memory, text) == 99, "all but the last token, whose logits are wanted"
    assert run(memory, text[:77] + [500, 501]) == 77
    assert run(memory, text[:64] + [500]) == 64
    assert run(memory, [500] + text) == 0
    assert len(copies) == 2, "whole blocks are shared, only the block where texts part is copied"


def test_trees_of_many_adapters_do_not_pile_up():
    memory = KVMemory(8, lambda *blocks: None)
    for i in range(1000):
        table, n = memory.open(list(range(40)), True, (0, i))
        assert memory.grow(table, 40) and n == 0
        memory.close(table, list(range(40)), 40)
    assert len(memory._roots) <= MAX_ROOTS
    assert (memory.match(list(range(40)), (0, 999)), memory.match(list(range(40)), (0, 1))) == (39, 0)


def test_without_sharing_nothing_is_found_and_nothing_stays():
    memory = KVMemory(8, lambda *blocks: None)
    assert run(memory, list(range(70)), share=False) == 0
    assert memory.n_cached == 0
    assert run(memory, list(range(70))) == 0
    assert run(memory, list(range(70)), share=False) == 0


def test_the_least_recently_used_prefix_goes_first_and_its_end_before_its_beginning():
    memory = KVMemory(6, lambda *blocks: None)
    a, b = list(range(96)), list(range(200, 296))
    run(memory, a)
    run(memory, b)
    run(memory, a[:40])  # uses a's first block and copies from its second; a's third makes room
    assert (memory.match([*a, 1]), memory.match([*b, 1])) == (64, 96)
    run(memory, list(range(400, 440)))  # takes the free one and b's third
    assert (memory.match([*a, 1]), memory.match([*b, 1])) == (64, 64)
    run(memory, list(range(500, 564)))
    assert (memory.match([*a, 1]), memory.match([*b, 1])) == (64, 0)


def test_equal_hashes_of_different_tokens_are_not_confused():
    memory = KVMemory(8, lambda *blocks: None)
    a = [-1] * BLOCK + [1]  # hash(-1) == hash(-2), so hash((-1, ...)) == hash((-2, ...))
    b = [-2] * BLOCK + [1]
    assert hash(tuple(a)) == hash(tuple(b))
    run(memory, a)
    assert memory.match(b) == 0


def test_a_failed_sequence_leaves_nothing_that_only_it_held():
    memory = KVMemory(16, lambda *blocks: None)
    text = list(range(100))
    run(memory, text[:40])
    bad, n = memory.open([*text, 7], True)
    memory.grow(bad, 101)
    memory.publish(bad, [*text, 7], 101)
    other, _ = memory.open(text[:50], True)
    memory.discard(bad)
    assert memory.match([*text, 8]) == 40, "what others computed stays"
    memory.close(other, text[:50], 50)
    assert memory.n_used == 0


def test_when_every_block_is_held_growing_fails_and_changes_nothing():
    memory = KVMemory(2, lambda *blocks: None)
    a, _ = memory.open([1], True)
    assert memory.grow(a, 2 * BLOCK)
    b, _ = memory.open([2], True)
    assert not memory.grow(b, 1)
    memory.close(a, [1], 1)
    assert memory.grow(b, BLOCK)


def test_the_block_that_a_running_sequence_is_filling_is_copied():
    pool = Pool(8)
    memory, text = pool.memory, list(range(50))
    first, _ = memory.open(text, share=True)
    assert memory.grow(first, 50)
    pool.write(first, text, 0, 50)
    memory.publish(first, text, 50)
    second, n_reused = memory.open([*text, 99], share=True)
    assert n_reused == 50 and first.blocks[1] != second.blocks[1]
    pool.check(second, text, 50)
