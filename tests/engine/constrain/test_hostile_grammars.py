"""Grammars and schemas made to hurt: an answer or an error soon, never a crash, and nothing large in memory."""

import json
import time

import pytest

from llamabox.engine import Grammar
from llamabox.engine.constrain import GrammarError
from llamabox.engine.constrain.accepting import check_grammar

CHAIN = "\n".join(f"r{i} ::= r{i + 1}" for i in range(5000)) + '\nr5000 ::= "a"\nroot ::= r0'
CIRCLE = "\n".join(f'r{i} ::= "x" r{i + 1} "y"' for i in range(2500)) + '\nr2500 ::= "a" root | "b"\nroot ::= r0'
DOUBLING = "\n".join(f"r{i} ::= r{i + 1} r{i + 1}" for i in range(60)) + '\nr60 ::= "a"\nroot ::= r0 root | "b"'
REFUSED = {
    "deep groups": "root ::= " + "(" * 5000 + '"a"' + ")" * 5000,
    "deep rules": CHAIN,
    "a deep circle": CIRCLE,
    "many literals": "root ::= " + '"a" ' * 60_000,
    "many alternatives": "root ::= " + " | ".join(f'"{i}" root' for i in range(14_000)),
    "a long source": "root ::= " + '"' + "a" * 300_000 + '"',
    "a falling repetition": 'root ::= "a"{2,1}',
    "left recursion": 'root ::= root "a" | "b"',
}
TYPES: dict = {}
for _ in range(16):
    TYPES = {"type": ["object", "array"], "properties": {"a": TYPES}}
SCHEMAS = {
    "deep": json.loads('{"items":' * 80 + "{}" + "}" * 80),
    "doubling types": TYPES,
    "many keys": {"properties": {f"p{i}": {"type": "string"} for i in range(3000)}},
    "many other keys": {"properties": {f"p{i}": {} for i in range(1000)}, "additionalProperties": True},
    "many values": {"enum": [f"value {i}" for i in range(8000)]},
    "long keys": {"properties": {f"{i}" * 50: {} for i in range(300)}, "additionalProperties": True},
    "nested counts": {"pattern": "^(((((a{1000}){1000}){1000}){1000}){1000})$"},
    "an exponential pattern": {"pattern": "^(a|b)*a(a|b){30}(a|b)*a(a|b){30}$"},
    "nested stars": {"pattern": "^" + "(a*)*" * 50 + "$"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_grammar_that_asks_for_too_much_is_refused(name):
    started = time.monotonic()
    with pytest.raises(GrammarError):
        check_grammar(Grammar("gbnf", REFUSED[name]))
    assert time.monotonic() - started < 5  # the machine may be busy


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_built_or_refused_soon(name):
    started = time.monotonic()
    try:
        check_grammar(Grammar("json_schema", json.dumps(SCHEMAS[name])))
    except GrammarError as error:
        assert name not in ("nested counts", "an exponential pattern", "nested stars"), error
    assert time.monotonic() - started < 10


def test_rules_that_double_are_no_trouble():
    check_grammar(Grammar("gbnf", DOUBLING))
