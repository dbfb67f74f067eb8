"""What the server is and has: /, /health, /models, /props, /metrics."""

from dataclasses import asdict
from typing import Any

import falcon

from llamabox import __version__
from llamabox.engine import GenerationRequest
from llamabox.server.context import Served, ServerContext
from llamabox.server.endpoints import require
from llamabox.server.errors import NotFound
from llamabox.server.native import generation_settings


class Root:
    """GET /: there is no web page; a short word of what answers here."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"name": "llamabox", "version": __version__, "api": "/v1"}


class Health:
    """GET /health: 503 while the model is being loaded."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._context.served()
        resp.media = {"status": "ok"}


class Models:
    """GET /v1/models, and /v1/models/{id} with the one id there is; in requests any name is accepted."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        entry = self._entry(self._context.served())
        resp.media = {"object": "list", "data": [entry], "models": [_as_ollama(entry["id"])]}

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        model = self._context.served()
        if id != model.alias:
            error = NotFound(f"model: found {id!r:.200}, expected {model.alias!r}, the one that is served", "model")
            error.details = {"code": "model_not_found"}
            raise error
        resp.media = self._entry(model)

    def _entry(self, model: Served) -> dict[str, Any]:
        entry = {"id": model.alias, "object": "model", "created": self._context.started, "owned_by": "llamabox"}
        return {**entry, "tags": list(model.tags), "meta": {**model.meta, "n_ctx": model.n_ctx}}


def _as_ollama(name: str) -> dict[str, Any]:
    """The entry that llama-server has beside OpenAI's, for clients of Ollama."""
    return {"name": name, "model": name, "type": "model", "capabilities": ["completion"], "details": {"format": "gguf"}}


class Props:
    """GET /props; POST /props, with which llama-server changes nothing either, once --props allows it."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        model, defaults, endpoints = self._context.served(), self._context.defaults, self._context.endpoints
        request = GenerationRequest(
            (0,),
            defaults.sampling,
            defaults.n_predict,
            cache_prompt=defaults.cache_prompt,
            n_keep=defaults.n_keep,
            n_cache_reuse=defaults.n_cache_reuse,
            speculative=defaults.speculative,
        )
        tokenizer, template = model.tokenizer, model.template
        resp.media = {
            "default_generation_settings": {
                "n_ctx": model.n_ctx,
                "params": generation_settings(request, model.n_ctx),
            },
            "total_slots": model.n_parallel,
            "model_alias": model.alias,
            "model_path": model.path,
            "devices": list(model.devices),
            "modalities": {"vision": False, "video": False, "audio": False},
            "endpoint_slots": endpoints.slots,
            "endpoint_props": endpoints.props,
            "endpoint_metrics": endpoints.metrics,
            "chat_template": None if template is None else template.source,
            "chat_template_caps": _caps(template),
            "bos_token": _text(tokenizer, "bos"),
            "eos_token": _text(tokenizer, "eos"),
            "engine": asdict(model.engine.status()),
            "build_info": f"llamabox {__version__}",
            "is_sleeping": False,
        }

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        require(self._context.endpoints.props, "POST /props", "--props")
        self._context.served()
        resp.media = {"success": True}


class MetricsText:
    """GET /metrics"""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        metrics = self._context.metrics
        require(metrics is not None, "/metrics", "--metrics")
        self._context.served()
        resp.content_type = "text/plain; version=0.0.4; charset=utf-8"
        resp.set_header("Process-Start-Time-Unix", str(self._context.started))
        resp.data = metrics.text()


def _caps(template: Any) -> dict[str, bool]:
    """What the template can render, under llama-server's names where it has one."""
    return {} if template is None else {f"supports_{name}": can for name, can in asdict(template.capabilities).items()}


def _text(tokenizer, name: str) -> str:
    id = None if tokenizer is None else getattr(tokenizer, name)
    return "" if id is None else tokenizer.decode([id], special=True)
