"""KVMemory: which sequence holds which KV block, and which blocks stay behind as cache. Bookkeeping only, no arrays.

Cached prefixes form a tree. A node is one block: its parent is the block before it, its key the tokens inside it, so
two prompts that begin alike share nodes, and tokens themselves are compared, never only their hashes.

    root -- [0..31] -- [32..63] -- [64..70]     a finished sequence of 71 tokens; the last block is partly filled
                   \\-- [32..63]'                another prompt that went on differently after 32 tokens

There is one such tree for each set of adapters, as keys and values depend on them.

A full block is shared by reference count. The block in which two prompts part is copied, also from a sequence that is
still filling it, and overwritten from the first token that differs: reuse is exact to the token. A block nobody
references stays as cache until its room is needed, least recently used first, and the end of a prefix before its
beginning.

Cell i of a table always holds position i. A context shift (`shift`) and the reuse of chunks from further on (`reuse`)
therefore move cells to where they now belong, and have their keys turned: never in a block that somebody else holds.

Rolling back: what was written behind the first n tokens of a sequence is void as soon as the next `publish` or `close`
says n; blocks that `grow` gave stay with the table, to be overwritten. Published tokens cannot be taken back.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from llamabox.kernels import BLOCK

MAX_ROOTS = 64  # trees that are kept though nothing grows in them


@dataclass(eq=False, slots=True)
class Node:
    """One block of the tree. refs counts the sequences that hold it; 0: it is only cache. The root has no parent."""

    block: int
    tokens: tuple[int, ...]
    parent: "Node"
    refs: int = 0
    children: dict[tuple[int, ...], "Node"] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Table:
    """One sequence's blocks, in order. The first len(nodes) are in the tree, the others are its own.

    tail  what the block after those of the tree holds so far; its tokens may be copied from there
    root  of the tree it takes part in; None: it does not
    """

    share: bool
    blocks: array = field(default_factory=lambda: array("i"))
    nodes: list[Node] = field(default_factory=list)
    tail: tuple[int, ...] = ()
    root: Node | None = None


class KVMemory:
    """Blocks 0 .. n_blocks-1 and who holds them.

    copy(source, target)            copies the contents of a block
    move(sources, targets, deltas)  copies cells (block * BLOCK + offset, lists of equal length) that may overlap, their
                                    keys turned by so many positions; None: neither `shift` nor `reuse` is called
    """

    def __init__(
        self,
        n_blocks: int,
        copy: Callable[[int, int], None],
        move: Callable[[list[int], list[int], list[int]], None] | None = None,
    ):
        self.n_blocks = n_blocks
        self._copy, self._move = copy, move
        self._free = list(range(n_blocks - 1, -1, -1))
        self._roots: dict[Hashable, Node] = {}
        self._cached: OrderedDict[Node, None] = OrderedDict()  # nodes with no references, least recently used first
        self._filling: dict[Node, set[Table]] = {}  # open tables by the last of their nodes

    @property
    def n_cached(self) -> int:
        """Blocks that only serve as cache."""
        return len(self._cached)

    @property
    def n_used(self) -> int:
        """Blocks that sequences hold."""
        return self.n_blocks - len(self._free) - len(self._cached)

    def match(self, tokens: Sequence[int], tree: Hashable = ()) -> int:
        """How many leading tokens `open` would reuse; never all of them, since the last one's logits are wanted."""
        chain, _, _, n_more = self._find(tokens, self._root(tree))
        return len(chain) * BLOCK + n_more

    def open(self, tokens: Sequence[int], share: bool, tree: Hashable = ()) -> tuple[Table, int]:
        """A table for a new sequence, and how many of its leading tokens are already computed in it.

        tree  what keys and values depend on besides the tokens: the sequence's adapters
        """
        table = Table(share)
        if not share:
            return table, 0
        table.root = self._root(tree)
        chain, source, source_node, n_more = self._find(tokens, table.root)
        for node in chain:
            self._take(node)
            table.nodes.append(node)
            table.blocks.append(node.block)
        if source is None:
            return table, len(chain) * BLOCK
        if source_node is not None:
            self._take(source_node)  # so that making room cannot evict it
        block = self._allocate()
        if block is not None:
            self._copy(source, block)
            table.blocks.append(block)
        if source_node is not None:
            self._release(source_node)
        return table, len(chain) * BLOCK + (n_more if block is not None else 0)

    def grow(self, table: Table, n_tokens: int) -> bool:
        """Give the table room for n_tokens; False when every block is held by some sequence."""
        while len(table.blocks) * BLOCK < n_tokens:
            block = self._allocate()
            if block is None:
                return False
            table.blocks.append(block)
        return True

    def publish(self, table: Table, tokens: Sequence[int], n_computed: int) -> None:
        """Let other sequences find what tokens[:n_computed] have filled."""
        if not table.share:
            return
        self._forget(table)
        while (len(table.nodes) + 1) * BLOCK <= n_computed:
            index = len(table.nodes)
            parent = self._last_node(table)
            key = tuple(tokens[index * BLOCK : (index + 1) * BLOCK])
            node = parent.children.get(key)
            if node is None:
                node = parent.children[key] = Node(table.blocks[index], key, parent, refs=1)
            else:  # two sequences computed the same block at the same time: keep the one in the tree
                self._take(node)
                self._free.append(table.blocks[index])
                table.blocks[index] = node.block
            table.nodes.append(node)
        table.tail = tuple(tokens[len(table.nodes) * BLOCK : n_computed])
        if len(table.tail) > 0:
            self._filling.setdefault(self._last_node(table), set()).add(table)

    def close(self, table: Table, tokens: Sequence[int], n_computed: int) -> None:
        """The sequence has ended: what it computed stays as cache, its other blocks are free again."""
        self.publish(table, tokens, n_computed)
        self._forget(table)
        first, rest, parent = len(table.nodes), table.tail, self._last_node(table)
        if table.share and len(rest) > 0 and _longest_match(parent, rest)[1] < len(rest):
            parent.children[rest] = Node(table.blocks[first], rest, parent, refs=1)
            table.nodes.append(parent.children[rest])
        self._free_private(table)
        for node in reversed(table.nodes):  # the end of the prefix becomes the older cache entry
            self._release(node)

    def discard(self, table: Table) -> None:
        """The sequence has failed: nothing that only it holds, and nothing built on that, stays as cache."""
        self._forget(table)
        self._free_private(table)
        for node in table.nodes:
            node.refs -= 1
        bad = [node for node in table.nodes if node.refs == 0][:1]
        if bad:
            del bad[0].parent.children[bad[0].tokens]
        while bad:
            node = bad.pop()
            self._cached.pop(node, None)
            self._free.append(node.block)
            bad.extend(node.children.values())

    def _root(self, tree: Hashable) -> Node:
        root = self._roots.get(tree)
        if root is None:
            if len(self._roots) >= MAX_ROOTS:
                self._roots = {k: r for k, r in self._roots.items() if r.children or r in self._filling}
            root = self._roots[tree] = Node(-1, (), None)  # type: ignore[arg-type]
        return root

    def fits(self, tokens: Sequence[int], n_tokens: int, share: bool, tree: Hashable = ()) -> bool:
        """Whether a new sequence that begins with tokens could now be opened and grow to n_tokens."""
        chain = self._find(tokens, self._root(tree))[0] if share else []
        available = len(self._free) + len(self._cached) - sum(node.refs == 0 for node in chain)
        return -(-n_tokens // BLOCK) - len(chain) <= available

    def shift(self, table: Table, n_keep: int, n_discard: int, n_computed: int) -> bool:
        """Drop the n_discard tokens behind the first n_keep of n_computed: those after them move up.

        What moves was computed with the dropped tokens in sight, so it is nobody else's from now on: behind the kept
        blocks the table leaves the tree.  False, and nothing changed, when there is no room to copy shared blocks
        """
        self._forget(table)
        first, n_left = n_keep // BLOCK, n_computed - n_discard
        n_shared = sum(node.refs > 1 for node in table.nodes[first:])  # the parents of a shared node are shared too
        own = table.blocks[first + n_shared :]
        n_wanted = -(-n_left // BLOCK) - first
        if n_wanted - len(own) > len(self._free) + len(self._cached):
            return False
        old = list(table.blocks)
        for node in reversed(table.nodes[first + n_shared :]):
            self._detach(node)
        for node in table.nodes[first : first + n_shared]:
            node.refs -= 1
        del table.nodes[first:], table.blocks[first:]
        table.share, table.tail = False, ()
        table.blocks.extend(own[:n_wanted])
        self.grow(table, n_left)
        kept = range(first * BLOCK, n_keep if n_shared > 0 else first * BLOCK)  # of a shared block: copied as it is
        moved = range(n_keep, n_left)
        self._move_cells(
            [_cell(old, i) for i in kept] + [_cell(old, i + n_discard) for i in moved],
            [_cell(table.blocks, i) for i in (*kept, *moved)],
            [0] * len(kept) + [-n_discard] * len(moved),
        )
        self._free.extend(own[n_wanted:])
        return True

    def reuse(
        self, table: Table, n_computed: int, tokens: Sequence[int], before: Sequence[int], n_min: int, tree: Hashable
    ) -> int:
        """Fill the table of a sequence, after the first n_computed of its tokens, with what an earlier one computed of
        the same tokens in another place, in chunks of at least n_min -> how many leading tokens it now has.

        before  the tokens of the earlier sequence
        Source: llama-server's --cache-reuse
        """
        nodes, n_held = self.held(before, tree)
        chunks = _equal_chunks(tokens[: len(tokens) - 1], before[:n_held], n_computed, n_min)
        for node in nodes:
            self._take(node)  # so that making room cannot evict it
        blocks = [node.block for node in nodes]
        for start, place, count in chunks:
            if not self.grow(table, start + count):
                break
            cells = range(start, start + count)
            shift = start - place
            sources = [_cell(blocks, i - shift) for i in cells]
            self._move_cells(sources, [_cell(table.blocks, i) for i in cells], [shift] * count)
            n_computed = start + count
        for node in reversed(nodes):
            self._release(node)
        return n_computed

    def held(self, tokens: Sequence[int], tree: Hashable = ()) -> tuple[list[Node], int]:
        """The nodes of the tree that hold the beginning of tokens, and how many of these."""
        chain, _, last, n_more = self._find([*tokens, -1], self._root(tree))
        return (chain, len(chain) * BLOCK) if last is None else ([*chain, last], len(chain) * BLOCK + n_more)

    def forget(self, tokens: Sequence[int], tree: Hashable = ()) -> None:
        """Free the cached blocks of these tokens, from the last to the first that serves others too."""
        for node in reversed(self.held(tokens, tree)[0]):
            if node.refs > 0 or node.children:
                return
            del self._cached[node]
            self._detach(node)
            self._free.append(node.block)

    def _move_cells(self, sources: list[int], targets: list[int], deltas: list[int]) -> None:
        assert self._move is not None
        if sources:
            self._move(sources, targets, deltas)

    def _detach(self, node: Node) -> None:
        """Take a node out of the tree, with the cached ones that build on it; its block is the caller's."""
        del node.parent.children[node.tokens]
        below = list(node.children.values())
        while below:
            cached = below.pop()
            del self._cached[cached]
            self._free.append(cached.block)
            below.extend(cached.children.values())

    def _find(self, tokens: Sequence[int], node: Node) -> tuple[list[Node], int | None, Node | None, int]:
        """The chain of full blocks that tokens begin with; the block that matches furthest after it, its node if it is
        in the tree, and how far."""
        limit = len(tokens) - 1
        chain: list[Node] = []
        while (len(chain) + 1) * BLOCK <= limit:
            child = node.children.get(tuple(tokens[len(chain) * BLOCK : (len(chain) + 1) * BLOCK]))
            if child is None:
                break
            chain.append(child)
            node = child
        rest = tuple(tokens[len(chain) * BLOCK : min((len(chain) + 1) * BLOCK, limit)])
        best, length = _longest_match(node, rest)
        source = None if best is None else best.block
        for table in self._filling.get(node, ()):
            n = common_prefix(table.tail, rest)
            if n > length:
                source, best, length = table.blocks[len(table.nodes)], None, n
        return chain, source, best, length

    def _last_node(self, table: Table) -> Node:
        return table.nodes[-1] if table.nodes else table.root  # type: ignore[return-value]

    def _forget(self, table: Table) -> None:
        """The table's last block is no longer to be copied from."""
        node = self._last_node(table)
        tables = self._filling.get(node)
        if tables is not None:
            tables.discard(table)
            if not tables:
                del self._filling[node]

    def _allocate(self) -> int | None:
        if self._free:
            return self._free.pop()
        if not self._cached:
            return None
        node, _ = self._cached.popitem(last=False)  # a leaf: children were released before their parent
        del node.parent.children[node.tokens]
        return node.block

    def _take(self, node: Node) -> None:
        if node.refs == 0:
            del self._cached[node]
        node.refs += 1

    def _release(self, node: Node) -> None:
        node.refs -= 1
        if node.refs == 0:
            self._cached[node] = None

    def _free_private(self, table: Table) -> None:
        self._free.extend(table.blocks[len(table.nodes) :])


def _longest_match(parent: Node, tokens: tuple[int, ...]) -> tuple[Node | None, int]:
    """The child whose tokens agree longest with these, and how many; (None, 0) when none begins like them."""
    best, length = None, 0
    for child in parent.children.values():
        n = common_prefix(child.tokens, tokens)
        if n > length:
            best, length = child, n
    return best, length


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading items of a and b are equal."""
    limit = min(len(a), len(b))
    start = 0
    while start < limit and a[start : start + BLOCK] == b[start : start + BLOCK]:
        start += BLOCK
    end = min(start + BLOCK, limit)
    return next((i for i in range(start, end) if a[i] != b[i]), min(end, limit))


def _cell(blocks: Sequence[int], position: int) -> int:
    return blocks[position // BLOCK] * BLOCK + position % BLOCK


def _equal_chunks(tokens: Sequence[int], before: Sequence[int], n_past: int, n_min: int) -> list[tuple[int, int, int]]:
    """Chunks of tokens from n_past on, one behind the other, each found in before, ever further on: (where in tokens,
    where in before, length at least n_min)."""
    text, chunks, place = array("i", before).tobytes(), [], n_past
    while n_past + n_min <= len(tokens):
        place = _find_aligned(text, array("i", tokens[n_past : n_past + n_min]).tobytes(), place)
        if place < 0:
            break
        count = n_min
        while n_past + count < len(tokens) and place + count < len(before):
            if tokens[n_past + count] != before[place + count]:
                break
            count += 1
        chunks.append((n_past, place, count))
        place, n_past = place + count, n_past + count
    return chunks


def _find_aligned(text: bytes, part: bytes, start: int) -> int:
    """Where in the int32s of text those of part stand, from the start-th on; -1: nowhere."""
    at = text.find(part, 4 * start)
    while at >= 0 and at % 4 != 0:
        at = text.find(part, at + 1)
    return at // 4
