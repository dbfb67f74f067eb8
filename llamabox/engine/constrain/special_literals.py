"""Control tokens inside the literals of a Lark grammar.

A chat format knows its marks as texts ("[TOOL_CALLS]"), and only the vocabulary knows which of them are control tokens.
Those are no text to a grammar, so each one inside a literal of a rule is named as the token it is.
"""

import re
from collections.abc import Mapping

SKIPPED = (
    r"//[^\n]*",  # a comment
    r"/(?![*?+/])(?:[^/\\\n]|\\.)+/",  # a regular expression
    r"(?<![^\n])[ \t]*[A-Z][A-Z0-9_]*(?:\.-?\d+)?\s*:[^\n]*",  # a terminal
)
PARTS = re.compile(rf'{"|".join(SKIPPED)}|(?P<literal>"(?:[^"\\\n]|\\.)*")(?!i\b)')


def with_special_tokens(lark: str, special_texts: Mapping[str, int]) -> str:
    """The grammar with every control token in a rule's literal named by its id. Terminals (NAME: ...) stay as they are.

    special_texts  control tokens by their text
    """
    texts = [text for text in special_texts if text in lark]
    if not texts:
        return lark
    find = re.compile("|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True)))

    def named(match: re.Match[str]) -> str:
        literal = match["literal"]
        if literal is None or find.search(literal) is None:
            return match[0]
        inner, parts, end = literal[1:-1], [], 0
        for found in find.finditer(inner):
            parts += [f'"{inner[end : found.start()]}"', f"<[{special_texts[found[0]]}]>"]
            end = found.end()
        parts.append(f'"{inner[end:]}"')
        return f"({' '.join(part for part in parts if part != chr(34) * 2)})"

    return PARTS.sub(named, lark)
