"""Generation: one request's events, made by the engine and read by any other thread."""

from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from llamabox.engine.request import FinishEvent, GenerationError, GenerationRequest, PromptEvent, TextEvent

Event = PromptEvent | TextEvent | FinishEvent


class Generation:
    """The answer to one request as it comes. Read it from one thread; cancel it from any."""

    def __init__(self, request: GenerationRequest, on_cancel: Callable[[], None]):
        self.request = request
        self.cancelled = False
        self._on_cancel = on_cancel
        self._events: SimpleQueue[Event | GenerationError] = SimpleQueue()
        self._last: FinishEvent | GenerationError | None = None

    def put(self, event: Event | GenerationError) -> None:
        """The engine's side: the next event; a FinishEvent or an error is the last."""
        self._events.put(event)

    def next_event(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None when none came within timeout_s (None: wait). After the last event: that one again.

        Errors:  GenerationError when the generation broke off
        """
        if self._last is None:
            try:
                event = self._events.get(timeout=timeout_s) if timeout_s != 0 else self._events.get_nowait()
            except Empty:
                return None
            if isinstance(event, PromptEvent | TextEvent):
                return event
            self._last = event
        if isinstance(self._last, GenerationError):
            raise self._last
        return self._last

    def __iter__(self) -> Iterator[Event]:
        """Every event up to and with the FinishEvent."""
        while True:
            event = self.next_event()
            if event is not None:
                yield event
            if isinstance(event, FinishEvent):
                return

    def cancel(self) -> None:
        """Ask the engine to drop this request, at whatever stage it is. The last event's reason is then "cancelled"."""
        if not self.cancelled:
            self.cancelled = True
            self._on_cancel()
