"""JSON schemas as grammars, with llama.cpp's meaning (common/json-schema.cpp, common/json-schema-to-grammar.cpp).

Keys come in the schema's order, and others only where additionalProperties allows them. Keywords that llama.cpp does
not know are passed over, as there.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from llamabox.engine.constrain.gbnf import MAX_REPETITIONS, parse_expression
from llamabox.engine.constrain.integers import integer_range
from llamabox.engine.constrain.json_rules import FORMATS, json_rules
from llamabox.engine.constrain.left_recursion import check_left_recursion
from llamabox.engine.constrain.nodes import EMPTY, Alt, Except, GrammarError, Node, Ref, Repeat, Rules, Seq, text_node
from llamabox.engine.constrain.patterns import UnsupportedPattern, pattern_to_gbnf
from llamabox.engine.constrain.schema_values import bounds, count, pointed, string_format

MAX_SCHEMAS, MAX_DEPTH, MAX_RESTS = 5000, 60, 16
MAX_BEGINNING = 64
SPACE, COMMA = Ref("space"), Seq((text_node(","), Ref("space")))
Schema = dict[str, Any]


def schema_rules(schema: Schema) -> Rules:
    """The JSON texts that a schema allows, as rules. {} at the top is any object.

    Errors:  GrammarError names the place in the schema
    """
    return _Converter(schema).rules()


class _Converter:
    def __init__(self, schema: Schema):
        self._schema = {"type": "object"} if schema == {} else schema
        self._rules: Rules = dict(json_rules())
        self._n_schemas = self._n_rules = 0
        self._depth = 0

    def rules(self) -> Rules:
        self._rules["root"] = EMPTY  # its own place, should the schema refer to itself
        self._rules["root"] = self._node(self._schema, "#")
        check_left_recursion(self._rules)
        return self._rules

    def _node(self, schema: Any, path: str) -> Node:
        """The rule of one schema inside the whole."""
        self._n_schemas += 1
        if self._n_schemas > MAX_SCHEMAS:
            raise GrammarError(f"found more than {MAX_SCHEMAS} schemas in one")
        if not isinstance(schema, dict):
            raise _error(path, f"found {type(schema).__name__}, expected a schema, an object")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise GrammarError(f"found schemas nested deeper than {MAX_DEPTH}")
        node = self._kind(schema, path)
        self._depth -= 1
        return node

    def _kind(self, schema: Schema, path: str) -> Node:
        """The first of these keywords decides, in this order."""
        if "$ref" in schema:
            return self._reference(schema["$ref"], path)
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return self._alternatives(_schemas(schema, key, path), f"{path}/{key}")
        kind = schema.get("type")
        if isinstance(kind, list):
            if not kind:
                raise _error(path, "found no type, expected at least one")
            return self._alternatives([{**schema, "type": one} for one in kind], f"{path}/type")
        if "const" in schema:
            return text_node(_json(schema["const"]))
        if "enum" in schema:
            return _choice(schema["enum"], path)
        if kind is None:
            kind = _implied_type(schema, path)
        elif not isinstance(kind, str) or kind not in KINDS:
            raise _error(path, f"found the type {kind!r:.80}, expected one of {', '.join(KINDS)}")
        return self._typed(kind, schema, path)

    def _typed(self, kind: str, schema: Schema, path: str) -> Node:
        has_properties = _has_properties(schema)
        if "allOf" in schema and (kind in ("all", "string") or (kind == "object" and not has_properties)):
            return self._all_of(_schemas(schema, "allOf", path), f"{path}/allOf")
        if kind == "object":
            return self._rule(path, self._object(schema, path))
        if kind == "array":
            return self._rule(path, self._array(schema, path))
        if kind == "string":
            return _string(schema, path)
        if kind == "integer":
            least, most = bounds(schema, path)
            return Ref("integer") if least is None and most is None else parse_expression(integer_range(least, most))
        return Ref(kind)

    def _reference(self, ref: Any, path: str) -> Node:
        if not isinstance(ref, str) or (ref != "#" and not ref.startswith("#/")):
            raise _error(path, f'found the $ref {ref!r:.80}, expected a place in this schema, as in "#/$defs/name"')
        if ref == "#":
            return Ref("root")
        name = f"ref {ref}"
        if name not in self._rules:
            self._rules[name] = EMPTY  # its own place, before it refers to itself
            self._rules[name] = self._node(pointed(self._schema, ref, path), ref)
        return Ref(name)

    def _alternatives(self, schemas: Sequence[Any], path: str) -> Node:
        return Alt(tuple(self._node(schema, f"{path}/{i}") for i, schema in enumerate(schemas)))

    def _object(self, schema: Schema, path: str) -> Node:
        required = schema.get("required")
        names = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
        properties = schema.get("properties", {})
        if not isinstance(properties, dict):
            raise _error(path, f"found properties {properties!r:.80}, expected an object of schemas")
        nodes = {name: self._node(value, f"{path}/properties/{name}") for name, value in properties.items()}
        other = schema.get("additionalProperties", "properties" not in schema)
        if not isinstance(other, (bool, dict)):
            raise _error(path, f"found additionalProperties {other!r:.80}, expected true, false or a schema")
        value = (
            self._node({} if other is True else other, f"{path}/additionalProperties") if other is not False else None
        )
        return self._object_of(nodes, names, value)

    def _object_of(self, properties: dict[str, Node], required: set[str], other: Node | None) -> Node:
        """An object of these keys in this order; other: the value of any other key, behind them."""
        if not properties and isinstance(other, Ref) and other.name == "value":
            return Ref("object")
        pairs = {name: _pair(name, value) for name, value in properties.items()}
        needed = [pairs[name] for name in properties if name in required]
        optional = [(pairs[name], False) for name in properties if name not in required]
        if other is not None:
            key = Except(Ref("string"), _taken(properties)) if properties else Ref("string")
            optional.append((Seq((key, text_node(":"), SPACE, other)), True))
        inner = [part for pair in needed for part in (COMMA, pair)][1:]
        if optional:
            some = Alt(tuple(self._optional(optional)))
            inner.append(Repeat(Seq((COMMA, some)) if needed else some, 0, 1))
        return Seq((text_node("{"), SPACE, *inner, *([SPACE] if inner else []), text_node("}")))

    def _optional(self, pairs: list[tuple[Node, bool]]) -> list[Node]:
        """Some of the pairs in their order, at least one: for each, what begins with it.  (pair, whether it repeats)"""
        rest: tuple[Node, ...] = ()  # what may come after, each with its comma
        found = []
        for pair, repeats in reversed(pairs):
            more = Repeat(Seq((COMMA, pair)), 0, None if repeats else 1)
            found.append(Seq((pair, more, *rest) if repeats else (pair, *rest)))
            rest = (more, *rest)
            if len(rest) > MAX_RESTS:  # a rule of their own: so neither sequences nor chains of rules get long
                rest = (self._rule("rest", Seq(rest)),)
        return found[::-1]

    def _all_of(self, schemas: Sequence[Any], path: str) -> Node:
        """The keys of all parts together, every one of them needed unless it comes from an anyOf; or, of enums, the
        values that all of them have."""
        properties: dict[str, Node] = {}
        required: set[str] = set()
        values: dict[str, int] = {}
        for i, part in enumerate(schemas):
            for key in ("oneOf", "anyOf"):
                if isinstance(part, dict) and "$ref" not in part and key in part:
                    members = [(member, False) for member in _schemas(part, key, f"{path}/{i}")]
                    break
            else:
                members = [(part, True)]
            for member, is_needed in members:
                member = self._resolved(member, f"{path}/{i}")
                for value in _enum_of(member):
                    values[value] = values.get(value, 0) + 1
                for name, node in self._properties_of(member, f"{path}/{i}").items():
                    properties[name] = node
                    required |= {name} if is_needed else set()
        common = [text_node(value) for value, n in values.items() if n == len(schemas)]
        return Alt(tuple(common)) if common else self._rule(path, self._object_of(properties, required, None))

    def _resolved(self, schema: Any, path: str) -> Schema:
        """The schema that a chain of $refs ends at."""
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, dict):
                break
            if "$ref" not in schema:
                return schema
            self._reference(schema["$ref"], path)  # checks it
            schema = self._schema if schema["$ref"] == "#" else pointed(self._schema, schema["$ref"], path)
        raise _error(path, f"found {schema!r:.80}, expected a schema, an object")

    def _properties_of(self, schema: Schema, path: str) -> dict[str, Node]:
        """Those of a schema that is an object's and nothing else."""
        is_other = any(key in schema for key in ("oneOf", "anyOf", "const", "enum"))
        kind = schema.get("type") or _implied_type(schema, path)
        properties = schema.get("properties")
        if is_other or kind != "object" or not isinstance(properties, dict):
            return {}
        return {name: self._node(value, f"{path}/properties/{name}") for name, value in properties.items()}

    def _array(self, schema: Schema, path: str) -> Node:
        key = "items" if "items" in schema else "prefixItems"
        items = schema.get(key, {})
        if isinstance(items, list):
            nodes = [self._node(item, f"{path}/{key}/{i}") for i, item in enumerate(items)]
            inner = [part for node in nodes for part in (COMMA, node)][1:]
            return Seq((text_node("["), SPACE, *inner, SPACE, text_node("]")))
        item = self._node(items, f"{path}/{key}")
        least, most = count(schema, "minItems", path) or 0, count(schema, "maxItems", path)
        return Seq((text_node("["), SPACE, _list(item, least, most, path), SPACE, text_node("]")))

    def _rule(self, path: str, node: Node) -> Node:
        """A rule of its own, so that no expression nests as deep as the schema."""
        self._n_rules += 1
        name = f"{path} {self._n_rules}"
        self._rules[name] = node
        return Ref(name)


