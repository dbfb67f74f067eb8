"""Embedder: computes the texts of EmbeddingRequests, many in one ragged batch. For the thread that steps the engine.

Requests take turns, a text each, so a small one never waits for a large one. A text's vector does not depend on what is
in the batch beside it. Nothing stays in the KV memory: rows of a text attend to each other, and a causal model's text
that is longer than a step runs in chunks through a cache of its own, which is gone with it.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from llamabox.engine.embedding import Embedding
from llamabox.engine.options import EngineOptions
from llamabox.engine.request import EngineBusyError, GenerationError
from llamabox.kernels import BLOCK, Rows, make_step
from llamabox.models.pooling import pool_batch, wanted_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Piece:
    """One text of a request."""

    embedding: Embedding
    index: int

    @property
    def tokens(self) -> np.ndarray:
        return np.array(self.embedding.request.texts[self.index], np.int32)

    @property
    def n_rows(self) -> int:
        return len(self.embedding.request.texts[self.index])


class Embedder:
    """Runs the embedding requests of one model.  on_end: called once for each request that is over."""

    def __init__(self, model, options: EngineOptions, on_end: Callable[[], None]):
        self._model, self._options, self._on_end = model, options, on_end
        self._max_rows = min(options.n_batch, options.n_ubatch)
        self._queue: deque[tuple[Embedding, deque[int]]] = deque()  # with the indices of the texts to compute
        self._long: LongText | None = None

    def add(self, embedding: Embedding) -> None:
        """One more request."""
        self._queue.append((embedding, deque(range(len(embedding.request.texts)))))

    def drop(self, aborting: bool) -> None:
        """Forget what was cancelled; all there is, if aborting."""
        for embedding in self._open():
            if aborting or embedding.cancelled:
                self._fail(embedding, EngineBusyError("the engine is closing" if aborting else "cancelled"))

    def fail_all(self, error: Exception) -> None:
        """End every request with an error."""
        for embedding in self._open():
            self._fail(embedding, _as_generation_error(error))

    def step(self, max_rows: int | None = None) -> int:
        """Compute one batch of at most max_rows rows, or one text; returns its rows. 0: nothing to do."""
        most = self._max_rows if max_rows is None else min(max_rows, self._max_rows)
        if self._long is None:
            pieces = self._pack(most)
            if len(pieces) == 0:
                return 0
            if len(pieces) > 1 or pieces[0].n_rows <= self._max_rows or not self._model.causal:
                self._compute(pieces)
                return sum(piece.n_rows for piece in pieces)
            self._long = LongText(self._model, self._options, pieces[0])
        return self._compute_chunk(self._long, most)

    def _open(self) -> list[Embedding]:
        """The requests that are not over."""
        embeddings = [embedding for embedding, _ in self._queue]
        if self._long is not None:
            embeddings.append(self._long.piece.embedding)
        return [embedding for embedding in dict.fromkeys(embeddings) if not embedding.over]

    def _pack(self, most: int) -> list[Piece]:
        """The texts of the next batch, of one pooling: a text of each request in turn, while there is room."""
        pieces: list[Piece] = []
        n_rows = 0
        while self._queue:
            embedding, indices = self._queue[0]
            if embedding.over:
                self._queue.popleft()
                continue
            piece = Piece(embedding, indices[0])
            other = len(pieces) > 0 and embedding.request.pooling != pieces[0].embedding.request.pooling
            if other or (len(pieces) > 0 and n_rows + piece.n_rows > most):
                break
            pieces.append(piece)
            n_rows += piece.n_rows
            indices.popleft()
            self._queue.rotate(-1)
            if len(indices) == 0:
                self._queue.pop()
        return pieces

    def _compute(self, pieces: list[Piece]) -> None:
        """One forward pass; if that breaks, one for each text, so that the error meets only whom it belongs to."""
        try:
            vectors = self._vectors(pieces)
        except Exception as error:  # whatever went wrong in there must not end the engine
            if len(pieces) > 1:
                for piece in pieces:
                    self._compute([piece])
                return
            log.exception("embedding failed", extra={"request_id": pieces[0].embedding.request.request_id})
            self._fail(pieces[0].embedding, _as_generation_error(error))
            return
        for piece, vector in zip(pieces, vectors, strict=True):
            self._put(piece, vector)

    def _vectors(self, pieces: list[Piece]) -> Iterable[np.ndarray]:
        kind = pieces[0].embedding.request.pooling
        want = wanted_rows(self._model, kind)
        step = make_step([Rows(0, piece.n_rows, (), want) for piece in pieces], None, self._model.causal)
        adapters = [piece.embedding.adapters for piece in pieces]
        hidden = self._model.hidden(np.concatenate([piece.tokens for piece in pieces]), step, adapters)
        return pool_batch(self._model, hidden, [p.n_rows if want == "all" else 1 for p in pieces], kind)

    def _compute_chunk(self, long: "LongText", most: int) -> int:
        embedding = long.piece.embedding
        try:
            n_rows = 0 if embedding.over else long.advance(most)
        except Exception as error:  # as in _compute
            log.exception("embedding failed", extra={"request_id": embedding.request.request_id})
            self._fail(embedding, _as_generation_error(error))
            n_rows = most
        if embedding.over:
            self._long = None
            return n_rows if n_rows > 0 else self.step(most)
        if long.done:
            self._long = None
            self._put(long.piece, long.vector())
        return n_rows

    def _put(self, piece: Piece, vector: np.ndarray) -> None:
        embedding = piece.embedding
        if embedding.over:  # another of its texts failed
            return
        if not np.isfinite(vector).all():
            error = "the model gives NaN or infinite values: its file or a kernel is damaged"
            self._fail(embedding, GenerationError(f"text {piece.index}: {error}"))
            return
        embedding.put(piece.index, vector)
        if embedding.over:
            self._on_end()

    def _fail(self, embedding: Embedding, error: Exception) -> None:
        if not embedding.over:
            embedding.fail(error)
            self._on_end()


class LongText:
    """A text of a causal model that is longer than a step, on its way through a cache of its own."""

    def __init__(self, model, options: EngineOptions, piece: Piece):
        self.piece = piece
        self._model, self._kind = model, piece.embedding.request.pooling
        self._tokens, self._at = piece.tokens, 0
        self._table = np.arange(-(-len(self._tokens) // BLOCK), dtype=np.int32)
        shapes = model.config.kv_shapes()
        self._cache = model.ops.kv_cache(shapes, len(self._table), options.cache_type_k, options.cache_type_v)
        self._want = wanted_rows(model, self._kind)
        self._rows: list[np.ndarray] = []  # hidden states that are wanted

    @property
    def done(self) -> bool:
        return self._at == len(self._tokens)

    def advance(self, most: int) -> int:
        """Compute the next chunk, of at most that many rows; returns its rows."""
        chunk = self._tokens[self._at : self._at + most]
        last = self._at + len(chunk) == len(self._tokens)
        needed = self._want == "all" or (self._want == "first" and self._at == 0) or (self._want == "last" and last)
        rows = Rows(self._at, len(chunk), self._table, self._want if needed else "last")
        step = make_step([rows], self._cache)
        hidden = self._model.ops.to_numpy(self._model.hidden(chunk, step, [self.piece.embedding.adapters]))
        if needed:
            self._rows.append(hidden)
        self._at += len(chunk)
        return len(chunk)

    def vector(self) -> np.ndarray:
        """What pooling makes of the text."""
        hidden = np.concatenate(self._rows)
        return pool_batch(self._model, self._model.ops.array(hidden), [len(hidden)], self._kind)[0]


def _as_generation_error(error: Exception) -> GenerationError:
    return error if isinstance(error, GenerationError) else GenerationError(f"{type(error).__name__}: {error}")
