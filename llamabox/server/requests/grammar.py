"""What the answer has to be: grammar, json_schema and response_format -> a Grammar."""

import json
import re
from typing import Any

from llamabox.engine import Grammar, Trigger
from llamabox.engine.constrain import GrammarError
from llamabox.server.errors import BadRequest
from llamabox.server.schemas import SamplingFields

TYPES = ("text", "json_object", "json_schema")
TOKEN, WORD = 0, 1  # llama-server's types of triggers; the others, patterns, could keep the engine busy for ever


def response_grammar(body: SamplingFields, default: Grammar | None = None) -> Grammar | None:
    """The grammar of a request's answer; None: any text will do.  default: of a request that asks for nothing

    Errors:  BadRequest names the field
    """
    triggers = _triggers(body)
    schemas = [(name, schema) for name, schema in (_json_schema(body), _response_format(body)) if schema is not None]
    if len(schemas) > 1 or (schemas and body.grammar):
        name = schemas[-1][0].partition(".")[0]
        raise BadRequest(f"{name}: found it with {'grammar' if body.grammar else schemas[0][0]}, expected one", name)
    if schemas:
        return _schema_grammar(*schemas[0], triggers)
    return Grammar("gbnf", body.grammar, triggers) if body.grammar else default


def _json_schema(body: SamplingFields) -> tuple[str, dict[str, Any] | None]:
    return "json_schema", body.json_schema


def _response_format(body: SamplingFields) -> tuple[str, dict[str, Any] | None]:
    """The schema that response_format asks for."""
    name, wanted = "response_format", body.response_format
    kind = "text" if wanted is None else wanted.get("type")
    if kind not in TYPES:
        raise BadRequest(f"{name}.type: found {kind!r:.60}, expected one of {', '.join(TYPES)}", f"{name}.type")
    if wanted is None or kind == "text":
        return name, None
    if kind == "json_object":
        schema = wanted.get("schema", {})
        return _dict(schema, f"{name}.schema")
    if "json_schema" not in wanted:  # llama-server's short form
        return _dict(wanted.get("schema"), f"{name}.json_schema")
    _, wrapper = _dict(wanted["json_schema"], f"{name}.json_schema")
    for field, types in (("name", str), ("strict", bool), ("description", str)):
        if not isinstance(wrapper.get(field), (types, type(None))):
            at = f"{name}.json_schema.{field}"
            expected = "true or false" if types is bool else "a string"
            raise BadRequest(f"{at}: found {wrapper[field]!r:.60}, expected {expected}", at)
    return _dict(wrapper.get("schema"), f"{name}.json_schema.schema")


def _dict(value: Any, name: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(value, dict):
        raise BadRequest(f"{name}: found {value!r:.60}, expected an object", name)
    return name, value


def _schema_grammar(name: str, schema: dict[str, Any], triggers: tuple[Trigger, ...]) -> Grammar:
    from llamabox.engine.constrain.compiling import check_schema

    try:
        check_schema(schema)
    except GrammarError as error:
        raise BadRequest(f"{name}: {error}", name) from None
    return Grammar("json_schema", json.dumps(schema, ensure_ascii=False), triggers)


def _triggers(body: SamplingFields) -> tuple[Trigger, ...]:
    """Where a lazy grammar begins, as llama-server writes it: [{"type": 1, "value": "a word"}, ...]."""
    if body.grammar_lazy is not True:
        return ()
    triggers = [_trigger(i, item) for i, item in enumerate(body.grammar_triggers or ())]
    if not triggers:
        raise BadRequest("grammar_lazy: found true without grammar_triggers, expected some", "grammar_lazy")
    return tuple(triggers)


def _trigger(i: int, item: dict[str, Any]) -> Trigger:
    kind, word = item.get("type"), item.get("value")
    if isinstance(kind, bool) or kind not in (TOKEN, WORD) or not isinstance(word, str) or word == "":
        raise BadRequest(
            f'grammar_triggers[{i}]: found {item!r:.80}, expected {{"type": {WORD}, "value": a text}}; '
            "a request may bring no patterns",
            f"grammar_triggers[{i}]",
        )
    return Trigger(re.escape(word))
