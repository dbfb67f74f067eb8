"""A server on a fake engine: words instead of a model, so that HTTP alone is under test."""

import codecs
import queue
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from llamabox.chat import ChatTemplate, PromptTemplate
from llamabox.chat.prompt import Variant
from llamabox.chat.rerank import RerankPrompts
from llamabox.engine import (
    ContextLengthError,
    Embedding,
    FinishEvent,
    GenerationError,
    GenerationRequest,
    SamplingParams,
    TextEvent,
    Timings,
)
from llamabox.server.admission import Admission
from llamabox.server.chat.fields import ChatDefaults
from llamabox.server.context import Served, ServerContext
from llamabox.server.embedding import Embeddings, EmbeddingSettings
from llamabox.server.requests import Defaults

N_CTX = 200
NO_CHAT_FLAGS = ChatDefaults()
TIMINGS = Timings(n_cached=0, n_prompt=1, prompt_ms=5.0, n_predicted=3, predicted_ms=6.0)


TEMPLATE = """{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}\
{% if tools %}[{{ tools | length }} tools]{% endif %}{% if add_generation_prompt %}<assistant>{% endif %}"""


class BytesTokenizer:
    """Each byte is a token."""

    n_vocab, bos, eos, sep = 256, 1, 2, 3
    add_bos, add_eos, add_sep = True, True, False
    fim: dict[str, int] = {}

    def encode(self, text, add_special=True, parse_special=False):
        return list(text.encode())

    def decode(self, ids, special=False):
        return bytes(ids).decode(errors="replace")

    def piece(self, id, special=True):
        return bytes([id])

    def stream(self, special=False, shown=frozenset()):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return SimpleNamespace(push=lambda id: decoder.decode(bytes([id])), flush=lambda: decoder.decode(b"", True))


class FakeGeneration:
    def __init__(self, request: GenerationRequest):
        self.request = request
        self.cancelled = threading.Event()
        self.events: queue.Queue = queue.Queue()

    def next_event(self, timeout_s=None):
        try:
            event = self.events.get(timeout=timeout_s) if timeout_s != 0 else self.events.get_nowait()
        except queue.Empty:
            return None
        if isinstance(event, Exception):
            raise event
        return event

    def cancel(self):
        self.cancelled.set()


@dataclass
class FakeStatus:
    running: int = 0


@dataclass
class FakeEngine:
    """Answers "Hello wörld #seed", or `answer` letter by letter.

    A prompt with "silence" gets no event; with "break", an error after one word.
    """

    generations: list = field(default_factory=list)
    answer: str | None = None
    n_ctx: int = N_CTX

    def submit(self, request):
        if len(request.prompt) >= self.n_ctx:
            raise ContextLengthError(len(request.prompt), self.n_ctx)
        generation = FakeGeneration(request)
        self.generations.append(generation)
        prompt = bytes(t for t in request.prompt if t < 256)
        if b"silence" in prompt:
            return generation
        if self.answer is not None:
            for letter in self.answer:
                generation.events.put(TextEvent(letter, (3,)))
            generation.events.put(FinishEvent("eos", "", len(prompt), len(self.answer), False, TIMINGS))
            return generation
        generation.events.put(TextEvent("Hello", (1, 2)))
        if b"break" in prompt:
            generation.events.put(GenerationError("logits are NaN, first in l_out-3"))
            return generation
        generation.events.put(TextEvent(f" wörld #{request.sampling.seed}", (3,)))
        timings = Timings(n_cached=1, n_prompt=len(prompt) - 1, prompt_ms=5.0, n_predicted=3, predicted_ms=6.0)
        reason = "limit" if request.n_predict == 3 else "eos"
        generation.events.put(FinishEvent(reason, "", len(prompt), 3, False, timings))
        return generation

    def embed(self, request):
        """A text's vector: its length, its first byte, 0, -1; with pooling none, one for each token; "break" fails."""
        embedding = Embedding(request, lambda: None)
        for i, text in enumerate(request.texts):
            if b"break" in bytes(t for t in text if t < 256):
                embedding.fail(GenerationError("embeddings are NaN"))
                return embedding
            rows = [[len(text), token, 0, -1] for token in text]
            embedding.put(i, np.array(rows if request.pooling == "none" else rows[0], np.float32))
        return embedding

    def status(self):
        return FakeStatus()


def make_context(engine, n_threads=-1, ready=True, template=TEMPLATE, chat=NO_CHAT_FLAGS):
    context = ServerContext(Admission(n_threads, 2), Defaults(SamplingParams(seed=7), chat=chat))
    if ready:
        compiled = PromptTemplate(Variant(ChatTemplate(template)))
        tokenizer, meta = BytesTokenizer(), {"n_vocab": 256, "n_embd": 4}
        embeddings = Embeddings(EmbeddingSettings(True, True), "last", True, RerankPrompts(tokenizer, {}))
        context.model = Served("tiny", "/tiny.gguf", engine, tokenizer, compiled, N_CTX, 2, meta, embeddings=embeddings)
    return context
