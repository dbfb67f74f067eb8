"""What the server is and has: /health, /v1/models, /props."""

from dataclasses import asdict

import falcon

from llamabox import __version__
from llamabox.engine import GenerationRequest
from llamabox.server.context import ServerContext
from llamabox.server.native import generation_settings


class Health:
    """GET /health: 503 while the model is being loaded."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._context.served()
        resp.media = {"status": "ok"}


class Models:
    """GET /v1/models"""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        model = self._context.served()
        entry = {"id": model.alias, "object": "model", "created": self._context.started, "owned_by": "llamabox"}
        resp.media = {"object": "list", "data": [{**entry, "meta": model.meta}]}


class Props:
    """GET /props"""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        model, defaults = self._context.served(), self._context.defaults
        request = GenerationRequest((0,), defaults.sampling, defaults.n_predict, cache_prompt=defaults.cache_prompt)
        tokenizer = model.tokenizer
        resp.media = {
            "default_generation_settings": {
                "n_ctx": model.n_ctx,
                "params": generation_settings(request, model.n_ctx),
            },
            "total_slots": model.n_parallel,
            "model_alias": model.alias,
            "model_path": model.path,
            "chat_template": None if model.template is None else model.template.source,
            "bos_token": _text(tokenizer, "bos"),
            "eos_token": _text(tokenizer, "eos"),
            "engine": asdict(model.engine.status()),
            "build_info": f"llamabox {__version__}",
        }


def _text(tokenizer, name: str) -> str:
    id = None if tokenizer is None else getattr(tokenizer, name)
    return "" if id is None else tokenizer.decode([id], special=True)
