"""Errands: what other threads ask of the thread that steps, to be done between two steps."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from llamabox.engine.request import EngineBusyError


class Errands:
    """Any thread adds; the one that steps runs them, each as soon as it may."""

    def __init__(self) -> None:
        self._open: deque[tuple[Callable[[], bool], Callable[[], Any], Future]] = deque()

    def add(self, may_run: Callable[[], bool], work: Callable[[], Any]) -> Future:
        """The result of work(), run once may_run() is true. Cancelling the Future takes it back."""
        future: Future = Future()
        self._open.append((may_run, work, future))
        return future

    def run(self) -> bool:
        """Run those that may; False: none did."""
        ran = False
        for _ in range(len(self._open)):
            may_run, work, future = errand = self._open.popleft()
            if future.cancelled():
                continue
            if not may_run():
                self._open.append(errand)
            elif future.set_running_or_notify_cancel():
                ran = True
                try:
                    future.set_result(work())
                except BaseException as error:
                    future.set_exception(error)
        return ran

    def refuse(self) -> None:
        """The engine is closing: what still waits fails."""
        while self._open:
            future = self._open.popleft()[2]
            if future.set_running_or_notify_cancel():
                future.set_exception(EngineBusyError("the engine is closing"))
