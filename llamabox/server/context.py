"""ServerContext: what the resources share. It exists before the model is loaded; `served()` refuses until then."""

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import falcon

from llamabox.engine import Engine, GenerationRequest
from llamabox.models import Lora
from llamabox.server.access import Access
from llamabox.server.admission import Admission
from llamabox.server.embedding import Embeddings
from llamabox.server.endpoints import Endpoints
from llamabox.server.errors import NotSupported, Unavailable
from llamabox.server.requests import Defaults
from llamabox.server.requests.pace import HEADER, tokens_per_second
from llamabox.server.running import Running

if TYPE_CHECKING:
    from llamabox.server.metrics import Metrics

OPEN, USUAL = Access(), Endpoints()


@dataclass(frozen=True, eq=False)
class Served:
    """A loaded model and all that goes with it."""

    alias: str
    path: str
    engine: Engine
    tokenizer: Any
    template: Any
    n_ctx: int  # tokens of one sequence
    n_parallel: int
    meta: dict[str, Any]  # for /v1/models: n_vocab, n_ctx_train, n_embd, n_params, size
    loras: tuple[Lora, ...] = ()
    loras_settable: bool = False  # by POST /lora-adapters
    tags: tuple[str, ...] = ()  # what the owner of the server calls it besides
    tokens_per_second: float | None = None  # of one request; None: no limit
    generates: bool = True  # False: a model that gives embeddings and no text
    embeddings: Embeddings = Embeddings()
    devices: tuple[str, ...] = ("CPU",)  # that hold it


class ServerContext:
    """Shared by all HTTP threads.  metrics: None where nobody may read them"""

    def __init__(
        self,
        admission: Admission,
        defaults: Defaults,
        access: Access = OPEN,
        endpoints: Endpoints = USUAL,
    ):
        self.admission, self.defaults = admission, defaults
        self.access, self.endpoints = access, endpoints
        self.metrics = self._new_metrics() if endpoints.metrics else None
        self.started = int(time.time())
        self.model: Served | None = None

    def _new_metrics(self) -> "Metrics":
        from llamabox.server.metrics import Metrics

        return Metrics(lambda: None if self.model is None else self.model.engine.status())

    def served(self) -> Served:
        """The model; Unavailable while it is being loaded."""
        if self.model is None:
            raise Unavailable("Loading model", headers={"Retry-After": "1"})
        return self.model

    def served_text(self) -> Served:
        """The model, where it generates text; NotSupported for one that only gives embeddings."""
        model = self.served()
        if not model.generates:
            raise NotSupported(f"{model.alias} is an embedding model, which generates no text: use /v1/embeddings")
        return model

    def run(self, requests: list[GenerationRequest], req: falcon.Request) -> Running:
        """Submit the choices of one HTTP request; all of them or none.

        Errors:  Unavailable, NotSupported, RequestError, EngineBusyError
        """
        model = self.served_text()
        limit = tokens_per_second(model.tokens_per_second, req.get_header(HEADER))
        self.admission.enter()
        gone = req.env.get("waitress.client_disconnected", _never)
        running = Running([], self.admission, gone, self.metrics, self.defaults.ping_s)
        try:
            for request in requests:
                if limit is not None:
                    request = replace(request, tokens_per_second=limit)
                running.generations.append(model.engine.submit(request))
        except BaseException:
            running.close()
            raise
        return running


def _never() -> bool:
    return False
