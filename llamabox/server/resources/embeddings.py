"""Texts in, vectors out: /v1/embeddings (OpenAI's shape), /embedding and /embeddings (llama-server's)."""

from typing import Any

import falcon
import numpy as np

from llamabox.server.bodies import read_body
from llamabox.server.context import ServerContext
from llamabox.server.embedding import run_embedding
from llamabox.server.errors import BadRequest
from llamabox.server.schemas import EmbeddingsBody, NativeEmbeddingBody
from llamabox.server.schemas.embeddings import MAX_TEXTS
from llamabox.server.vectors import encoded, normalised, shortened


class EmbeddingsResource:
    """POST /v1/embeddings"""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        model = self._context.served()
        model.embeddings.require_embeddings()
        pooling = model.embeddings.pooling
        if pooling == "none":
            raise BadRequest(
                "--pooling none gives a vector a token, which this endpoint has no form for: use /embedding"
            )
        body = read_body(req, EmbeddingsBody)
        if body.input is None and body.content is not None:
            resp.media = native_reply(self._context, req, body)
            return
        n_embd = model.meta["n_embd"]
        if body.dimensions is not None and body.dimensions > n_embd:
            raise BadRequest(
                f"dimensions: found {body.dimensions}, expected at most {n_embd}, which this model gives", "dimensions"
            )
        texts = input_ids(body.input, model.tokenizer, "input")
        vectors = run_embedding(self._context, req, texts, pooling, "input")
        kind = normalisation(self._context, body)
        data = [encoded(shortened(vector, body.dimensions, kind), body.encoding_format) for vector in vectors]
        n_tokens = sum(map(len, texts))
        resp.media = {
            "object": "list",
            "data": [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(data)],
            "model": body.model if body.model is not None else model.alias,
            "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
        }


class NativeEmbeddings:
    """POST /embedding, /embeddings: a list, with a vector a text, or a vector a token where pooling is none."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._context.served().embeddings.require_embeddings()
        resp.media = native_reply(self._context, req, read_body(req, NativeEmbeddingBody))


def native_reply(context: ServerContext, req: falcon.Request, body: NativeEmbeddingBody) -> list[dict[str, Any]]:
    """llama-server's shape."""
    model = context.served()
    name = "input" if body.input is not None or body.content is None else "content"
    texts = input_ids(getattr(body, name), model.tokenizer, name)
    pooling = model.embeddings.pooling
    vectors = run_embedding(context, req, texts, pooling, name)
    kind = -1 if pooling == "none" else normalisation(context, body)
    rows = [normalised(np.atleast_2d(vector), kind).tolist() for vector in vectors]
    return [{"index": i, "embedding": embedding} for i, embedding in enumerate(rows)]


def normalisation(context: ServerContext, body: NativeEmbeddingBody) -> int:
    """The request's, or --embd-normalize; scores of a classifier stay as they are."""
    embeddings = context.served().embeddings
    if embeddings.pooling == "rank":
        return -1
    return embeddings.settings.normalize if body.embd_normalize is None else body.embd_normalize


def input_ids(value: Any, tokenizer: Any, name: str) -> list[list[int]]:
    """The token ids of each text.

    value    a prompt, or a list of prompts; a prompt is a text, a list with token ids (and texts among them),
             {"prompt_string": text}, or {"content": [{"type": "text", "text": text}, ...]}
    Errors:  BadRequest names the prompt
    """
    if value is None:
        raise BadRequest(f"{name}: found nothing, expected a text, token ids, or a list of them", name)
    several = isinstance(value, list) and not any(_is_id(item) for item in value)
    prompts = value if several else [value]
    if not 1 <= len(prompts) <= MAX_TEXTS:
        raise BadRequest(f"{name}: found {len(prompts)} texts, expected 1 to {MAX_TEXTS}", name)
    return [_prompt_ids(prompt, tokenizer, f"{name}[{i}]" if several else name) for i, prompt in enumerate(prompts)]


def _prompt_ids(prompt: Any, tokenizer: Any, name: str) -> list[int]:
    parts = prompt if isinstance(prompt, list) else [_text_of(prompt, name)]
    ids: list[int] = []
    for i, part in enumerate(parts):
        if isinstance(part, str):
            if tokenizer is None:
                raise BadRequest(f"{name}: this model's file has no vocabulary, expected token ids", name)
            ids += tokenizer.encode(part, add_special=i == 0, parse_special=True)
        elif _is_id(part):
            ids.append(part)
        else:
            raise BadRequest(f"{name}[{i}]: found {part!r:.60}, expected a token id or a text", f"{name}[{i}]")
    if len(ids) == 0 or parts == [""]:
        raise BadRequest(f"{name}: found an empty text, expected at least one token", name)
    return ids


def _text_of(prompt: Any, name: str) -> str:
    """The text of a prompt that is no list."""
    if isinstance(prompt, dict) and isinstance(prompt.get("content"), list):
        return "".join(_part_text(part, f"{name}.content[{i}]") for i, part in enumerate(prompt["content"]))
    text = prompt.get("prompt_string") if isinstance(prompt, dict) else prompt
    if not isinstance(text, str):
        raise BadRequest(f"{name}: found {prompt!r:.60}, expected a text or a list of token ids", name)
    return text


def _part_text(part: Any, name: str) -> str:
    if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        raise BadRequest(f'{name}: found {part!r:.60}, expected {{"type": "text", "text": ...}}', name)
    return part["text"]


def _is_id(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)
