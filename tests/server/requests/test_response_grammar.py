"""grammar, json_schema and response_format over HTTP: what the engine is asked for, and what is refused."""

import json

import pytest

from llamabox.engine import Grammar, Trigger

CHAT, NATIVE, COMPLETIONS = "/v1/chat/completions", "/completion", "/v1/completions"
SCHEMA = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "string"}}}


def post(client, path, **fields):
    prompt = {"messages": [{"role": "user", "content": "hi"}]} if path == CHAT else {"prompt": "hi"}
    return client.simulate_post(path, json={**prompt, **fields})


@pytest.fixture
def asked(client, engine):
    def ask(path, **fields):
        reply = post(client, path, **fields)
        assert reply.status_code == 200, reply.text
        return engine.generations[-1].request.grammar

    return ask


@pytest.mark.parametrize("path", [CHAT, NATIVE, COMPLETIONS])
@pytest.mark.parametrize(
    ("fields", "grammar"),
    [
        ({}, None),
        ({"grammar": ""}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"grammar": 'root ::= "x"'}, Grammar("gbnf", 'root ::= "x"')),
        ({"json_schema": {}}, Grammar("json_schema", "{}")),
        ({"json_schema": SCHEMA}, Grammar("json_schema", json.dumps(SCHEMA))),
        ({"response_format": {"type": "json_object"}}, Grammar("json_schema", "{}")),
        ({"response_format": {"type": "json_object", "schema": SCHEMA}}, Grammar("json_schema", json.dumps(SCHEMA))),
        ({"response_format": {"type": "json_schema", "schema": SCHEMA}}, Grammar("json_schema", json.dumps(SCHEMA))),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "strict": True, "schema": SCHEMA},
                }
            },
            Grammar("json_schema", json.dumps(SCHEMA)),
        ),
    ],
)
def test_what_a_request_asks_for(asked, path, fields, grammar):
    assert asked(path, **fields) == grammar


def test_a_lazy_grammar_has_triggers(asked):
    lazy = {"grammar": 'root ::= "a.b" "x"', "grammar_triggers": [{"type": 1, "value": "a.b"}]}
    assert asked(NATIVE, grammar_lazy=True, **lazy).triggers == (Trigger(r"a\.b"),)
    assert asked(NATIVE, grammar_lazy=False, **lazy).triggers == ()


@pytest.mark.parametrize("path", [CHAT, NATIVE, COMPLETIONS])
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"grammar": 5}, "grammar"),
        ({"json_schema": "{}"}, "json_schema"),
        ({"json_schema": True}, "json_schema"),
        ({"json_schema": {"type": "x"}}, "json_schema"),
        ({"json_schema": {"minLength": -1}}, "json_schema"),
        ({"json_schema": {}, "grammar": 'root ::= "x"'}, "json_schema"),
        ({"json_schema": {}, "response_format": {"type": "json_object"}}, "response_format"),
        ({"grammar": 'root ::= "x"', "response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": 5}}, "response_format.type"),
        ({"response_format": {"type": "json_object", "schema": []}}, "response_format.schema"),
        ({"response_format": {"type": "json_object", "schema": {"enum": []}}}, "response_format.schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"strict": 1, "schema": {}}}},
            "response_format.json_schema.strict",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/x"}}}},
            "response_format.json_schema.schema",
        ),
        ({"grammar": 'root ::= "x"', "grammar_lazy": True}, "grammar_lazy"),
        ({"grammar_lazy": True, "grammar_triggers": [{"type": 2, "value": "(a+)+$"}]}, "grammar_triggers[0]"),
        ({"grammar_lazy": True, "grammar_triggers": [{"type": 1, "value": ""}]}, "grammar_triggers[0]"),
        ({"grammar_lazy": 1}, "grammar_lazy"),
    ],
)
def test_what_is_wrong_is_a_400_that_names_it(client, engine, path, fields, param):
    reply = post(client, path, **fields)
    assert reply.status_code == 400, reply.text
    assert reply.json["error"]["param"] == param and reply.json["error"]["message"].startswith(param)
    assert engine.generations == []


def test_the_servers_own_grammar_is_for_requests_that_name_none(context, asked):
    own = Grammar("gbnf", 'root ::= "own"')
    context.defaults = type(context.defaults)(context.defaults.sampling, grammar=own)
    assert asked(NATIVE) == own and asked(CHAT) == own
    assert asked(NATIVE, grammar='root ::= "x"').source == 'root ::= "x"'
    assert asked(CHAT, response_format={"type": "json_object"}).source == "{}"


def test_a_native_reply_says_what_it_was_held_to(client):
    settings = post(client, NATIVE, grammar='root ::= "x"').json["generation_settings"]
    assert (settings["grammar"], settings["grammar_lazy"]) == ('root ::= "x"', False)
    assert post(client, NATIVE).json["generation_settings"]["grammar"] == ""
