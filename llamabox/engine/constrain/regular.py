"""Which parts of a grammar are regular expressions: those that never lead back to themselves and name no token."""

from llamabox.engine.constrain.nodes import Alt, Chars, Except, Node, Ref, Repeat, Rules, Seq, Text, Token
from llamabox.engine.constrain.rule_order import references

MAX_SIZE, MAX_NESTING = 20_000, 60  # characters and levels that one regular expression may have, rules written out


class Regular:
    """Facts about the nodes of a grammar.

    rules     the rules that are regular, with their size (how many characters they hold when written out) and nesting
    """

    def __init__(self, rules: Rules):
        self._bodies = rules
        self._empty: dict[Node, bool] = {}
        self._measures: dict[Node, tuple[int, int] | None] = {}
        self.rules: dict[str, tuple[int, int]] = {}
        self._find()

    def measure(self, node: Node) -> tuple[int, int] | None:
        """(size, nesting); None for one that is not regular, or too large to be one expression."""
        if node not in self._measures:
            self._measures[node] = self._measure(node)
        return self._measures[node]

    def size(self, node: Node) -> int:
        """How many characters a regular node holds."""
        found = self.measure(node)
        return 0 if found is None else found[0]

    def is_empty(self, node: Node) -> bool:
        """Whether a regular node holds the empty text."""
        if node not in self._empty:
            if isinstance(node, Ref):
                found = self.is_empty(self._bodies[node.name])
            elif isinstance(node, Seq):
                found = all(self.is_empty(item) for item in node.items)
            elif isinstance(node, Alt):
                found = any(self.is_empty(item) for item in node.items)
            elif isinstance(node, Except):
                found = self.is_empty(node.item) and "" not in node.texts
            else:
                found = isinstance(node, Repeat) and (node.least == 0 or self.is_empty(node.item))
            self._empty[node] = found
        return self._empty[node]

    def _measure(self, node: Node) -> tuple[int, int] | None:
        if isinstance(node, Chars):
            return 1, 1
        if isinstance(node, Text):
            return len(node.text), 1
        if isinstance(node, Token):
            return None
        if isinstance(node, Ref):
            return self.rules.get(node.name)
        items = (node.item,) if isinstance(node, (Repeat, Except)) else node.items
        parts = [self.measure(item) for item in items]
        if None in parts:
            return None
        size = sum(part[0] for part in parts if part is not None)
        nesting = 1 + max((part[1] for part in parts if part is not None), default=0)
        return (size, nesting) if size <= MAX_SIZE and nesting <= MAX_NESTING else None

    def _find(self) -> None:
        """Rules whose references are all known to be regular, until there are no more of them."""
        refs = {name: references(node) for name, node in self._bodies.items()}
        users: dict[str, list[str]] = {}
        for name, names in refs.items():
            for used in names:
                users.setdefault(used, []).append(name)
        left = {name: len(names) for name, names in refs.items()}
        ready = [name for name, n in left.items() if n == 0]
        while ready:
            name = ready.pop()
            found = self.measure(self._bodies[name])
            if found is not None:
                self.rules[name] = (found[0], found[1] + 1)
                for user in users.get(name, ()):
                    left[user] -= 1
                    if left[user] == 0:
                        ready.append(user)
