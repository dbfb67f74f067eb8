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

CALLS = {"called", "called twice", "called as text", "tool result last"}
EVERY = set(STORED["conversations"]) - {"answered"}
FROM_SERVER = {  # conversations whose prompt is deliberately another than llama-server's, and why
    # llama-server's engine fails on this template's description of an array.
    "CohereForAI-c4ai-command-r-plus-tool_use": CALLS | {"tools"},
    # The template writes calls only beside content None, and llama-server sends "": its prompt lacks the calls.
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": CALLS,
    # It needs a variable `functions`: an error in Jinja, as in Hugging Face; nothing to llama-server.
    "fireworks-ai-llama-3-firefunction-v2": EVERY,
    # Without a system role: a lone system message becomes the user's instead of being dropped, and a late one goes into
    # the next user's message (which the template then refuses, after another user's) instead of an unknown role.
    "google-gemma-2-2b-it": {"system only", "system late"},
    # `| safe` makes Jinja escape what is added to it, as in Hugging Face; nothing to llama-server.
    "meetkai-functionary-medium-v3.1": CALLS | {"tools"},
}
CAPABILITIES = {  # the same for capabilities: ours are True, theirs False or the other way round
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": {"tool_calls", "parallel_tool_calls"},
    "fireworks-ai-llama-3-firefunction-v2": {
        "tool_calls",
        "parallel_tool_calls",
        "object_arguments",
        "system_role",
    },
}
LISTS_CHANGED = {
    "Kimi-K2-Instruct": CALLS
}  # Hugging Face's sandbox refuses `append`, ours allows it on a template's lists


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
    rendered = 0
    for answer in answers:
        if answer["conversation"] in LISTS_CHANGED.get(name, ()):
            continue
        chat = STORED["conversations"][answer["conversation"]]
        options = {"tools": chat["tools"], "add_generation_prompt": answer["add"], "extra": answer["extra"], "now": now}
        prompt = attempt(lambda c=chat, o=options: template(name).render(c["messages"], **o))
        assert agrees(prompt, answer), (answer["conversation"], answer["add"], prompt, answer)
        rendered += prompt is not None
    assert rendered > 0 or name == "fireworks-ai-llama-3-firefunction-v2"


@pytest.mark.parametrize("name", PUBLISHED)
def test_prompts_as_llama_server(name):
    ours = PromptTemplate(Variant(template(name)), add_bos=True)
    (answers,) = (entry["prompts"] for entry in STORED["server"] if entry["template"] == name)
    different = set()
    for answer in answers:
        chat = STORED["conversations"][answer["conversation"]]
        day = datetime.fromisoformat(STORED["provenance"]["date"])
        prompt = attempt(lambda c=chat, d=day: ours.render(c["messages"], tools=c["tools"], now=d))
        if not agrees(prompt, answer):
            different.add(answer["conversation"])
    assert different == FROM_SERVER.get(name, set())


@pytest.mark.parametrize("name", PUBLISHED)
def test_capabilities_as_llama_server(name):
    (theirs,) = (entry["caps"] for entry in STORED["server"] if entry["template"] == name)
    ours = vars(Variant(template(name)).capabilities)
    common = {key for key in ours if f"supports_{key}" in theirs}
    assert len(common) == 7
    assert {k for k in common if ours[k] != theirs[f"supports_{k}"]} == CAPABILITIES.get(name, set())
