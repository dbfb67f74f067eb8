"""Cut a grammar into lexemes: the regular expressions that llguidance's lexer reads as one piece.

That lexer is greedy: of all lexemes that may come next it takes the longest match and never looks back. So a piece may
be one lexeme only if no text of it goes on, within it or within another lexeme, with a character that could also be
what follows it. Pieces that fail (see automaton.find_conflicts) are cut smaller, down to single characters, where
nothing can fail. A grammar that is one regular expression as a whole needs no cutting: nothing follows it.
"""

import time
from dataclasses import dataclass
from functools import cache

from llamabox.engine.constrain.automaton import Conflicts, find_conflicts
from llamabox.engine.constrain.dead import without_dead
from llamabox.engine.constrain.nodes import (
    EMPTY,
    Alt,
    Chars,
    Cut,
    GrammarError,
    Lexeme,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
    Text,
    Token,
    character,
)
from llamabox.engine.constrain.regular import Regular
from llamabox.engine.constrain.rule_order import inner_first

MAX_ROUNDS, MAX_S = 200, 1.0


@dataclass(frozen=True)
class CutGrammar:
    """rules: those that are reached from "root"; regular: facts about the nodes inside lexemes."""

    rules: dict[str, Cut]
    bodies: Rules
    regular: Regular


def cut(rules: Rules, followed: bool) -> CutGrammar:
    """followed: any text may come after a sentence of the grammar (it is a part of another one).

    Errors:  GrammarError when it takes too long to cut
    """
    rules = without_dead(rules)
    inner_first(rules)  # its bounds hold before anything is written out
    cutter = _Cutter(rules)
    if not followed and cutter.regular.measure(Ref("root")) is not None:
        return CutGrammar({"root": cutter.lexeme(rules["root"])}, rules, cutter.regular)
    deadline = time.monotonic() + MAX_S
    for _ in range(MAX_ROUNDS):
        found = cutter.cut_rules()
        wrong = find_conflicts(found, rules, cutter.regular, followed, deadline)
        if not wrong:
            return CutGrammar(found, rules, cutter.regular)
        cutter.split |= wrong
    raise GrammarError("it is too complex: its parts cannot be told apart")


class _Cutter:
    """split: nodes that may not be lexemes as a whole."""

    def __init__(self, rules: Rules):
        self._bodies = rules
        self.regular = Regular(rules)
        self.split: Conflicts = set()
        self._runs: dict[tuple[Seq, int, int], Seq] = {}
        self._character = cache(character)

    def cut_rules(self) -> dict[str, Cut]:
        found: dict[str, Cut] = {}
        waiting = ["root"]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self._cut(self._bodies[name], waiting)
        return found

    def lexeme(self, node: Node) -> Lexeme:
        return Lexeme(node, self.regular.is_empty(node))

    def _cut(self, node: Node, waiting: list[str]) -> Cut:
        """waiting: takes the names of rules that are referred to."""
        if isinstance(node, Token) or node is EMPTY:
            return node
        if isinstance(node, Ref):
            body = self._bodies[node.name]
            if self._is_lexeme(body):
                return self.lexeme(body)
            waiting.append(node.name)
            return node
        if self._is_lexeme(node) or isinstance(node, Chars):
            return self.lexeme(node)
        if isinstance(node, Text):
            return Seq(tuple(self.lexeme(self._character(c)) for c in node.text))
        if isinstance(node, Repeat):
            return Repeat(self._cut(node.item, waiting), node.least, node.most)
        if isinstance(node, Alt):
            return Alt(tuple(self._cut(item, waiting) for item in node.items))
        return Seq(tuple(self._cut(item, waiting) for item in self._joined(node)))

    def _joined(self, node: Seq) -> list[Node]:
        """The items of a sequence, neighbours that can be one lexeme joined. A regular one is here to be cut."""
        if self.regular.measure(node) is not None:
            return list(node.items)
        found: list[Node] = []
        start = 0
        while start < len(node.items):
            end = start + 1
            if self._is_lexeme(node.items[start]):
                while end < len(node.items) and self._is_lexeme(node.items[end]):
                    end += 1
            run = self._run(node, start, end)
            found += run.items if run in self.split or self.regular.measure(run) is None else [run]
            start = end
        return found

    def _run(self, node: Seq, start: int, end: int) -> Seq:
        return self._runs.setdefault((node, start, end), Seq(node.items[start:end]))

    def _is_lexeme(self, node: Node) -> bool:
        if isinstance(node, Ref):
            node = self._bodies[node.name]
        return self.regular.measure(node) is not None and node not in self.split
