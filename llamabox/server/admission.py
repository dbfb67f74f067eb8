"""Admission: how many generations may be under way or queued, so that some HTTP threads always stay free."""

import threading

from llamabox.server.errors import Unavailable

QUEUE = 64  # generations that may wait for a sequence, with --threads-http -1
SPARE = 8  # threads kept for /health, /props and refusals


class Admission:
    """A counter with a limit. waitress holds one thread for each open response."""

    def __init__(self, n_threads: int, n_parallel: int):
        """n_threads: --threads-http; -1 means n_parallel + QUEUE + SPARE."""
        if n_threads == -1:
            n_threads = n_parallel + QUEUE + SPARE
        self.n_threads = max(2, n_threads)
        self.limit = max(1, self.n_threads - SPARE) if self.n_threads > SPARE else 1
        self._open = 0
        self._closed = False
        self._lock = threading.Lock()

    @property
    def open(self) -> int:
        return self._open

    def enter(self) -> None:
        """Take a place, or refuse with a 503 that says when to come back."""
        with self._lock:
            if self._closed:
                raise Unavailable("the server is shutting down", headers={"Connection": "close"})
            if self._open >= self.limit:
                raise Unavailable(
                    f"{self._open} requests are under way, as many as this server takes", headers={"Retry-After": "1"}
                )
            self._open += 1

    def leave(self) -> None:
        with self._lock:
            self._open -= 1

    def close(self) -> None:
        """Refuse everybody from now on."""
        with self._lock:
            self._closed = True
