"""A schema's `pattern` as a GBNF expression. Knows what llama.cpp's converter knows of regular expressions."""

import re

from llamabox.engine.constrain.nodes import GrammarError

MAX_DEPTH = 90  # groups inside groups
SPECIAL = frozenset("|.()[]{}*+?^$")
ESCAPE = re.compile(r'\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[trn\\"\[\]-])')


class UnsupportedPattern(Exception):
    """A valid regular expression that cannot be written as a grammar."""


def pattern_to_gbnf(pattern: str) -> str:
    """The texts that match, without quotes around them.

    Errors:  UnsupportedPattern; GrammarError for one that is no regular expression
    """
    if len(pattern) < 2 or pattern[0] != "^" or pattern[-1] != "$":
        raise UnsupportedPattern("it does not begin with ^ and end with $")
    return _Reader(pattern[1:-1]).expression()


class _Reader:
    def __init__(self, pattern: str):
        self._pattern, self._at, self._depth = pattern, 0, 0

    def expression(self) -> str:
        found = self._alternatives()
        if self._depth:
            raise self._invalid("a parenthesis is left open")
        return found

    def _alternatives(self) -> str:
        """Up to the end, or behind the parenthesis that closes this group."""
        parts: list[str] = []
        while self._at < len(self._pattern):
            c = self._pattern[self._at]
            if c == ")":
                if self._depth == 0:
                    raise self._invalid("a parenthesis closes nothing")
                self._at, self._depth = self._at + 1, self._depth - 1
                break
            if c in "^$":
                raise UnsupportedPattern("an anchor inside")
            if c in "*+?{":
                if not parts or parts[-1] == "|":
                    raise self._invalid("nothing to repeat")
                parts[-1] = f"({parts[-1]})" + self._counts(c)
            else:
                parts.append(self._item(c))
        return " ".join(parts) or '""'

    def _item(self, c: str) -> str:
        if c == "[":
            return self._class()
        if c == "(":
            return self._group()
        if c not in ".|":
            return f'"{self._literal()}"'
        self._at += 1
        return "|" if c == "|" else r"[^\x0A\x0D]"

    def _group(self) -> str:
        self._at, self._depth = self._at + 1, self._depth + 1
        if self._pattern.startswith("?:", self._at):
            self._at += 2
        elif self._pattern.startswith("?", self._at):
            raise UnsupportedPattern("a group that begins with (?")
        if self._depth > MAX_DEPTH:
            raise UnsupportedPattern("groups nested too deep")
        return f"({self._alternatives()})"

    def _class(self) -> str:
        start, self._at = self._at, self._at + 1
        while self._pattern[self._at : self._at + 1] != "]":
            if self._at >= len(self._pattern):
                raise self._invalid("a character class has no end")
            self._at += len(self._escape()) if self._pattern[self._at] == "\\" else 1
        self._at += 1
        return self._pattern[start : self._at]

    def _counts(self, c: str) -> str:
        if c != "{":
            self._at += 1
            return c
        end = self._pattern.find("}", self._at)
        numbers = (
            re.fullmatch(r"(\d{1,9})|(\d{0,9}),(\d{0,9})", self._pattern[self._at + 1 : end]) if end >= 0 else None
        )
        if numbers is None:
            raise UnsupportedPattern("braces that hold no numbers")
        self._at = end + 1
        return f"{{{numbers[1]}}}" if numbers[1] else f"{{{numbers[2] or 0},{numbers[3]}}}"

    def _literal(self) -> str:
        """Characters that mean themselves; the last one is left out if a repetition follows it."""
        parts: list[str] = []
        while self._at < len(self._pattern):
            start = self._at
            part = self._literal_part()
            if part is None:
                break
            parts.append(part)
            if len(parts) > 1 and self._pattern[self._at : self._at + 1] in tuple("*+?{"):
                parts.pop()
                self._at = start
                break
        if not parts:
            raise UnsupportedPattern(f"the character {self._pattern[self._at]!r}")
        return "".join(parts)

    def _literal_part(self) -> str | None:
        """One character, as GBNF writes it; None when the next one is special."""
        c = self._pattern[self._at]
        if c != "\\":
            self._at += c not in SPECIAL
            return None if c in SPECIAL else '\\"' if c == '"' else c
        following = self._pattern[self._at + 1 : self._at + 2]
        if following == "":
            raise self._invalid("a backslash at its end")
        if following in SPECIAL and following not in "[]":
            self._at += 2
            return following
        escape = self._escape()
        self._at += len(escape)
        return escape

    def _escape(self) -> str:
        match = ESCAPE.match(self._pattern, self._at)
        if match is None:
            raise UnsupportedPattern(f"the escape {self._pattern[self._at : self._at + 2]!r}")
        return match[0]

    def _invalid(self, what: str) -> GrammarError:
        return GrammarError(f"pattern {self._pattern!r:.80}: {what}")
