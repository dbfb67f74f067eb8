"""Our parser and grammars against llama.cpp's parser, on the texts of conformance/results/chat_formats.json.gz."""

import gzip
import json
from functools import cache
from pathlib import Path

import pytest

from llamabox.chat import PreparedChat
from tests.chat.formats.support import MADE_ID, accepts, parse, prepare, read

CONFORMANCE = Path(__file__).parents[3] / "conformance"
STORED = json.loads(gzip.decompress((CONFORMANCE / "results" / "chat_formats.json.gz").read_bytes()))
DIFFERENCES = json.loads((CONFORMANCE / "chat_format_differences.json").read_text())
LISTED = {case: reason for reason, entry in DIFFERENCES.items() for case in entry["cases"]}
MESSAGES = ({"role": "user", "content": "Weather?"},)
COUNTS = {
    "refused": 121,
    "control characters": 10,
    "half a marker": 28,
    "call without arguments": 30,
    "rest dropped": 16,
    "no calls in llama.cpp": 78,
    "nothing but half a call": 21,
    "end of the prompt": 4,
}
TOTAL = 1974
TEMPLATES = sorted({answer["template"] for answer in STORED["answers"]})


@cache
def prepared(i: int) -> PreparedChat:
    answer = STORED["answers"][i]
    options = {"tools": STORED["tools"], "parallel_tool_calls": True, **answer["options"]}
    return prepare(answer["template"], messages=MESSAGES, **options)


def entries(template: str):
    """(chat, request, name of the text, text, llama.cpp's message or error)"""
    for i, answer in enumerate(STORED["answers"]):
        if answer["template"] == template:
            for entry in answer["messages"]:
                yield prepared(i), answer["request"], entry["name"], entry["text"], entry["message"]


def ours(chat: PreparedChat, text: str, theirs: dict) -> dict:
    """Our message; the ids that we make where llama.cpp has none are left out."""
    message = read(chat, text)
    for call, other in zip(message["tool_calls"], theirs.get("tool_calls", ()), strict=False):
        if not other["id"] and MADE_ID.fullmatch(call["id"]):
            call["id"] = ""
    return message


@pytest.mark.parametrize("template", TEMPLATES)
def test_messages_as_llama_cpp(template):
    count = 0
    for chat, request, name, text, theirs in entries(template):
        case = f"{template}|{request}|{name}"
        equal = ours(chat, text, theirs) == theirs
        assert equal == (case not in LISTED), (case, text, ours(chat, text, theirs), theirs)
        count += 1
    assert count >= 25


@pytest.mark.parametrize("template", TEMPLATES)
def test_messages_are_the_same_however_the_text_is_cut(template):
    for chat, request, _, text, _ in entries(template):
        if request in ("tools", "reasoning none") and len(text) < 200:
            parse(chat, text)


def test_every_difference_is_listed_once_with_its_reason():
    assert {reason: len(entry["cases"]) for reason, entry in DIFFERENCES.items()} == COUNTS
    assert len(LISTED) == sum(COUNTS.values())
    assert all(entry["why"] for entry in DIFFERENCES.values())
    assert sum(len(answer["messages"]) for answer in STORED["answers"]) == TOTAL


def test_what_llama_cpp_refuses_is_read_without_losing_words():
    for template in TEMPLATES:
        for chat, request, name, text, theirs in entries(template):
            if "error" in theirs:
                message = read(chat, text)
                kept = "".join([*message["content"], *message["reasoning_content"], str(message["tool_calls"])])
                assert "Oslo" not in text or "Oslo" in kept, (template, request, name)
                for call in message["tool_calls"][:-1]:
                    json.loads(call["arguments"])


@pytest.mark.parametrize("template", TEMPLATES)
def test_grammars_accept_what_the_family_writes(template):
    """The texts of whole calls, as the templates write them, that llama.cpp reads as calls; and random sentences."""
    checked = 0
    for chat, request, name, text, theirs in entries(template):
        thoughts = chat.thinking is not None and name == "thoughts and a call"
        whole = request == "required" and (name == "a call" or thoughts or name.startswith("sentence"))
        if whole and (theirs.get("tool_calls") or f"{template}|{request}|{name}" in LISTED):
            assert accepts(chat, text), (name, text, chat.grammar.source)
            checked += 1
    assert checked >= 3 or prepared_format(template) == "generic"


@pytest.mark.parametrize("template", TEMPLATES)
def test_lazy_grammars_begin_where_a_call_begins(template):
    for chat, request, name, text, theirs in entries(template):
        if request == "tools" and chat.grammar.triggers and "error" not in theirs:
            if name in ("a call", "several calls", "content and a call") and theirs["tool_calls"]:
                assert accepts(chat, text), (name, text)
            if name in ("content", "thoughts with marks"):
                assert not accepts(chat, text), (name, text)


def prepared_format(template: str) -> str:
    return next(chat.format_name for chat, *_ in entries(template))
