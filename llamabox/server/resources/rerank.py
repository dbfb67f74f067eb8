"""POST /v1/rerank and its other names: how well each document answers a query, best first, in Jina's shape."""

from typing import Any

import falcon

from llamabox.server.bodies import read_body
from llamabox.server.context import ServerContext
from llamabox.server.embedding import run_embedding
from llamabox.server.errors import BadRequest
from llamabox.server.schemas import RerankBody
from llamabox.server.vectors import sigmoid

PATHS = ("/v1/rerank", "/v1/reranking", "/v2/rerank", "/rerank", "/reranking")


class Rerank:
    """A body with `texts` instead of `documents` gets the reply of Text Embeddings Inference: a bare list."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        model = self._context.served()
        prompts = model.embeddings.require_rerank()
        body = read_body(req, RerankBody)
        name = "documents" if body.documents is not None else "texts"
        query, documents = text_of(body.query, "query"), the_documents(body, name)
        texts = prompts.ids(query, documents)
        scores = [float(v[0]) for v in run_embedding(self._context, req, texts, "rank", name)]
        if body.normalize is not False and body.raw_scores is not True:
            scores = [sigmoid(score) for score in scores]
        best = sorted(range(len(scores)), key=lambda i: -scores[i])[: body.top_n]
        if name == "texts":
            resp.media = [{"index": i, "score": scores[i], **tei_text(body, documents[i])} for i in best]
            return
        n_tokens = sum(map(len, texts))
        resp.media = {
            "model": body.model if body.model is not None else model.alias,
            "object": "list",
            "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
            "results": [{"index": i, **jina_document(body, documents[i]), "relevance_score": scores[i]} for i in best],
        }


def the_documents(body: RerankBody, name: str) -> list[str]:
    """The texts of all documents."""
    given = getattr(body, name)
    if given is None:
        raise BadRequest("documents: found nothing, expected a list of texts", "documents")
    return [text_of(document, f"{name}[{i}]") for i, document in enumerate(given)]


def text_of(value: str | dict[str, Any], name: str) -> str:
    """A text, or {"text": a text}; it may not be empty."""
    text = value.get("text") if isinstance(value, dict) else value
    if not isinstance(text, str) or text == "":
        raise BadRequest(f'{name}: found {value!r:.60}, expected a text that is not empty, or {{"text": ...}}', name)
    return text


def jina_document(body: RerankBody, text: str) -> dict[str, Any]:
    """The document in a result, unless return_documents is false."""
    return {} if body.return_documents is False else {"document": {"text": text}}


def tei_text(body: RerankBody, text: str) -> dict[str, Any]:
    """The text in a result, if return_text asks for it."""
    return {"text": text} if body.return_text is True else {}
