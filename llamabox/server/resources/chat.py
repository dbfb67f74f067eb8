"""POST /v1/chat/completions."""

from typing import Any

import falcon

from llamabox.chat import TemplateError, build_prompt
from llamabox.server.bodies import read_body
from llamabox.server.context import ServerContext
from llamabox.server.errors import BadRequest, NotSupported
from llamabox.server.formats import ChatFormat
from llamabox.server.requests import generation_requests
from llamabox.server.resources.replies import reply_openai
from llamabox.server.resources.tokens import the_tokenizer
from llamabox.server.schemas import ChatBody

ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class ChatCompletions:
    """Messages in, a message out."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        model, tokenizer = self._context.served_text(), the_tokenizer(self._context)
        body = read_body(req, ChatBody)
        prompt = chat_prompt(body, model.template, tokenizer)
        requests = generation_requests(body, prompt, self._context.defaults, tokenizer, req.context.id)
        reply_openai(resp, body, ChatFormat, model.alias, self._context.run(requests, req), req.context.id)


def chat_prompt(body: ChatBody, template: Any, tokenizer: Any) -> list[int]:
    """Token ids of the rendered conversation.

    Errors:  BadRequest for messages that are not right or that the template refuses; NotSupported for images
    """
    for i, message in enumerate(body.messages):
        check_message(message, f"messages[{i}]")
    try:
        text = build_prompt(
            template,
            body.messages,
            tools=chosen_tools(body),
            add_generation_prompt=body.add_generation_prompt is not False,
            extra=body.chat_template_kwargs,
        )
    except TemplateError as error:
        raise BadRequest(f"messages: {error}", "messages") from None
    ids = tokenizer.encode(text, add_special=True, parse_special=True)
    if len(ids) == 0:
        raise BadRequest("messages: found no text, expected at least one token", "messages")
    return ids


def chosen_tools(body: ChatBody) -> list[dict] | None:
    """The tools that the template shows the model; a forced choice needs grammars, which come later."""
    for i, tool in enumerate(body.tools or []):
        if not isinstance(tool.get("function"), dict) or not isinstance(tool["function"].get("name"), str):
            raise BadRequest(f"tools[{i}]: expected {{type: function, function: {{name, ...}}}}", f"tools[{i}]")
    if body.tool_choice in (None, "auto"):
        return body.tools if body.tools else None
    if body.tool_choice == "none":
        return None
    raise NotSupported("tool_choice: found another value than auto or none, which this version supports", "tool_choice")


def check_message(message: dict[str, Any], where: str) -> None:
    role = message.get("role")
    if role not in ROLES:
        raise BadRequest(f"{where}.role: found {role!r:.60}, expected one of {', '.join(ROLES)}", f"{where}.role")
    content = message.get("content")
    if content is None and message.get("tool_calls") is None and message.get("function_call") is None:
        raise BadRequest(f"{where}.content: found nothing, expected a text or a list of parts", f"{where}.content")
    if isinstance(content, list):
        for i, part in enumerate(content):
            check_part(part, f"{where}.content[{i}]")
    elif content is not None and not isinstance(content, str):
        raise BadRequest(
            f"{where}.content: found {type(content).__name__}, expected a text or a list of parts", f"{where}.content"
        )


def check_part(part: Any, where: str) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("image_url", "input_audio", "file"):
        raise NotSupported(f"{where}.type: found {kind!r}; this model takes text only (no --mmproj)", where)
    if kind not in ("text", "refusal") or not isinstance(part.get(kind), str):
        raise BadRequest(f"{where}: found {type(part).__name__} of type {kind!r:.60}, expected a text part", where)
