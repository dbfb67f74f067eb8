"""create_app: routes to resources, and nothing else."""

from typing import Any

import falcon
import msgspec

from llamabox.server.access import ApiKeys, CorsHeaders
from llamabox.server.context import ServerContext
from llamabox.server.errors import handle_error
from llamabox.server.middleware import RequestId
from llamabox.server.resources.chat import ApplyTemplate, ChatCompletions, ChatInputTokens
from llamabox.server.resources.completions import Completion, Completions, Infill
from llamabox.server.resources.embeddings import EmbeddingsResource, NativeEmbeddings
from llamabox.server.resources.info import Health, MetricsText, Models, Props, Root
from llamabox.server.resources.loras import LoraAdapters
from llamabox.server.resources.messages import CountTokens, Messages
from llamabox.server.resources.rerank import PATHS as RERANK_PATHS
from llamabox.server.resources.rerank import Rerank
from llamabox.server.resources.responses import Responses, ResponsesInputTokens
from llamabox.server.resources.slots import SlotActions, Slots
from llamabox.server.resources.tokens import Detokenize, Tokenize


def create_app(context: ServerContext) -> falcon.App:
    """The WSGI application."""
    access = context.access
    app = falcon.App(middleware=[RequestId(), CorsHeaders(access.cors), ApiKeys(access.keys)])
    app.add_error_handler(Exception, handle_error)
    app.set_error_serializer(lambda req, resp, error: handle_error(req, resp, error, {}))
    json_handler = falcon.media.JSONHandler(dumps=msgspec.json.encode, loads=msgspec.json.decode)
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = json_handler
    app.add_route("/", Root())
    _both(app, "/health", Health(context))
    _both(app, "/models", Models(context))
    _both(app, "/models/{id:path}", Models(context), suffix="one")
    _both(app, "/chat/completions", ChatCompletions(context))
    _both(app, "/chat/completions/input_tokens", ChatInputTokens(context))
    app.add_route("/v1/completions", Completions(context))
    app.add_route("/infill", Infill(context))
    for path in ("/completion", "/completions"):
        app.add_route(path, Completion(context))
    app.add_route("/v1/embeddings", EmbeddingsResource(context))
    for path in ("/embedding", "/embeddings"):
        app.add_route(path, NativeEmbeddings(context))
    for path in RERANK_PATHS:
        app.add_route(path, Rerank(context))
    app.add_route("/props", Props(context))
    app.add_route("/metrics", MetricsText(context))
    app.add_route("/slots", Slots(context))
    app.add_route("/slots/{id}", SlotActions(context))
    app.add_route("/lora-adapters", LoraAdapters(context))
    app.add_route("/tokenize", Tokenize(context))
    app.add_route("/detokenize", Detokenize(context))
    _both(app, "/responses", Responses(context))
    _both(app, "/responses/input_tokens", ResponsesInputTokens(context))
    _both(app, "/messages", Messages(context))
    _both(app, "/messages/count_tokens", CountTokens(context))
    app.add_route("/apply-template", ApplyTemplate(context))
    return app


def _both(app: falcon.App, path: str, resource: Any, **options: Any) -> None:
    """A path of OpenAI's API, with /v1 and without, as llama-server has it.

    /completions and /embeddings are not among them: without /v1 these are llama-server's own endpoints.
    """
    app.add_route(f"/v1{path}", resource, **options)
    app.add_route(path, resource, **options)
