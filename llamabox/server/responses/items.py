"""The items that a response's output is made of, while they grow: reasoning, message, function call."""

from abc import ABC, abstractmethod
from secrets import token_hex
from typing import Any


class Item(ABC):
    """One item. event: the middle of its events' names, as in response.output_text.delta"""

    event, prefix = "", ""

    def __init__(self) -> None:
        self.id = f"{self.prefix}_{token_hex(12)}"
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def grow(self, text: str, logprobs: list | None) -> None:
        self._pieces.append(text)

    def delta_fields(self, logprobs: list | None) -> dict[str, Any]:
        """What a delta event has besides the delta."""
        return {}

    def done_fields(self) -> dict[str, Any]:
        """What the event that ends its text has."""
        return {"text": self.text}

    @abstractmethod
    def part(self, text: str) -> dict[str, Any] | None:
        """Its one content part; None for items that have none."""

    @abstractmethod
    def whole(self, status: str) -> dict[str, Any]:
        """The item as it is now; while it is in progress its content is empty."""


class ReasoningItem(Item):
    event, prefix = "reasoning_text", "rs"

    def part(self, text):
        return {"type": "reasoning_text", "text": text}

    def whole(self, status):
        content = [] if status == "in_progress" else [self.part(self.text)]
        return {"type": "reasoning", "id": self.id, "summary": [], "content": content, "status": status}


class MessageItem(Item):
    event, prefix = "output_text", "msg"

    def __init__(self) -> None:
        super().__init__()
        self._logprobs: list = []

    def grow(self, text, logprobs):
        super().grow(text, logprobs)
        self._logprobs += logprobs or []

    def delta_fields(self, logprobs):
        return {"logprobs": logprobs or []}

    def done_fields(self):
        return {"text": self.text, "logprobs": self._logprobs}

    def part(self, text):
        logprobs = self._logprobs if text != "" else []
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}

    def whole(self, status):
        content = [] if status == "in_progress" else [self.part(self.text)]
        return {"type": "message", "id": self.id, "role": "assistant", "content": content, "status": status}


class FunctionCallItem(Item):
    event, prefix = "function_call_arguments", "fc"

    def __init__(self, call_id: str, name: str) -> None:
        super().__init__()
        self._call_id, self._name = call_id, name

    def done_fields(self):
        return {"name": self._name, "arguments": self.text}

    def part(self, text):
        return None

    def whole(self, status):
        call = {"call_id": self._call_id, "name": self._name, "arguments": self.text}
        return {"type": "function_call", "id": self.id, **call, "status": status}
