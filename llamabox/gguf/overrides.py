"""`--override-kv KEY=TYPE:VALUE`: metadata values that win over the file's."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from llamabox.gguf.encode import value_type
from llamabox.gguf.errors import GGUFError, quoted
from llamabox.gguf.types import VALUE_DTYPES, ValueType

FORM = "KEY=TYPE:VALUE with TYPE one of int, float, bool, str"
MAX_BYTES = 127  # of a key and of a str value, as in llama.cpp

INTEGERS = {t for t in ValueType if "INT" in t.name}
FLOATS = {ValueType.FLOAT32, ValueType.FLOAT64}
KINDS = {int: INTEGERS, float: FLOATS, bool: {ValueType.BOOL}, str: {ValueType.STRING}}


@dataclass(frozen=True)
class Override:
    """A metadata key and the value (int, float, bool or str) that replaces the file's."""

    key: str
    value: int | float | bool | str


def parse_override(text: str) -> Override:
    """Parse one KEY=TYPE:VALUE, e.g. "tokenizer.ggml.add_bos_token=bool:false". Errors: GGUFError."""
    key, equals, rest = text.partition("=")
    kind, colon, value = rest.partition(":")
    if not key or not equals or not colon or kind not in ("int", "float", "bool", "str"):
        raise GGUFError(f"override {text!r} is not of the form {FORM}")
    if len(key.encode("utf-8", "surrogateescape")) > MAX_BYTES:
        raise GGUFError(f"override {text!r}: the key is longer than {MAX_BYTES} bytes")
    return Override(key, _parse_value(text, kind, value))


def _parse_value(text, kind, value):
    if kind == "str":
        if len(value.encode("utf-8", "surrogateescape")) > MAX_BYTES:
            raise GGUFError(f"override {text!r}: the value is longer than {MAX_BYTES} bytes")
        return value
    if kind == "bool":
        if value not in ("true", "false"):
            raise GGUFError(f"override {text!r}: the value is {value!r}, expected true or false")
        return value == "true"
    try:
        number = (int if kind == "int" else float)(value)
    except ValueError:
        raise GGUFError(f"override {text!r}: {value!r} is no {kind}") from None
    if kind == "int" and not -(2**63) <= number < 2**63:
        raise GGUFError(f"override {text!r}: {number} does not fit 64 bits")
    return number


def apply_overrides(metadata: dict, value_types: dict, overrides: Iterable[Override | str]) -> None:
    """Change `metadata` and `value_types` in place; keys the file lacks are added.

    A value takes the type of the one it replaces. llama.cpp warns and ignores an override whose type does not fit; here
    that is a GGUFError.
    """
    for override in overrides:
        if isinstance(override, str):
            override = parse_override(override)
        types = value_types.get(override.key, value_type(override.key, override.value))
        metadata[override.key] = _as_type(override, types[0])
        value_types[override.key] = types


def _as_type(override, type):
    """The override's value as a value of `type`: of its range, and of its precision."""
    what, kind = f"override of {quoted(override.key)}", override.value.__class__
    if type not in KINDS[kind]:
        raise GGUFError(f"{what}: the file holds {type.name}, the override is {kind.__name__}")
    if kind is int:
        limits = np.iinfo(VALUE_DTYPES[type])
        if not limits.min <= override.value <= limits.max:
            raise GGUFError(f"{what}: {override.value} does not fit {type.name}")
    return float(np.float32(override.value)) if type == ValueType.FLOAT32 else override.value
