"""How the embedding and rerank endpoints are served, and one request of theirs on its way through the engine."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import falcon
import numpy as np

from llamabox.chat.rerank import RerankPrompts
from llamabox.engine import EmbeddingRequest
from llamabox.models import LoadedModel
from llamabox.server.errors import ClientGone, NotSupported
from llamabox.server.running import POLL_S

if TYPE_CHECKING:
    from llamabox.server.context import ServerContext


@dataclass(frozen=True)
class EmbeddingSettings:
    """What the command line says: --embeddings, --rerank, --pooling (None: the model's own), --embd-normalize."""

    embeddings: bool = False
    rerank: bool = False
    pooling: str | None = None
    normalize: int = 2

    @property
    def opens_rerank(self) -> bool:
        """llama-server's way to ask for it is --embeddings --pooling rank."""
        return self.rerank or (self.embeddings and self.pooling == "rank")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The embedding side of a served model.

    pooling    of the embedding endpoints
    classifier True when the model can rank
    prompts    None: the file has no vocabulary
    """

    settings: EmbeddingSettings = EmbeddingSettings()
    pooling: str = "none"
    classifier: bool = False
    prompts: RerankPrompts | None = None

    def require_embeddings(self) -> None:
        """NotSupported unless --embeddings or --rerank was given."""
        if not self.settings.embeddings and not self.settings.rerank:
            raise NotSupported("this server does not support embeddings: start it with --embeddings")

    def require_rerank(self) -> RerankPrompts:
        """NotSupported unless --rerank was given and the model is a reranker."""
        if not self.settings.opens_rerank:
            raise NotSupported("this server does not support reranking: start it with --rerank")
        if not self.classifier or self.prompts is None:
            raise NotSupported("this model is no reranker: its file has no classifier head")
        return self.prompts


def embedding_pooling(model: LoadedModel, asked: str | None) -> str:
    """--pooling, or the file's own. A file that names none, or only how to rank: the last token of a text model, the
    mean of an encoder, the row that a classifier sees."""
    if asked is not None:
        return asked
    if model.pooling == "rank":
        return model.rank_pooling
    if model.pooling != "none":
        return model.pooling
    return "last" if model.causal else "mean"


def run_embedding(
    context: "ServerContext", req: falcon.Request, texts: list[list[int]], pooling: str, name: str
) -> list[np.ndarray]:
    """What pooling makes of each text; name: the field they came in.

    Errors:  RequestError, EngineBusyError, GenerationError, Unavailable; ClientGone
    """
    engine = context.served().engine
    gone = req.env.get("waitress.client_disconnected", lambda: False)
    request = EmbeddingRequest(tuple(map(tuple, texts)), pooling, name, req.context.id)
    context.admission.enter()
    try:
        embedding = engine.embed(request)
        try:
            while (vectors := embedding.wait(POLL_S)) is None:
                if gone():
                    raise ClientGone("the client hung up")
            return vectors
        finally:
            embedding.cancel()
    finally:
        context.admission.leave()
