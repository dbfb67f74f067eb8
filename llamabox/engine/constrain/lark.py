"""Grammars written in llguidance's dialect of Lark."""

from collections.abc import Callable

from llamabox.engine.constrain.lexemes import CutGrammar
from llamabox.engine.constrain.nodes import Alt, Chars, Cut, Except, Lexeme, Node, Ref, Repeat, Text, Token

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ ")
SOMETHING = "SOMETHING: /(?s:.+)/"  # a lexeme is never empty
MAX_DEPTH = 12
Resolve = Callable[[Token], int]  # a token that a grammar names -> its id; GrammarError when there is none


def to_lark(grammar: CutGrammar, resolve: Resolve) -> str:
    """The whole grammar, "root" as Lark's "start"."""
    return _Writer(grammar, resolve).text()


class _Writer:
    """Names rules and lexemes by number: r0 is "root", L0 a lexeme, T0 a rule inside lexemes."""

    def __init__(self, grammar: CutGrammar, resolve: Resolve):
        self._grammar, self._resolve = grammar, resolve
        self._rule_names = {name: f"r{number}" for number, name in enumerate(grammar.rules)}
        self._lexemes: dict[str, str] = {}
        self._inner: dict[str, str] = {}
        self._inner_lines: list[str] = []
        self._written: dict[Node, str] = {}

    def text(self) -> str:
        rules = [f"{self._rule_names[name]}: {self._cut(node)}" for name, node in self._grammar.rules.items()]
        lexemes = [f"{name}: {expression}" for expression, name in self._lexemes.items()]
        return "\n".join([f"start: {self._rule_names['root']}", *rules, *lexemes, *self._inner_lines, SOMETHING, ""])

    def _cut(self, node: Cut, depth: int = 0) -> str:
        """A part of a rule, safe to stand beside others. What nests deep gets a name: Lark's reader bounds that."""
        if isinstance(node, Lexeme):
            return self._lexeme(node)
        if isinstance(node, Ref):
            return self._rule_names[node.name]
        if isinstance(node, Token):
            return f"<[{'^' if node.negated else ''}{self._resolve(node)}]>"
        if isinstance(node, Repeat):
            return _single(self._cut(node.item, depth + 1)) + _counts(node)
        text = _group([self._cut(item, depth + 1) for item in node.items], isinstance(node, Alt))
        return text if depth % MAX_DEPTH < MAX_DEPTH - 1 else self._named("d", text)

    def _lexeme(self, node: Lexeme) -> str:
        if node.node not in self._written:
            expression = self._expression(node.node)
            expression = f"{expression} & SOMETHING" if node.optional else expression
            self._written[node.node] = self._lexemes.setdefault(expression, f"L{len(self._lexemes)}")
        name = self._written[node.node]
        return f"({name} | )" if node.optional else name

    def _named(self, letter: str, text: str) -> str:
        name = f"{letter}{len(self._inner_lines)}"
        self._inner_lines.append(f"{name}: {text}")
        return name

    def _expression(self, node: Node, depth: int = 0) -> str:
        """A regular node, safe to stand beside others."""
        if isinstance(node, Chars):
            return f"/{char_class(node)}/"
        if isinstance(node, Text):
            return _literal(node.text)
        if isinstance(node, Ref):
            return self._inner_name(node.name)
        if isinstance(node, Repeat):
            return _single(self._expression(node.item, depth + 1)) + _counts(node)
        if isinstance(node, Except):
            return (
                f"({self._expression(node.item, depth + 1)} & ~({' | '.join(_literal(text) for text in node.texts)}))"
            )
        text = _group([self._expression(item, depth + 1) for item in node.items], isinstance(node, Alt))
        return text if depth % MAX_DEPTH < MAX_DEPTH - 1 else self._named("D", text)

    def _inner_name(self, rule: str) -> str:
        if rule not in self._inner:
            expression = self._expression(self._grammar.bodies[rule])
            self._inner[rule] = f"T{len(self._inner)}"
            self._inner_lines.append(f"{self._inner[rule]}: {expression}")
        return self._inner[rule]


def _literal(text: str) -> str:
    return f"/{''.join(_char(ord(c)) for c in text)}/"


def _group(parts: list[str], is_choice: bool) -> str:
    if not parts:
        return '""'
    return parts[0] if len(parts) == 1 else f"({(' | ' if is_choice else ' ').join(parts)})"


def _single(text: str) -> str:
    """What is repeated; Lark has no repetition of a repetition without parentheses."""
    return f"({text})" if text[-1] in "?*+}" else text


def _counts(node: Repeat) -> str:
    if (node.least, node.most) == (0, 1):
        return "?"
    if node.most is None and node.least < 2:
        return "+" if node.least else "*"
    return f"{{{node.least},{'' if node.most is None else node.most}}}"


def char_class(node: Chars) -> str:
    """One character as a regular expression."""
    if len(node.ranges) == 1 and node.ranges[0][0] == node.ranges[0][1]:
        return _char(node.ranges[0][0])
    return "[" + "".join(_char(low) + (f"-{_char(high)}" if high > low else "") for low, high in node.ranges) + "]"


def _char(code: int) -> str:
    return chr(code) if chr(code) in PLAIN else f"\\x{{{code:x}}}"
