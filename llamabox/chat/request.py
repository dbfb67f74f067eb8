"""What a chat request asks of a model's template, and what the template makes of it. Frozen data, no behaviour."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from llamabox.chat.formats.parser import ChatParser
from llamabox.engine.constrain import Grammar

ReasoningFormat = Literal["none", "auto", "deepseek", "deepseek-legacy"]


@dataclass(frozen=True)
class NamedTool:
    """The choice of one tool, which the model has to call."""

    name: str


@dataclass(frozen=True)
class ChatRequest:
    """A conversation and what may come next.

    messages, tools         in the client's form (see `llamabox.chat.messages`)
    parallel_tool_calls     whether an answer may hold several calls; None: as far as the template can render them
    add_generation_prompt   end the prompt with the beginning of an answer
    continue_final_message  the last message is the beginning of the answer, which the model continues; "content" and
                            "reasoning_content" say which part, True takes the part that comes last
    template_kwargs         further variables of the template
    response_grammar        what the answer's content has to be; not together with tools
    reasoning_format        "none" leaves the model's thoughts in the content, "auto" and "deepseek" separate them,
                            "deepseek-legacy" does so and leaves them in the content too
    enable_thinking         None: the template's habit
    reasoning_effort        "none" switches thinking off; other words are for the template
    """

    messages: Sequence[Mapping]
    tools: Sequence[Mapping] = ()
    tool_choice: Literal["auto", "none", "required"] | NamedTool = "auto"
    parallel_tool_calls: bool | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool | Literal["content", "reasoning_content"] = False
    template_kwargs: Mapping[str, object] = field(default_factory=dict)
    response_grammar: Grammar | None = None
    reasoning_format: ReasoningFormat = "auto"
    enable_thinking: bool | None = None
    reasoning_effort: str | None = None


@dataclass(frozen=True)
class ThinkingTags:
    """The texts around a model's thoughts; open: the prompt ends inside them."""

    start: str
    end: str
    open: bool


@dataclass(frozen=True)
class PreparedChat:
    """A prompt and how to read what the model answers.

    grammar      constrains the answer, None leaves it free
    stops        texts that end the answer
    preserved    texts of control tokens that the parser has to see
    thinking     None: the template knows no thoughts
    parser       makes a parser, one for each answer
    """

    prompt: str
    grammar: Grammar | None
    stops: tuple[str, ...]
    preserved: tuple[str, ...]
    thinking: ThinkingTags | None
    format_name: str
    parser: Callable[[], ChatParser]
