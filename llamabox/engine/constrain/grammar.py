"""What a caller may ask about the form of an answer. Frozen data, no behaviour."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Trigger:
    """Where a lazy grammar begins: a regular expression (Python's syntax) searched in the generated text.

    Control tokens count with their text. A match may reach back `lazy.REACH` characters; "^" is the answer's beginning.
    """

    pattern: str


@dataclass(frozen=True)
class Grammar:
    """What an answer has to be.

    kind      "gbnf": llama.cpp's grammar language; "json_schema": source is a JSON schema as JSON text;
              "lark": llguidance's dialect of Lark
    triggers  none: the whole answer is a sentence of the grammar. Otherwise the text is free until one of them matches,
              and from the beginning of that match on it is a sentence of the grammar
    """

    kind: Literal["gbnf", "json_schema", "lark"]
    source: str
    triggers: tuple[Trigger, ...] = ()


@dataclass(frozen=True)
class ThinkingBudget:
    """After n_tokens inside a thinking part, end it.

    start, end  the texts around a thinking part; each one that begins gets a budget of its own
    open        the prompt has begun one already
    message     comes before `end` when it is forced
    """

    start: str
    end: str
    n_tokens: int
    open: bool
    message: str = ""
