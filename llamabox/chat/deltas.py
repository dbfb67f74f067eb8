"""What a model's answer is made of, piece by piece. A stream of these is what a client sees."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ContentDelta:
    text: str


@dataclass(frozen=True)
class ReasoningDelta:
    text: str


@dataclass(frozen=True)
class ToolCallStart:
    """A call begins; its arguments follow. Calls are numbered from 0 within an answer."""

    index: int
    id: str
    name: str


@dataclass(frozen=True)
class ToolArguments:
    """The next piece of a call's arguments, which are JSON text once they are complete."""

    index: int
    text: str


Delta = ContentDelta | ReasoningDelta | ToolCallStart | ToolArguments
