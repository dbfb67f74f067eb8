"""A model's templates and the prompt they make of a conversation."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from llamabox.chat.capabilities import Capabilities, probe
from llamabox.chat.formats import Format, find_format
from llamabox.chat.formats.thinking import Tags, find_tags
from llamabox.chat.messages import normalise_messages, normalise_tools
from llamabox.chat.template import ChatTemplate

log = logging.getLogger(__name__)

CHANNELS = "<|channel|>"  # templates that write channels (gpt-oss) know the role `developer`
PRESERVES = ("preserve_thinking",)  # whether the thoughts of earlier answers stay in the prompt
DROPS = ("clear_thinking", "truncate_history_thinking", "drop_thinking")


@dataclass(frozen=True)
class Variant:
    """One compiled template and what it can render."""

    template: ChatTemplate

    @cached_property
    def capabilities(self) -> Capabilities:
        return probe(self.template, {} if self.format is None else self.format.variables([]))

    @cached_property
    def format(self) -> Format | None:
        """How its models write tool calls; None when that is not known."""
        return find_format(self.template.source)

    @cached_property
    def tags(self) -> Tags | None:
        """The texts around thoughts."""
        known = None if self.format is None else self.format.tags
        return find_tags(self.template) if known is None else known

    def render(self, messages, tools, add_generation_prompt: bool, extra: Mapping[str, object], now: datetime) -> str:
        can = self.capabilities
        messages = normalise_messages(messages, can, knows_developer=CHANNELS in self.template.source)
        tools = normalise_tools(tools)
        if self.format is not None:
            messages = self.format.adjust(messages, None if can.tools else tools)
            extra = {**self.format.variables(tools), **extra}
        if tools is None and can.empty_tools:
            tools = []
        if tools and not can.tools:
            log.warning("the chat template does not describe tools to the model, so it will not know of them")
        return self.template.render(
            messages, tools=tools, add_generation_prompt=add_generation_prompt, extra=extra, now=now
        )


@dataclass(frozen=True)
class PromptTemplate:
    """What a model is served with: its template, its template for tools if it has one, and its tokenizer's habits.

    add_bos, add_eos  whether the tokenizer adds these tokens itself, so that a template's own are left out of the
    prompt
    """

    default: Variant
    tool_use: Variant | None = None
    add_bos: bool = False
    add_eos: bool = False

    @property
    def source(self) -> str:
        """The Jinja text of the default template."""
        return self.default.template.source

    @property
    def capabilities(self) -> Capabilities:
        return self.default.capabilities

    def variant(self, with_tools: bool) -> Variant:
        """The template for requests with or without tools."""
        return self.tool_use if with_tools and self.tool_use is not None else self.default

    def render(
        self,
        messages: Sequence[Mapping],
        *,
        tools: Sequence[Mapping] | None = None,
        add_generation_prompt: bool = True,
        extra: Mapping[str, object] | None = None,
        now: datetime | None = None,
    ) -> str:
        """The prompt of a conversation in the client's form (see `llamabox.chat.messages`), as text.

        Encode it with `add_special=True, parse_special=True`: a BOS that the template wrote is left out when the
        tokenizer adds one itself, so the model sees exactly one. `extra` holds further variables of the template (a
        request's `chat_template_kwargs`; `preserve_reasoning`, true by default, keeps the thoughts of earlier answers
        where the template can); `now` is the time that templates print, the present by default.
        Raises TemplateError.
        """
        now = datetime.now() if now is None else now
        variables = {
            "enable_thinking": True,
            "date_string": now.strftime("%d %b %Y"),
            "datetime": now.strftime("%b %d %Y"),
            **_spread(extra or {}),
        }
        variant = self.variant(bool(tools))
        prompt = variant.render(messages, tools, add_generation_prompt, variables, now)
        bos, eos = variant.template.bos_token, variant.template.eos_token
        if self.add_bos and bos:
            prompt = prompt.removeprefix(bos)
        if self.add_eos and eos:
            prompt = prompt.removesuffix(eos)
        return prompt


def _spread(extra: Mapping[str, object]) -> dict[str, object]:
    """The variables under every name that templates have for them, as in llama.cpp."""
    effort, preserve = extra.get("reasoning_effort"), extra.get("preserve_reasoning", True)
    variables: dict[str, object] = {} if not isinstance(effort, str) else {"reasoning_strength": effort}
    if isinstance(preserve, bool):
        variables |= dict.fromkeys(PRESERVES, preserve) | dict.fromkeys(DROPS, not preserve)
    return variables | dict(extra)


def build_prompt(template: PromptTemplate, messages: Sequence[Mapping], **options) -> str:
    """`template.render(messages, **options)`."""
    return template.render(messages, **options)