KINDS = ("object", "array", "string", "integer", "number", "boolean", "null")


def _implied_type(schema: Schema, path: str) -> str:
    """What a schema without a type is about."""
    if _has_properties(schema):
        return "object"
    if "allOf" in schema:
        return "all"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if any(key in schema for key in ("pattern", "minLength", "maxLength")) or string_format(schema, path):
        return "string"
    return "value"


def _has_properties(schema: Schema) -> bool:
    return "properties" in schema or schema.get("additionalProperties", True) is not True


def _schemas(schema: Schema, key: str, path: str) -> list[Any]:
    found = schema[key]
    if not isinstance(found, list) or not found:
        raise _error(path, f"found {key} {found!r:.80}, expected an array of schemas")
    return found


def _enum_of(schema: Schema) -> list[str]:
    values = schema.get("enum")
    return [_json(value) for value in values] if isinstance(values, list) and "const" not in schema else []


def _choice(values: Any, path: str) -> Node:
    if not isinstance(values, list) or not values:
        raise _error(path, f"found enum {values!r:.80}, expected an array of values")
    return Alt(tuple(text_node(_json(value)) for value in values))


def _string(schema: Schema, path: str) -> Node:
    pattern, least, most = schema.get("pattern", ""), count(schema, "minLength", path), count(schema, "maxLength", path)
    if not isinstance(pattern, str):
        raise _error(path, f"found pattern {pattern!r:.80}, expected a string")
    name = string_format(schema, path)
    if pattern:
        try:
            inner = parse_expression(f"({pattern_to_gbnf(pattern)})")
        except UnsupportedPattern:
            return Ref("string")
        return Seq((text_node('"'), inner, text_node('"')))
    if name:
        return Ref(FORMATS[name])
    if least or most is not None:
        return Seq((text_node('"'), _times(Ref("char"), least or 0, most, path), text_node('"')))
    return Ref("string")


