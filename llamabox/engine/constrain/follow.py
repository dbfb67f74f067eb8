"""What may come after each lexeme of a grammar: the FIRST and FOLLOW sets of parsing, as masks of character classes."""

from llamabox.engine.constrain.nodes import Alt, Cut, Lexeme, Node, Ref, Repeat, Seq, Token
from llamabox.engine.constrain.rule_order import inner_first, references


class Follow:
    """rules: those of a CutGrammar; lexemes: their nodes, each once.

    first       of each lexeme's text, the classes of its first character
    after_root  what may come after a text of the whole grammar
    """

    def __init__(self, rules: dict[str, Cut], lexemes: list[Node], first: list[int], after_root: int):
        self._rules = rules
        self._numbers = {node: number for number, node in enumerate(lexemes)}
        self._first_of_lexeme = first
        self._users: dict[str, set[str]] = {name: set() for name in rules}
        for name, node in rules.items():
            for used in references(node):
                self._users[used].add(name)
        self._inner_first = inner_first(rules)
        self._firsts = dict.fromkeys(rules, 0)
        self._empties = dict.fromkeys(rules, False)
        self._find_firsts()
        self._follows = {name: after_root if name == "root" else 0 for name in rules}
        self.after = [0] * len(lexemes)  # for each lexeme, what may follow it
        self._find_follows()

    def _find_firsts(self) -> None:
        changed = set(self._rules)
        while changed:
            for name in self._inner_first:
                if name in changed:
                    changed.discard(name)
                    found = self._first(self._rules[name])
                    if found != (self._firsts[name], self._empties[name]):
                        self._firsts[name], self._empties[name] = found
                        changed |= self._users[name]

    def _first(self, node: Cut) -> tuple[int, bool]:
        """(classes that it may begin with, whether it may be empty)"""
        if isinstance(node, Lexeme):
            return self._first_of_lexeme[self._numbers[node.node]], node.optional
        if isinstance(node, Token):
            return 0, False
        if isinstance(node, Ref):
            return self._firsts[node.name], self._empties[node.name]
        if isinstance(node, Repeat):
            mask, empty = self._first(node.item)
            return mask, empty or node.least == 0
        parts = [self._first(item) for item in node.items]
        mask = 0
        if isinstance(node, Alt):
            for part, _ in parts:
                mask |= part
            return mask, any(empty for _, empty in parts)
        for part, empty in parts:
            mask |= part
            if not empty:
                return mask, False
        return mask, True

    def _find_follows(self) -> None:
        self._changed = set(self._rules)
        while self._changed:
            for name in reversed(self._inner_first):
                if name in self._changed:
                    self._changed.discard(name)
                    self._walk(self._rules[name], self._follows[name])

    def _walk(self, node: Cut, after: int) -> None:
        """after: what may come after this node."""
        if isinstance(node, Lexeme):
            self.after[self._numbers[node.node]] |= after
        elif isinstance(node, Ref):
            if after & ~self._follows[node.name]:
                self._follows[node.name] |= after
                self._changed.add(node.name)
        elif isinstance(node, Repeat):
            self._walk(node.item, after if node.most == 1 else after | self._first(node.item)[0])
        elif isinstance(node, Alt):
            for item in node.items:
                self._walk(item, after)
        elif isinstance(node, Seq):
            for item in reversed(node.items):
                self._walk(item, after)
                mask, empty = self._first(item)
                after = mask | after if empty else mask


def lexemes_of(rules: dict[str, Cut]) -> list[Node]:
    """The nodes of all lexemes, each once, in the order of the rules."""
    found: dict[Node, None] = {}
    for rule in rules.values():
        waiting = [rule]
        while waiting:
            node = waiting.pop()
            if isinstance(node, Lexeme):
                found[node.node] = None
            elif isinstance(node, Repeat):
                waiting.append(node.item)
            elif isinstance(node, (Seq, Alt)):
                waiting += node.items
    return list(found)
