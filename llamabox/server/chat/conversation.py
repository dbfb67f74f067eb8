"""From a chat request's body to the prompt, the grammar and the parser that its answer needs."""

from dataclasses import dataclass, replace

from llamabox.chat import (
    ChatRequest,
    ContentDelta,
    Delta,
    PreparedChat,
    PromptTemplate,
    ReasoningDelta,
    SchemaError,
    TemplateError,
    prepare_chat,
)
from llamabox.chat.messages import CONTINUED_PARTS, join_parts
from llamabox.engine import GenerationRequest, Grammar, ThinkingBudget
from llamabox.server.chat.fields import ChatDefaults, Thinking, continuation, refuse_foreign, thinking
from llamabox.server.chat.format import ChatChoice
from llamabox.server.chat.messages import check_messages
from llamabox.server.chat.tool_choice import chosen_tools
from llamabox.server.errors import BadRequest, NotSupported
from llamabox.server.schemas import ChatBody

UNLIMITED = 2**62  # tokens of a thinking part


@dataclass(frozen=True)
class Conversation:
    """A chat request made ready.

    constraints    what constrains the answer
    parsed         what its parsers come from
    begun          what the last message began, when it is continued
    streams_begun  whether a stream repeats that
    """

    prompt: str
    constraints: PreparedChat
    parsed: PreparedChat
    thinking: Thinking
    begun: tuple[Delta, ...]
    streams_begun: bool

    def choice(self, index: int, logprobs: bool, sampled: bool) -> ChatChoice:
        """What one answer is written to.  logprobs, sampled: see ChatChoice"""
        return ChatChoice(index, self.parsed.parser(), self.begun, self.streams_begun, logprobs, sampled)

    def constrain(self, request: GenerationRequest) -> GenerationRequest:
        """The engine's request with all that the format needs: its grammar, stops, markers and thinking budget."""
        needed, wanted, budget = self.constraints, self.thinking, None
        tags, limited = needed.thinking, wanted.budget >= 0
        is_lazy = needed.grammar is not None and bool(needed.grammar.triggers)  # no call begins within thoughts
        if tags is not None and (limited or is_lazy):
            n_tokens = wanted.budget if limited else UNLIMITED
            budget = ThinkingBudget(tags.start, tags.end, n_tokens, tags.open, wanted.budget_message)
        return replace(
            request,
            grammar=needed.grammar,
            stop=request.stop + needed.stops,
            preserved=needed.preserved,
            reasoning_budget=budget,
        )


def prepare(
    body: ChatBody, template: PromptTemplate, defaults: ChatDefaults, grammar: Grammar | None = None
) -> Conversation:
    """The conversation of a request.  grammar: what the text of the answer has to be

    Errors:  BadRequest for what is not right or the template refuses; NotSupported for what is not here
    """
    refuse_foreign(body)
    check_messages(body.messages)
    request = chat_request(body, defaults, grammar)
    try:
        prepared = constraints = parsed = prepare_chat(template, request)
        if not defaults.parse:  # all of the text is content, and what the tools would need of it is left out
            bare = replace(request, tools=(), tool_choice="none", reasoning_format="none")
            constraints = parsed = prepare_chat(template, bare)
        elif body.parse_tool_calls is False:
            parsed = prepare_chat(template, replace(request, tools=(), tool_choice="none"))
    except SchemaError as error:  # the schema of the answer itself was looked at before
        raise BadRequest(f"tools: {error}", "tools") from None
    except TemplateError as error:
        raise BadRequest(f"messages: {error}", "messages") from None
    return Conversation(
        prompt=prepared.prompt,
        constraints=constraints,
        parsed=parsed,
        thinking=thinking(body, defaults),
        begun=begun(request),
        streams_begun=not body.continue_final_message if body.echo is None else body.echo,
    )


def begun(request: ChatRequest) -> tuple[Delta, ...]:
    """The parts of the message that is continued."""
    if not request.continue_final_message:
        return ()
    message = request.messages[-1]
    content, thoughts = message.get("content"), message.get("reasoning_content")
    text = join_parts(content, "messages", CONTINUED_PARTS) if isinstance(content, list) else content
    deltas: list[Delta] = [ReasoningDelta(thoughts)] if thoughts and request.reasoning_format != "none" else []
    if text and request.continue_final_message != "reasoning_content":
        deltas.append(ContentDelta(text))
    return tuple(deltas)


def chat_request(body: ChatBody, defaults: ChatDefaults, grammar: Grammar | None) -> ChatRequest:
    """The request as the formats read it."""
    tools, choice = chosen_tools(body)
    if tools and choice != "none" and body.grammar is not None:
        raise BadRequest("grammar: found it with tools, whose calls have a grammar of their own", "grammar")
    if choice not in ("auto", "none") and not defaults.parse:
        raise NotSupported("tool_choice: a call cannot be required under --skip-chat-parsing", "tool_choice")
    continued, add_generation_prompt = continuation(body, defaults.prefill)
    wanted = thinking(body, defaults)
    return ChatRequest(
        messages=body.messages,
        tools=tuple(tools),
        tool_choice=choice,
        parallel_tool_calls=body.parallel_tool_calls,
        add_generation_prompt=add_generation_prompt,
        continue_final_message=continued,
        template_kwargs=wanted.kwargs,
        response_grammar=grammar,
        reasoning_format=wanted.format,
        enable_thinking=wanted.enabled,
        reasoning_effort=wanted.effort,
    )
