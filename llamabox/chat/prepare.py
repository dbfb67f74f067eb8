"""A chat request -> the prompt, the grammar and the parser of its answer."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from os.path import commonprefix

from llamabox.chat.errors import TemplateError
from llamabox.chat.formats import CONTENT_ONLY, GENERIC, Format
from llamabox.chat.formats.generic import with_instruction
from llamabox.chat.formats.lark import Lark, choice, sequence
from llamabox.chat.formats.parser import ChatParser, Output
from llamabox.chat.formats.reader import Reader, Reading
from llamabox.chat.formats.thinking import Thinking
from llamabox.chat.formats.tools import Tools, tools_of
from llamabox.chat.messages import CONTINUED_PARTS, REASONING, join_parts, normalise_tools
from llamabox.chat.prompt import PromptTemplate, Variant
from llamabox.chat.request import ChatRequest, NamedTool, PreparedChat, ThinkingTags
from llamabox.engine.constrain import Grammar, Trigger


def prepare_chat(template: PromptTemplate, request: ChatRequest, now: datetime | None = None) -> PreparedChat:
    """The prompt of a conversation and how its answer is read. Raises TemplateError."""
    return _Preparation(template, request, datetime.now() if now is None else now).prepared()


class _Preparation:
    """One request on its way through the template."""

    def __init__(self, template: PromptTemplate, request: ChatRequest, now: datetime):
        self._template, self._request, self._now = template, request, now
        self._variant = template.variant(bool(request.tools))
        self._tools = _callable(request)
        self._format = _format_of(self._variant, bool(request.tools))
        self._tags = self._variant.tags
        self._parallel = self._is_parallel()

    def prepared(self) -> PreparedChat:
        prompt, beginning = self._prompt()
        thinking = self._thinking(beginning)
        format, tools, tags, wanted = self._format, self._tools, self._tags, self._request.reasoning_format

        def read(reader: Reader, out: Output) -> Reading:
            if tools and tags is None and format is not GENERIC and not beginning:
                yield from reader.spaces(None)
            yield from thinking.read(reader, out)
            yield from format.read(reader, out, tools)

        return PreparedChat(
            prompt=prompt,
            grammar=self._grammar(thinking),
            stops=format.stops,
            preserved=(*format.preserved, *(() if tags is None else (tags.opening, tags.closing))),
            thinking=None if tags is None else ThinkingTags(tags.opening, tags.closing, bool(thinking.opened)),
            format_name=format.name,
            parser=lambda: ChatParser(read, Output(format.new_id, wanted != "none", wanted == "deepseek-legacy")),
        )

    def _is_parallel(self) -> bool:
        if isinstance(self._request.tool_choice, NamedTool):
            return False
        wanted = self._request.parallel_tool_calls
        can = self._format is GENERIC or self._variant.capabilities.parallel_tool_calls
        return can if wanted is None else wanted

    # --- the prompt -------------------------------------------------------------------------------

    def _prompt(self) -> tuple[str, str]:
        """The prompt, and that end of it with which the answer begins."""
        request = self._request
        if request.continue_final_message:
            last, before = _last_message(request), self._render(request.messages[:-1], False)
            begun = _difference(before, self._render(request.messages[:-1], True))
            beginning = self._format.beginning(begun, self._tags, *_parts(last, request.continue_final_message))
            return before + beginning, beginning
        prompt = self._render(request.messages, request.add_generation_prompt)
        if not request.add_generation_prompt or self._tags is None:
            return prompt, ""
        return prompt, _difference(self._render(request.messages, False), prompt)

    def _render(self, messages: Sequence[Mapping], add_generation_prompt: bool) -> str:
        tools: Sequence[Mapping] = self._request.tools
        if self._format is GENERIC:
            messages, tools = with_instruction(messages, tools, self._parallel), ()
        return self._template.render(
            messages,
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            extra=_variables(self._request),
            now=self._now,
        )

    def _thinking(self, beginning: str) -> Thinking:
        tags = self._tags
        before, opening, opened = ("", "", "") if tags is None else beginning.rpartition(tags.opening)
        closed = tags is not None and opening != "" and tags.closing in opened
        return Thinking(
            tags=tags,
            opened=opening + opened if opening and not closed else "",
            closed=closed,
            early=self._format.early,
            loose_start=self._format.loose_start,
            loose_end=self._format.loose_end,
            exact=self._format.exact,
        )

    # --- the grammar ------------------------------------------------------------------------------

    def _grammar(self, thinking: Thinking) -> Grammar | None:
        request, format, lark = self._request, self._format, Lark()
        response = request.response_grammar
        if not self._tools:
            if response is None or response.kind != "json_schema" or self._tags is None:
                return response
            return self._whole(lark, thinking, format.answer(lark, lark.schema(json.loads(response.source))))
        if response is not None and response.kind != "json_schema":
            raise TemplateError("a grammar and tools are both given, expected one of them")
        calls = format.calls(lark, self._tools, self._parallel)
        if request.tool_choice != "auto":
            return self._whole(lark, thinking, calls)
        if response is not None:
            answer = format.answer(lark, lark.schema(json.loads(response.source)))
            return self._whole(lark, thinking, choice([calls, answer]))
        if not format.lazy:
            return self._whole(lark, thinking, choice([calls, format.reply(lark)]))
        return Grammar("lark", lark.source(calls), tuple(map(Trigger, format.triggers(self._tools))))

    def _whole(self, lark: Lark, thinking: Thinking, answer: str) -> Grammar:
        """An answer that is constrained from its beginning, but for the thoughts before it."""
        return Grammar("lark", lark.source(sequence(self._format.thoughts(lark, thinking), answer)))


def _format_of(variant: Variant, has_tools: bool) -> Format:
    format = variant.format
    if has_tools and (format is None or not (format.describes_tools or variant.capabilities.tools)):
        return GENERIC
    return CONTENT_ONLY if format is None else format


def _callable(request: ChatRequest) -> Tools:
    """The tools that the answer may call."""
    tools = tools_of(normalise_tools(request.tools))
    if isinstance(request.tool_choice, NamedTool):
        name = request.tool_choice.name
        if name not in tools.by_name:
            known = ", ".join(tools.by_name) or "no tools"
            raise TemplateError(f"tool_choice: found {name!r:.80}, expected a tool of the request ({known:.400})")
        return tools.only(name)
    if request.tool_choice == "required" and not tools:
        raise TemplateError("tool_choice: found 'required', expected 'auto' or 'none' without tools")
    return Tools() if request.tool_choice == "none" else tools


def _variables(request: ChatRequest) -> dict[str, object]:
    """The template's further variables."""
    variables = dict(request.template_kwargs)
    enabled = variables.setdefault("enable_thinking", True)
    if not isinstance(enabled, bool):
        raise TemplateError(f"chat_template_kwargs.enable_thinking: found {enabled!r:.40}, expected a boolean")
    if request.enable_thinking is not None:
        variables["enable_thinking"] = request.enable_thinking
    if request.reasoning_effort == "none":
        variables["enable_thinking"] = False
        variables.pop("reasoning_effort", None)
    elif request.reasoning_effort is not None:
        variables["reasoning_effort"] = request.reasoning_effort
    return variables


