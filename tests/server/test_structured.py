"""Structured output from the tiny chat model, over a real socket and with OpenAI's client."""

import json
import time

import openai
import pydantic
import pytest
from tiny_server import tiny_server

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def client():
    with tiny_server() as port:
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="-", timeout=60, max_retries=0) as client:
            yield client


def chat(client, **fields):
    return client.chat.completions.create(model="tiny", messages=MESSAGES, seed=1, **fields).choices[0]


def test_a_grammar_holds_the_answer(client):
    choice = chat(client, extra_body={"grammar": 'root ::= ("yes" | "no") "!"{3}'})
    assert choice.message.content in ("yes!!!", "no!!!") and choice.finish_reason == "stop"


def test_a_streamed_answer_is_the_same_sentence(client):
    stream = client.chat.completions.create(
        model="tiny", messages=MESSAGES, stream=True, extra_body={"grammar": 'root ::= "こんにちは" [0-9]{4}'}
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text.startswith("こんにちは") and text[5:].isdigit() and len(text) == 9


def test_parse_with_pydantic(client):
    class Answer(pydantic.BaseModel):
        kind: bool
        numbers: tuple[int, int]
        other: int | None

    reply = client.chat.completions.parse(model="tiny", messages=MESSAGES, response_format=Answer, max_tokens=200)
    assert isinstance(reply.choices[0].message.parsed, Answer)
    assert list(json.loads(reply.choices[0].message.content)) == ["kind", "numbers", "other"]


def test_json_object(client):
    text = chat(client, response_format={"type": "json_object"}, max_tokens=300, temperature=0).message.content
    assert text.startswith("{")


def test_completions_take_schemas_too(client):
    schema = {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 2}
    reply = client.completions.create(model="tiny", prompt="hi", extra_body={"json_schema": schema})
    assert len(json.loads(reply.choices[0].text)) == 2


HOSTILE = [
    "root ::= " + "(" * 5000 + '"a"' + ")" * 5000,
    "root ::= (((([a-z]{2000}){2000}){2000}){2000}){2000}",
    'root ::= root "a" | "a"',
    "root ::= nothing",
    "root ::= " + '"a" ' * 60_000,
    "\n".join(f"r{i} ::= r{i + 1} r{i + 1}" for i in range(60)) + '\nr60 ::= "a"\nroot ::= r0 root | "b"',
    "root ::= " + " | ".join(f'"{i}" root' for i in range(20_000)),
    "root ::= <no such token>",
    "\0",
]


@pytest.mark.parametrize("grammar", HOSTILE, ids=[g[:30] for g in HOSTILE])
def test_a_hostile_grammar_is_answered_soon_and_disturbs_nobody(client, grammar):
    started = time.monotonic()
    try:
        chat(client, extra_body={"grammar": grammar}, max_tokens=2)
    except openai.BadRequestError as error:
        assert error.param == "grammar"
    assert time.monotonic() - started < 5
    assert chat(client, max_tokens=1).message is not None
