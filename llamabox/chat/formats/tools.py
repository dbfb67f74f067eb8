"""The tools of a request, as the formats use them: names, parameters, the types of each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from llamabox.chat.formats.json_text import to_json

MAX_COUNT = 1000  # characters; a grammar's cost grows with it
DEFINITIONS = ("$defs", "definitions")
STRING = "string"
TYPES_OF_VALUES = {
    bool: frozenset({"boolean"}),
    int: frozenset({"integer", "number"}),
    float: frozenset({"number"}),
    str: frozenset({STRING}),
    list: frozenset({"array"}),
    dict: frozenset({"object"}),
    type(None): frozenset({"null"}),
}


@dataclass(frozen=True)
class Tool:
    name: str
    schema: Mapping  # of its parameters

    @property
    def properties(self) -> Mapping:
        properties = self.schema.get("properties")
        return properties if isinstance(properties, Mapping) else {}

    @property
    def required(self) -> tuple[str, ...]:
        required = self.schema.get("required")
        return tuple(name for name in self.properties if isinstance(required, list) and name in required)

    def types(self, parameter: str) -> frozenset[str]:
        """The JSON types that a parameter may have; empty when its schema does not tell."""
        return _types(self.properties.get(parameter), self.schema, 0)

    def parameter_schema(self, parameter: str) -> dict:
        """A parameter's schema, able to stand alone."""
        schema = self.properties[parameter]
        if not isinstance(schema, Mapping):
            return {}
        return {**{key: self.schema[key] for key in DEFINITIONS if key in self.schema}, **schema}

    def texts(self, parameter: str) -> list[str] | None:
        """The texts that a parameter may be, None when it may be any."""
        schema = self.properties[parameter]
        if not isinstance(schema, Mapping):
            return None
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        return [value for value in values if isinstance(value, str)] if isinstance(values, list) and values else None

    def lengths(self, parameter: str) -> tuple[int, int | None]:
        """How many characters a text parameter may have: at least and, unless None, at most."""
        least, most = (self.properties[parameter].get(key) for key in ("minLength", "maxLength"))
        least = least if _is_count(least) else 0
        return least, max(most, least) if _is_count(most) else None

    def value(self, parameter: str, text: str) -> str:
        """The JSON text of a parameter's value that was written without quotes."""
        types = self.types(parameter)
        if types == {STRING}:
            return json.dumps(text, ensure_ascii=False)
        value = to_json(text)
        if value is None or (types and not types & _types_of(json.loads(value))):
            return json.dumps(text, ensure_ascii=False)
        return value


@dataclass(frozen=True)
class Tools:
    """The tools that an answer may call."""

    tools: tuple[Tool, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, Tool]:
        return {tool.name: tool for tool in self.tools}

    @cached_property
    def longest(self) -> int:
        """The length of the longest name."""
        return max(map(len, self.by_name), default=0)

    def __bool__(self) -> bool:
        return bool(self.tools)

    def only(self, name: str) -> "Tools":
        return Tools(tuple(tool for tool in self.tools if tool.name == name))


def tools_of(descriptions: Sequence[Mapping] | None) -> Tools:
    """The tools of normalised descriptions (see `llamabox.chat.messages`)."""
    found = []
    for description in descriptions or ():
        function = description["function"]
        schema = function["parameters"]
        found.append(Tool(function["name"], schema if isinstance(schema, Mapping) and schema else EMPTY))
    return Tools(tuple(found))


EMPTY: Mapping = {"type": "object", "properties": {}}


def _is_count(value: object) -> bool:
    """Whether it is a number of characters that a grammar can count."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _types(schema: object, root: Mapping, depth: int) -> frozenset[str]:
    """The types that a schema allows, as far as it says so; nothing for one that says nothing."""
    if not isinstance(schema, Mapping) or depth > 8:
        return frozenset()
    if isinstance(schema.get("type"), str):
        return frozenset({schema["type"]})
    if isinstance(schema.get("type"), list):
        return frozenset(name for name in schema["type"] if isinstance(name, str))
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        return frozenset().union(*map(_types_of, values))
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            parts = [_types(part, root, depth + 1) for part in schema[key]]
            return frozenset().union(*parts) if all(parts) else frozenset()
    if isinstance(schema.get("allOf"), list) and schema["allOf"]:
        return next(filter(None, (_types(part, root, depth + 1) for part in schema["allOf"])), frozenset())
    return _types(_referred(schema.get("$ref"), root), root, depth + 1)


def _types_of(value: object) -> frozenset[str]:
    if isinstance(value, float) and value.is_integer():
        return frozenset({"integer", "number"})
    return TYPES_OF_VALUES[type(value)]


def _referred(reference: object, root: Mapping) -> object:
    """What "#/$defs/name" points to."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: object = root
    for key in reference[2:].split("/"):
        found = found.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found
