"""KVMemory: random operations keep its invariants, and a block holds what its sequences think it holds."""

import random

import pytest

from llamabox.engine.kv_memory import MAX_ROOTS, KVMemory
from llamabox.kernels import BLOCK


class Pool:
    """Blocks whose contents are what would have computed them: cell i knows its tree and tokens[: i + 1]."""

    def __init__(self, n_blocks):
        self.cells = [[None] * BLOCK for _ in range(n_blocks)]
        self.memory = KVMemory(n_blocks, self.copy)

    def copy(self, source, target):
        self.cells[target] = list(self.cells[source])

    def write(self, table, tokens, start, stop, tree=()):
        for i in range(start, stop):
            self.cells[table.blocks[i // BLOCK]][i % BLOCK] = hash((tree, *tokens[: i + 1]))

    def check(self, table, tokens, n_computed, tree=()):
        for i in range(n_computed):
            assert self.cells[table.blocks[i // BLOCK]][i % BLOCK] == hash((tree, *tokens[: i + 1])), i


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


@pytest.mark.parametrize("seed", range(12))
def test_random_operations_keep_the_invariants(seed):
    r = random.Random(seed)
    n_sequences, per_sequence = r.choice([(1, 1), (1, 4), (3, 5), (8, 3)])
    pool = Pool(n_sequences * per_sequence)
    memory, open_sequences = pool.memory, []
    prompts = [[r.randrange(3) for _ in range(per_sequence * BLOCK)] for _ in range(4)]
    for _ in range(300):
        action = r.random()
        if action < 0.3 and len(open_sequences) < n_sequences:
            base = r.choice(prompts)
            tokens = base[: r.randrange(1, len(base) + 1)]
            if r.random() < 0.3:
                tokens = tokens[:-1] + [r.randrange(3)]
            tree = r.choice([(), (), ((0, 1.0),)])
            expected = memory.match(tokens, tree)
            table, n = memory.open(tokens, r.random() < 0.8, tree)
            assert n < len(tokens) and (n <= expected if table.share else n == 0)
            pool.check(table, tokens, n, tree)
            open_sequences.append([table, list(tokens), n, tree])
        elif action < 0.8 and open_sequences:
            sequence = r.choice(open_sequences)
            table, tokens, n, tree = sequence
            if n == len(tokens) and len(tokens) < per_sequence * BLOCK:
                tokens.append(r.randrange(3))
            count = min(r.choice([1, 7, 50]), len(tokens) - n)
            assert memory.grow(table, n + count), "n sequences of the longest length always fit"
            pool.write(table, tokens, n, n + count, tree)
            sequence[2] = n + count
            memory.publish(table, tokens, n + count)
        elif open_sequences:
            table, tokens, n, tree = open_sequences.pop(r.randrange(len(open_sequences)))
            pool.check(table, tokens, n, tree)
            if r.random() < 0.8:
                memory.close(table, tokens, n)
            else:
                memory.discard(table)
        for table, tokens, n, tree in open_sequences:
            pool.check(table, tokens, n, tree)
        check_tree(memory, [s[0] for s in open_sequences])
    for table, tokens, n, _ in open_sequences:
        memory.close(table, tokens, n)
    assert memory.n_used == 0


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
