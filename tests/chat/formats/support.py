"""What the tests of formats share: preparing a chat with a published template, reading an answer in pieces."""

import json
import random
import re
from collections.abc import Iterable
from pathlib import Path

import llguidance

from llamabox.chat import (
    ChatRequest,
    ChatTemplate,
    ContentDelta,
    PreparedChat,
    PromptTemplate,
    ReasoningDelta,
    ToolCallStart,
    prepare_chat,
)
from llamabox.chat.prompt import Variant

TEMPLATES = Path(__file__).parents[3] / "conformance" / "templates"
MADE_ID = re.compile(r"call_[A-Za-z0-9]{24}|[A-Za-z0-9]{9}")
USER = ({"role": "user", "content": "hi"},)


def tool(name: str, required: list[str] | None = None, **properties) -> dict:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    return {"type": "function", "function": {"name": name, "description": f"does {name}", "parameters": schema}}


TOOLS = (
    tool("get_weather", city={"type": "string"}),
    tool(
        "add",
        ["a", "b"],
        a={"type": "number"},
        b={"type": "number"},
        how={"type": "array", "items": {"type": "string"}},
    ),
    tool("now"),
)


def template_of(source: str) -> PromptTemplate:
    return PromptTemplate(Variant(ChatTemplate(source, "<s>", "</s>")))


def published(name: str) -> PromptTemplate:
    return template_of((TEMPLATES / f"{name}.jinja").read_text())


def prepare(template: PromptTemplate | str, tools=TOOLS, messages=USER, **options) -> PreparedChat:
    template = published(template) if isinstance(template, str) else template
    return prepare_chat(template, ChatRequest(messages=messages, tools=tools, **options))


def read(chat: PreparedChat, text: str, cuts: Iterable[int] = ()) -> dict:
    """The message that the deltas make, the text being cut at these places."""
    parser, deltas, start = chat.parser(), [], 0
    for end in (*cuts, len(text)):
        deltas += parser.push(text[start:end])
        start = end
    message: dict = {"content": "", "reasoning_content": "", "tool_calls": []}
    for delta in (*deltas, *parser.finish()):
        if isinstance(delta, ContentDelta):
            message["content"] += delta.text
        elif isinstance(delta, ReasoningDelta):
            message["reasoning_content"] += delta.text
        elif isinstance(delta, ToolCallStart):
            assert delta.index == len(message["tool_calls"]) and delta.id
            message["tool_calls"].append({"name": delta.name, "arguments": "", "id": delta.id})
        else:
            assert delta.index == len(message["tool_calls"]) - 1 and delta.text
            message["tool_calls"][-1]["arguments"] += delta.text
    return message


def without_made_ids(message: dict) -> dict:
    """Ids that a format made are different each time."""
    calls = [{**c, "id": "" if MADE_ID.fullmatch(c["id"]) else c["id"]} for c in message["tool_calls"]]
    return {**message, "tool_calls": calls}


def parse(chat: PreparedChat, text: str) -> dict:
    """The message of a text, which has to be the same with every cut, with many cuts and cut into characters."""
    whole = without_made_ids(read(chat, text))
    generator = random.Random(len(text))
    cuts: list[Iterable[int]] = [(i,) for i in range(1, len(text))]
    cuts += [sorted(generator.sample(range(len(text)), min(len(text), 5))) for _ in range(20)]
    for cut in [*cuts, range(len(text))]:
        assert without_made_ids(read(chat, text, cut)) == whole, (text, list(cut))
    return whole


def calls_of(message: dict) -> list[tuple[str, dict]]:
    return [(call["name"], json.loads(call["arguments"])) for call in message["tool_calls"]]


def accepts(chat: PreparedChat, text: str) -> bool:
    """Whether a text is a sentence of the grammar, from the trigger on for a lazy one."""
    grammar = chat.grammar
    assert grammar is not None and grammar.kind == "lark"
    if grammar.triggers:
        found = [match.start() for t in grammar.triggers if (match := re.search(t.pattern, text))]
        if not found:
            return False
        text = text[min(found) :]
    return is_sentence(grammar.source, text)


def is_sentence(lark: str, text: str) -> bool:
    matcher = llguidance.LLMatcher(llguidance.LLTokenizer("byte"), llguidance.LLMatcher.grammar_from_lark(lark))
    assert not matcher.get_error(), matcher.get_error()
    return matcher.try_consume_tokens(list(text.encode())) == len(text.encode()) and matcher.is_accepting()
