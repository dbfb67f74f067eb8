"""GBNF, llama.cpp's grammar language, read into rules.

The dialect is that of llama.cpp's own reader (src/llama-grammar.cpp), with its limits: what it refuses is refused here.
Names are letters, digits and dashes; a rule that is given twice is the second one; [z-a] holds nothing; repetitions are
bounded by MAX_REPETITIONS, also multiplied by the rules inside a group.
"""

import re

from llamabox.engine.constrain.left_recursion import check_left_recursion
from llamabox.engine.constrain.nodes import (
    EMPTY,
    MAX_CHAR,
    Alt,
    Chars,
    GrammarError,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
    ranges,
    text_node,
)
from llamabox.engine.constrain.nodes import Token as TokenNode

MAX_LENGTH = 2**18  # characters of a source
MAX_DEPTH = 100  # groups inside groups
MAX_REPETITIONS = 2000
MAX_ITEMS = 20_000  # literals, classes, names and groups
ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
HEX = {"x": 2, "u": 4, "U": 8}
NAME, INTEGER = re.compile(r"[a-zA-Z0-9-]+"), re.compile(r"[0-9]+")
SPACE, SPACE_AND_LINES = re.compile(r"(?:[ \t]|#[^\r\n]*)*"), re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
TOKEN_ID = re.compile(r"<\[([0-9]+)\]>")
STARTS_ITEM = re.compile(r'["\[<!.(]|[a-zA-Z0-9-]')


def parse_expression(source: str) -> Node:
    """One expression without references to rules.  Errors:  GrammarError"""
    return _Reader(f"root ::= {source}\n", weighs_groups=False).rules()["root"]


def parse_gbnf(source: str) -> Rules:
    """The rules of a grammar, each reference defined, with a rule "root".

    Errors:  GrammarError
    """
    if len(source) > MAX_LENGTH:
        raise GrammarError(f"found {len(source)} characters, expected at most {MAX_LENGTH}")
    rules = _Reader(source).rules()
    if "root" not in rules:
        raise GrammarError('found no rule "root"')
    check_left_recursion(rules)
    return rules


