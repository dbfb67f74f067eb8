"""llamabox.grammar: the public face; what it means is compared with llama.cpp in tests/engine/constrain."""

import pytest

from llamabox.grammar import accepts_gbnf, accepts_json_schema


def test_only_the_whole_text_counts():
    assert accepts_gbnf('root ::= "ab"+', "abab")
    assert not accepts_gbnf('root ::= "ab"+', "aba")
    assert not accepts_gbnf('root ::= "ab"+', "ababx")


def test_text_outside_ascii():
    assert accepts_gbnf("root ::= [ぁ-ゟ]+", "こんにちは")
    assert not accepts_gbnf("root ::= [ぁ-ゟ]+", "カ")
    assert not accepts_gbnf("root ::= .", "\ud800")


def test_schemas_with_llama_cpps_meaning():
    schema = {"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}
    assert accepts_json_schema(schema, '{"a":1,"b":[]}')
    assert not accepts_json_schema(schema, '{"b":[],"a":1}')  # not the schema's order
    assert not accepts_json_schema(schema, '{"a":1,"c":2}')  # a key that is not named
    assert accepts_json_schema({**schema, "additionalProperties": True}, '{"a":1,"c":2}')


def test_the_empty_schema_means_any_object():
    assert accepts_json_schema({}, '{"x": [1, {"y": null}]}')
    assert not accepts_json_schema({}, "[1]")


def test_a_schema_may_refer_to_itself():
    schema = {"properties": {"next": {"$ref": "#"}}}
    assert accepts_json_schema(schema, '{"next":{"next":{}}}')
    assert not accepts_json_schema(schema, '{"next":[]}')


@pytest.mark.parametrize(
    "grammar", ["", "root ::= x", 'start ::= "a"', 'root ::= "a', "root ::= <think>", "root ::= <[5]>"]
)
def test_a_grammar_that_cannot_be_built(grammar):
    with pytest.raises(ValueError):
        accepts_gbnf(grammar, "a")


@pytest.mark.parametrize("schema", [{"type": "x"}, {"$ref": "#/nowhere"}, {"pattern": "^(a$"}, [], None, "{}"])
def test_a_schema_that_cannot_be_built(schema):
    with pytest.raises(ValueError):
        accepts_json_schema(schema, "1")
