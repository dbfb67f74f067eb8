"""What /v1/responses and /v1/messages share: the chat request behind them, whose chunks they translate."""

from collections.abc import Iterator
from typing import Any

import falcon

from llamabox.engine import FinishEvent
from llamabox.server.bodies import convert_body
from llamabox.server.chat.format import ChatFormat
from llamabox.server.context import ServerContext
from llamabox.server.resources.chat import prompt_of, start_chat
from llamabox.server.running import Running
from llamabox.server.schemas import ChatBody


class TranslatedChat:
    """A running chat. finished: the FinishEvent, once it has come."""

    def __init__(self, alias: str, format: ChatFormat, running: Running):
        self.alias, self.running = alias, running
        self.finished: list[FinishEvent] = []
        self._format = format

    @property
    def n_prompt(self) -> int:
        """Tokens of the prompt."""
        return len(self.running.generations[0].request.prompt)

    def chunks(self) -> Iterator[dict | None]:
        """OpenAI's chat chunks, the usage last; None when nothing happened for a moment."""
        return self._format.chunks(self._watched())

    def _watched(self):
        for item in self.running:
            if item is not None and isinstance(item[1], FinishEvent):
                self.finished.append(item[1])
            yield item


def run_chat(context: ServerContext, req: falcon.Request, fields: dict[str, Any]) -> TranslatedChat:
    """Start the chat request of these fields.

    Errors:  those of start_chat
    """
    format, running = start_chat(context, convert_body(fields, ChatBody), req)
    return TranslatedChat(context.served_text().alias, format, running)


def count_tokens(context: ServerContext, fields: dict[str, Any]) -> int:
    """How many tokens the prompt of the chat request of these fields has."""
    return len(prompt_of(context, convert_body(fields, ChatBody))[1])
