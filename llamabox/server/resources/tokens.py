"""/tokenize and /detokenize."""

from typing import Any

import falcon

from llamabox.server.bodies import read_body
from llamabox.server.context import ServerContext
from llamabox.server.errors import BadRequest, NotSupported
from llamabox.server.schemas import DetokenizeBody, TokenizeBody


class Tokenize:
    """POST /tokenize: text -> ids, or ids with their pieces."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        tokenizer = the_tokenizer(self._context)
        body = read_body(req, TokenizeBody)
        ids = tokenizer.encode(body.content, body.add_special is True, body.parse_special is not False)
        if body.with_pieces is True:
            resp.media = {"tokens": [{"id": id, "piece": _piece(tokenizer.piece(id))} for id in ids]}
        else:
            resp.media = {"tokens": ids}


class Detokenize:
    """POST /detokenize: ids -> text."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        tokenizer = the_tokenizer(self._context)
        body = read_body(req, DetokenizeBody)
        for i, id in enumerate(body.tokens):
            if id >= tokenizer.n_vocab:
                raise BadRequest(f"tokens[{i}]: found {id}, expected 0 to {tokenizer.n_vocab - 1}", "tokens")
        resp.media = {"content": tokenizer.decode(body.tokens, special=True)}


def the_tokenizer(context: ServerContext) -> Any:
    """The model's tokenizer; NotSupported for a file without a vocabulary."""
    tokenizer = context.served().tokenizer
    if tokenizer is None:
        raise NotSupported("this model's file has no vocabulary: serve one that has tokenizer.ggml.* metadata")
    return tokenizer


def _piece(piece: bytes) -> str | list[int]:
    """A piece as text, or as its bytes when it is part of a character (as llama-server does)."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)
