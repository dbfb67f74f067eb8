"""The keywords of JSON schemas whose values are numbers, names or places."""

import math
from typing import Any

from llamabox.engine.constrain.json_rules import FORMATS
from llamabox.engine.constrain.nodes import GrammarError

INT64 = 2**63 - 1


def count(schema: dict[str, Any], key: str, path: str) -> int | None:
    """A number of characters or items; None where there is none."""
    value = schema.get(key)
    if key in schema and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise GrammarError(f"at {path:.200}: found {key} {value!r:.80}, expected an integer from 0")
    return value


def bounds(schema: dict[str, Any], path: str) -> tuple[int | None, int | None]:
    """The least and the most of an integer; a bound that is none is rounded towards the integers it allows."""
    least = most = None
    if "minimum" in schema:
        least = math.ceil(_number(schema, "minimum", path))
    elif "exclusiveMinimum" in schema:
        least = math.floor(_number(schema, "exclusiveMinimum", path)) + 1
    if "maximum" in schema:
        most = math.floor(_number(schema, "maximum", path))
    elif "exclusiveMaximum" in schema:
        most = math.ceil(_number(schema, "exclusiveMaximum", path)) - 1
    least, most = None if least == -INT64 - 1 else least, None if most == INT64 else most
    if least is not None and most is not None and least > most:
        raise GrammarError(f"at {path:.200}: found integers from {least} to {most}, expected a rising range")
    return least, most


def _number(schema: dict[str, Any], key: str, path: str) -> float:
    value = schema[key]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not -INT64 - 1 <= value <= INT64:
        raise GrammarError(f"at {path:.200}: found {key} {value!r:.80}, expected a number of at most 64 bits")
    return value


def string_format(schema: dict[str, Any], path: str) -> str:
    """A format that has a rule; "" for none or another one."""
    name = schema.get("format", "")
    if not isinstance(name, str):
        raise GrammarError(f"at {path:.200}: found format {name!r:.80}, expected a string")
    return name if name in FORMATS else ""


def pointed(schema: Any, ref: str, path: str) -> Any:
    """What a reference "#/..." points to."""
    place = schema
    for part in ref.split("/")[1:]:
        if isinstance(place, dict) and part in place:
            place = place[part]
        elif isinstance(place, list) and part.isascii() and part.isdigit() and int(part) < len(place):
            place = place[int(part)]
        else:
            raise GrammarError(f"at {path:.200}: found the $ref {ref!r:.80}, which leads nowhere at {part!r:.80}")
    return place