def _last_message(request: ChatRequest) -> Mapping:
    """The assistant's message that is to be continued."""
    last = request.messages[-1] if request.messages else None
    if not isinstance(last, Mapping) or last.get("role") != "assistant":
        raise TemplateError("continue_final_message: expected the last message to be the assistant's")
    if last.get("tool_calls"):
        raise TemplateError("continue_final_message: the last message has tool calls, expected a text")
    return last


def _parts(message: Mapping, which: bool | str) -> tuple[str | None, str]:
    """The content of a message that is continued, None if it is still thinking, and its thoughts."""
    content, thoughts = message.get("content") or "", next((message[k] for k in REASONING if message.get(k)), "")
    if not isinstance(thoughts, str):
        raise TemplateError(f"messages: reasoning_content is a {type(thoughts).__name__}, expected text")
    if isinstance(content, list):
        content = join_parts(content, "messages[-1]", CONTINUED_PARTS)
    if not isinstance(content, str):
        raise TemplateError(f"messages: content is a {type(content).__name__}, expected text")
    still = which == "reasoning_content" or (which is True and bool(thoughts) and not content)
    return (None if still else content), thoughts


def _difference(shorter: str, longer: str) -> str:
    """What comes after the longest common beginning."""
    return longer[len(commonprefix([shorter, longer])) :]