class _Reader:
    """A position in the source, and what llama.cpp counts to bound repetitions: the names and nameless rules so far.

    weighs_groups: a repeated group counts as many times as it has rules
    """

    def __init__(self, source: str, weighs_groups: bool = True):
        self._source, self._at, self._weighs_groups = source, 0, weighs_groups
        self._names: set[str] = set()
        self._n_nameless = 0
        self._depth = self._n_items = 0

    def rules(self) -> Rules:
        rules: Rules = {}
        self._skip(lines=True)
        while self._at < len(self._source):
            name = self._name()
            self._skip(lines=False)
            self._expect("::=")
            self._skip(lines=True)
            rules[name] = self._alternatives(nested=False)
            if self._at < len(self._source) and self._peek() not in "\r\n":
                raise self._error("a newline or the end")
            self._skip(lines=True)
        for name in sorted(self._names - rules.keys()):
            raise GrammarError(f"found the name {name!r:.80}, which no rule defines")
        return rules

    def _alternatives(self, nested: bool) -> Node:
        found = [self._sequence(nested)]
        while self._peek() == "|":
            self._at += 1
            self._skip(lines=True)
            found.append(self._sequence(nested))
        return Alt(tuple(found))

    def _sequence(self, nested: bool) -> Node:
        """Items up to where none begins. A repetition applies to the last item, as often as it is written."""
        items: list[Node] = []
        n_rules = 1  # that the last item is made of, in llama.cpp
        while self._at < len(self._source):
            character = self._peek()
            if STARTS_ITEM.match(character):
                before = len(self._names) + self._n_nameless
                items.append(self._item(character, nested))
                is_group = character == "(" and self._weighs_groups
                n_rules = max(1, len(self._names) + self._n_nameless - before) if is_group else 1
            elif character in "*+?{":
                least, most = self._counts(character, nested)
                if not items or items[-1] is EMPTY:
                    raise self._error(f"an item before {character!r}")
                items[-1], n_rules = self._repeat(items[-1], least, most, n_rules)
            else:
                break
        return items[0] if len(items) == 1 else Seq(tuple(i for i in items if i is not EMPTY)) if items else EMPTY

    def _repeat(self, item: Node, least: int, most: int | None, n_rules: int) -> tuple[Node, int]:
        total = most if most else least if least > 0 else 1
        if n_rules * total > MAX_REPETITIONS:
            raise GrammarError(
                f"found a repetition of {total} times {n_rules} rules at {self._where()}, "
                f"expected at most {MAX_REPETITIONS} altogether"
            )
        if most is not None and most < least:
            raise GrammarError(f"found a repetition {{{least},{most}}} at {self._where()}, expected a rising one")
        self._n_nameless += 1 if most is None else most - least
        return (EMPTY if most == 0 else _repeat(item, least, most)), n_rules * total

    def _item(self, character: str, nested: bool) -> Node:
        self._n_items += 1
        if self._n_items > MAX_ITEMS:
            raise GrammarError(f"found more than {MAX_ITEMS} literals, classes, names and groups")
        if character == "(":
            node = self._group()
        elif character == '"':
            node = self._literal()
        elif character == "[":
            node = self._class()
        elif character == ".":
            self._at += 1
            node = Chars(ranges([(0, MAX_CHAR)]))
        elif character in "<!":
            node = self._token()
        else:
            node = Ref(self._name())
        self._skip(lines=nested)
        return node

    def _group(self) -> Node:
        self._at += 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise GrammarError(f"found groups nested deeper than {MAX_DEPTH} at {self._where()}")
        self._skip(lines=True)
        self._n_nameless += 1
        node = self._alternatives(nested=True)
        self._expect(")")
        self._depth -= 1
        return node

    def _literal(self) -> Node:
        self._at += 1
        text = []
        while self._peek() != '"':
            text.append(self._character())
        self._at += 1
        if max(text, default=0) > MAX_CHAR:
            return Chars(())
        return text_node("".join(map(chr, text)))

    def _class(self) -> Node:
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        pairs = []
        while self._peek() != "]":
            low = high = self._character()
            if self._peek() == "-" and self._source[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                high = self._character()
            pairs.append((low, high))
        self._at += 1
        return Chars(ranges(pairs, negated)) if pairs else EMPTY

    def _character(self) -> int:
        """The code point at the position, escapes read."""
        character = self._peek()
        if character == "":
            raise self._error("more: a literal or class has no end")
        self._at += 1
        if character != "\\":
            return ord(character)
        letter = self._peek()
        self._at += 1
        if letter in ESCAPES:
            return ord(ESCAPES[letter])
        digits = self._source[self._at : self._at + HEX.get(letter, 0)]
        if letter not in HEX or not re.fullmatch(rf"[0-9a-fA-F]{{{HEX[letter]}}}", digits):
            self._at -= 2
            raise self._error('an escape: \\t \\r \\n \\\\ \\" \\[ \\] \\- \\xXX \\uXXXX \\UXXXXXXXX')
        self._at += len(digits)
        return int(digits, 16)

    def _token(self) -> Node:
        negated = self._peek() == "!"
        self._at += negated
        if match := TOKEN_ID.match(self._source, self._at):
            self._at = match.end()
            return TokenNode(int(match[1][:10]), None, negated)
        end = self._source.find(">", self._at)
        if self._peek() != "<" or self._source.startswith("<[", self._at) or end < 0:
            raise self._error("a token: <text> or <[id]>")
        text = self._source[self._at : end + 1]
        self._at = end + 1
        return TokenNode(None, text, negated)

    def _counts(self, character: str, nested: bool) -> tuple[int, int | None]:
        """The least and the most of a repetition sign, the position moved behind it."""
        self._at += 1
        self._skip(lines=nested)
        if character != "{":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[character]
        least = most = self._integer(nested)
        if least > MAX_REPETITIONS:
            raise GrammarError(f"found {least} repetitions at {self._where()}, expected at most {MAX_REPETITIONS}")
        if self._peek() == ",":
            self._at += 1
            self._skip(lines=nested)
            most = self._integer(nested) if self._peek().isdigit() else None
        self._expect("}")
        self._skip(lines=nested)
        return least, None if most is not None and most > MAX_REPETITIONS else most

    def _integer(self, nested: bool) -> int:
        match = INTEGER.match(self._source, self._at)
        if match is None or len(match[0]) > 18:
            raise self._error("an integer")
        self._at = match.end()
        self._skip(lines=nested)
        return int(match[0])

    def _name(self) -> str:
        match = NAME.match(self._source, self._at)
        if match is None:
            raise self._error("a name of letters, digits and dashes")
        self._at = match.end()
        self._names.add(match[0])
        return match[0]

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _skip(self, lines: bool) -> None:
        match = (SPACE_AND_LINES if lines else SPACE).match(self._source, self._at)
        self._at = match.end()

    def _expect(self, text: str) -> None:
        if not self._source.startswith(text, self._at):
            raise self._error(repr(text))
        self._at += len(text)

    def _error(self, expected: str) -> GrammarError:
        found = self._source[self._at : self._at + 20]
        what = repr(found) if found else "the end"
        return GrammarError(f"found {what} at {self._where()}, expected {expected}")

    def _where(self) -> str:
        line = self._source.count("\n", 0, self._at)
        return f"line {line + 1}, column {self._at - self._source.rfind(chr(10), 0, self._at)}"


def _repeat(item: Node, least: int, most: int | None) -> Node:
    """A repetition; one of a repetition becomes a single one where that is simple, so that a++++ stays flat."""
    if (least, most) == (1, 1):
        return item
    if isinstance(item, Repeat) and {item.least, least} <= {0, 1} and {item.most, most} <= {1, None}:
        if item.least == 0 and most is None:
            raise GrammarError("found an item repeated without end that may be empty, such as a?*")
        return Repeat(item.item, item.least * least, None if None in (item.most, most) else 1)
    return Repeat(item, least, most)
