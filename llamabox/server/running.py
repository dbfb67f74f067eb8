"""Running: the generations of one request, their events merged, watched for a client that hangs up."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from llamabox.engine import FinishEvent, Generation, TextEvent
from llamabox.engine.generation import Event
from llamabox.server.admission import Admission
from llamabox.server.errors import ClientGone, Unavailable

if TYPE_CHECKING:
    from llamabox.server.metrics import Metrics

POLL_S = 0.25  # how often a silent client is looked at
log = logging.getLogger(__name__)


class Running:
    """Iterate for (choice, event); None comes at least every POLL_S while nothing happens. close() in any case."""

    def __init__(
        self,
        generations: list[Generation],
        admission: Admission,
        gone: Callable[[], bool],
        metrics: "Metrics | None",
        ping_s: int = -1,
    ):
        """ping_s: how often a stream of these says something where there is nothing to say; -1: never"""
        self.generations, self.ping_s = generations, ping_s
        self._admission, self._gone, self._metrics = admission, gone, metrics
        self._began = time.monotonic()
        self._spoken: set[int] = set()  # choices that have a token
        self._closed = False

    def __iter__(self) -> Iterator[tuple[int, Event] | None]:
        """Ends when every choice has finished.

        Errors:  GenerationError of a choice that broke off; ClientGone; Unavailable on shutdown
        """
        waiting = dict(enumerate(self.generations))
        looked = time.monotonic()
        while waiting:
            silent = True
            for choice, generation in list(waiting.items()):
                event = generation.next_event(POLL_S / len(waiting) if silent else 0)
                if isinstance(event, FinishEvent):
                    del waiting[choice]
                    if event.reason == "cancelled":  # not by us: the engine is being closed
                        raise Unavailable("the server is shutting down")
                    if self._metrics is not None:
                        self._metrics.finished(event)
                elif isinstance(event, TextEvent) and choice not in self._spoken:
                    self._spoken.add(choice)
                    if self._metrics is not None:
                        self._metrics.first_token(time.monotonic() - self._began)
                if event is not None:
                    silent = False
                    yield choice, event
            if silent or time.monotonic() - looked > POLL_S:
                looked = time.monotonic()
                if self._gone():
                    raise ClientGone("the client hung up")
            if silent:
                yield None

    def close(self) -> None:
        """Cancel what still runs and give the place back. Safe to call twice."""
        if not self._closed:
            self._closed = True
            for generation in self.generations:
                generation.cancel()
            self._admission.leave()
