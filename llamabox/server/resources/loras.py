"""/lora-adapters: the adapters that are loaded, and their scales for requests that name none."""

import falcon

from llamabox.server.bodies import read_body
from llamabox.server.context import Served, ServerContext
from llamabox.server.errors import BadRequest, NotSupported
from llamabox.server.schemas import LoraScale


class LoraAdapters:
    """GET and POST /lora-adapters"""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        model = self._adapted()
        resp.media = [
            {
                "id": id,
                "path": lora.path,
                "scale": scale,
                "task_name": lora.task_name,
                "prompt_prefix": lora.prompt_prefix,
            }
            for id, (lora, scale) in enumerate(zip(model.loras, model.engine.loras.scales, strict=True))
        ]

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        model = self._adapted()
        if not model.loras_settable:
            raise NotSupported("the scales are fixed: start the server with --lora-init-without-apply to set them here")
        items = read_body(req, list[LoraScale])
        scales = {item.id: item.scale for item in items}
        if len(scales) < len(items):
            raise BadRequest("body: found an id twice, expected each once", "id")
        model.engine.loras.set(scales)
        resp.media = {"success": True}

    def _adapted(self) -> Served:
        """The model, which must have adapters."""
        model = self._context.served()
        if not model.loras:
            raise NotSupported("no LoRA adapter is loaded: start the server with --lora or --lora-scaled")
        return model
