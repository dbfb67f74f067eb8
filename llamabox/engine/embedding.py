"""Embedding: the vectors of one request's texts, made by the engine and waited for by any other thread."""

import threading
from collections.abc import Callable

import numpy as np

from llamabox.engine.request import EmbeddingRequest
from llamabox.models import AdapterSet


class Embedding:
    """The answer to one EmbeddingRequest. `wait` for it in any thread; cancel it from any.

    adapters  what its texts run with
    """

    def __init__(self, request: EmbeddingRequest, on_cancel: Callable[[], None], adapters: AdapterSet = ()):
        self.request, self.adapters = request, adapters
        self.cancelled = False
        self._on_cancel = on_cancel
        self._vectors: list[np.ndarray | None] = [None] * len(request.texts)
        self._n_missing = len(request.texts)
        self._error: Exception | None = None
        self._over = threading.Event()

    @property
    def over(self) -> bool:
        """True when nothing more is to come."""
        return self._over.is_set()

    def put(self, index: int, vector: np.ndarray) -> None:
        """The engine's side: what became of one text."""
        self._vectors[index] = vector
        self._n_missing -= 1
        if self._n_missing == 0:
            self._over.set()

    def fail(self, error: Exception) -> None:
        """The engine's side: nothing will come of it."""
        self._error = error
        self._over.set()

    def wait(self, timeout_s: float | None = None) -> list[np.ndarray] | None:
        """What pooling made of each text (models/pooling.py); None when that takes longer than timeout_s.

        Errors:  GenerationError when it broke off; EngineBusyError when the engine was closed meanwhile
        """
        if not self._over.wait(timeout_s):
            return None
        if self._error is not None:
            raise self._error
        return [vector for vector in self._vectors if vector is not None]

    def cancel(self) -> None:
        """Ask the engine to drop what is not computed yet."""
        if not self.cancelled:
            self.cancelled = True
            self._on_cancel()
