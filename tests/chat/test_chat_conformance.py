"""Prompts against those that llama.cpp and Hugging Face make (conformance/chat_templates.py stored them)."""

import hashlib
import json
from datetime import datetime
from functools import cache
from pathlib import Path

import pytest

from llamabox.chat import ChatTemplate, PromptTemplate, TemplateError, named_templates, resolve_template
from llamabox.chat.prompt import Variant

CONFORMANCE = Path(__file__).parents[2] / "conformance"
STORED = json.loads((CONFORMANCE / "results" / "chat_templates.json").read_text())
PUBLISHED = sorted(path.stem for path in (CONFORMANCE / "templates").glob("*.jinja"))
OURS_ALONE = {"falcon", "llava", "llava-mistral"}  # names that llama.cpp does not have

ALL = sorted(set(STORED["conversations"]) - {"answered"})
DIFFERENT = json.loads((CONFORMANCE / "chat_template_differences.json").read_text())  # on purpose, each with its reason


def different(peer: str, name: str) -> set[str]:
    """The conversations whose prompt is not to be the peer's."""
    names = DIFFERENT[peer].get(name, {"conversations": []})["conversations"]
    return set(ALL if names == "all" else names)


@cache
def source(name: str) -> str:
    return (CONFORMANCE / "templates" / f"{name}.jinja").read_text()


@cache
def template(name: str) -> ChatTemplate:
    return ChatTemplate(source(name), STORED["bos"], STORED["eos"])


def attempt(render) -> str | None:
    """The prompt, None when the template refuses."""
    try:
        return render()
    except TemplateError:
        return None


def agrees(prompt: str | None, answer: dict) -> bool:
    if prompt is None or "error" in answer:
        return (prompt is None) == ("error" in answer)
    if "prompt" in answer:
        return prompt == answer["prompt"]
    return hashlib.sha256(prompt.encode()).hexdigest() == answer["sha256"]


def test_every_name_was_compared():
    assert {answer["template"] for answer in STORED["named"]} == set(named_templates()) - OURS_ALONE
    assert {answer["template"] for answer in STORED["published"]} == set(PUBLISHED)


@pytest.mark.parametrize("name", sorted(set(named_templates()) - OURS_ALONE))
def test_named_templates_as_llama_cpp(name):
    ours = resolve_template(name, {})
    answers = [answer for answer in STORED["named"] if answer["template"] == name]
    assert len(answers) >= 20
    for answer in answers:
        messages = STORED["conversations"][answer["conversation"]]["messages"]
        assert ours.render(messages, add_generation_prompt=answer["add"]) == answer["prompt"], answer["conversation"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_templates_as_hugging_face(name):
    now = datetime.fromisoformat(STORED["provenance"]["now"])
    answers = [answer for answer in STORED["published"] if answer["template"] == name]
    assert len(answers) >= 30
    found, rendered = set(), 0
    for answer in answers:
        chat = STORED["conversations"][answer["conversation"]]
        options = {"tools": chat["tools"], "add_generation_prompt": answer["add"], "extra": answer["extra"], "now": now}
        prompt = attempt(lambda c=chat, o=options: template(name).render(c["messages"], **o))
        if not agrees(prompt, answer):
            found.add(answer["conversation"])
        rendered += prompt is not None
    assert found == different("hugging face", name)
    assert rendered > 0 or name == "fireworks-ai-llama-3-firefunction-v2"


@pytest.mark.parametrize("name", PUBLISHED)
def test_prompts_as_llama_server(name):
    ours = PromptTemplate(Variant(template(name)), add_bos=True)
    (answers,) = (entry["prompts"] for entry in STORED["server"] if entry["template"] == name)
    found = set()
    for answer in answers:
        chat = STORED["conversations"][answer["conversation"]]
        day = datetime.fromisoformat(STORED["provenance"]["date"])
        prompt = attempt(lambda c=chat, d=day: ours.render(c["messages"], tools=c["tools"], now=d))
        if not agrees(prompt, answer):
            found.add(answer["conversation"])
    assert found == different("server", name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_capabilities_as_llama_server(name):
    (theirs,) = (entry["caps"] for entry in STORED["server"] if entry["template"] == name)
    ours = vars(Variant(template(name)).capabilities)
    common = {key for key in ours if f"supports_{key}" in theirs}
    assert len(common) == 7
    expected = DIFFERENT["capabilities"].get(name, {"names": []})["names"]
    assert sorted(k for k in common if ours[k] != theirs[f"supports_{k}"]) == expected
