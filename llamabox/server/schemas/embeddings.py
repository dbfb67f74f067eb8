"""The fields of embedding and rerank requests."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from llamabox.server.schemas.bounds import INT32, Text

MAX_TEXTS = 2048
Texts = Annotated[list[Text | dict[str, Any]], Meta(min_length=1, max_length=MAX_TEXTS)]


class NativeEmbeddingBody(msgspec.Struct, kw_only=True):
    """POST /embedding, /embeddings: input or content is a prompt or a list of prompts (see resources/embeddings.py)."""

    input: Text | list[Any] | dict[str, Any] | None = None
    content: Text | list[Any] | dict[str, Any] | None = None
    embd_normalize: Annotated[int, Meta(ge=-1, le=INT32)] | None = None


class EmbeddingsBody(NativeEmbeddingBody, kw_only=True):
    """POST /v1/embeddings"""

    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=INT32)] | None = None
    user: str | None = None


class RerankBody(msgspec.Struct, kw_only=True):
    """POST /v1/rerank: Jina's fields; texts, raw_scores and return_text are those of Text Embeddings Inference."""

    query: Text | dict[str, Any]
    documents: Texts | None = None
    texts: Texts | None = None
    model: str | None = None
    top_n: Annotated[int, Meta(ge=1, le=INT32)] | None = None
    normalize: bool | None = None
    return_documents: bool | None = None
    raw_scores: bool | None = None
    return_text: bool | None = None