def _taken(names: Iterable[str]) -> tuple[str, ...]:
    """The keys beside `names` that no other key may be: these, and, as in llama.cpp, their beginnings but for ""."""
    beginnings = {name[:n] for name in names for n in range(1, min(len(name), MAX_BEGINNING))}
    return tuple(sorted(_json(name) for name in beginnings.union(names)))


def _list(item: Node, least: int, most: int | None, path: str) -> Node:
    """least to most items with commas between them."""
    if most == 0:
        return EMPTY
    more = _times(Seq((COMMA, item)), max(least - 1, 0), None if most is None else most - 1, path)
    items = Seq((item, more))
    return items if least > 0 else Repeat(items, 0, 1)


def _times(item: Node, least: int, most: int | None, path: str) -> Node:
    """least to most times; a bound beyond what grammars can count is none."""
    if least > MAX_REPETITIONS:
        raise _error(path, f"found a least number of {least}, expected at most {MAX_REPETITIONS}")
    if most is not None and most < least:
        raise _error(path, f"found from {least} to {most} of them, expected a rising range")
    most = None if most is not None and most > MAX_REPETITIONS else most
    return EMPTY if most == 0 else Repeat(item, least, most)


def _pair(name: str, value: Node) -> Node:
    return Seq((text_node(_json(name)), SPACE, text_node(":"), SPACE, value))


def _json(value: Any) -> str:
    """A value as JSON is usually written."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _error(path: str, what: str) -> GrammarError:
    return GrammarError(f"at {path:.200}: {what}")
