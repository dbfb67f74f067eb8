"""create_app: routes to resources, and nothing else."""

import falcon
import msgspec

from llamabox.server.context import ServerContext
from llamabox.server.errors import handle_error
from llamabox.server.middleware import RequestId
from llamabox.server.resources.chat import ApplyTemplate, ChatCompletions, ChatInputTokens
from llamabox.server.resources.completions import Completion, Completions
from llamabox.server.resources.embeddings import EmbeddingsResource, NativeEmbeddings
from llamabox.server.resources.info import Health, Models, Props
from llamabox.server.resources.loras import LoraAdapters
from llamabox.server.resources.messages import CountTokens, Messages
from llamabox.server.resources.rerank import PATHS as RERANK_PATHS
from llamabox.server.resources.rerank import Rerank
from llamabox.server.resources.responses import Responses, ResponsesInputTokens
from llamabox.server.resources.tokens import Detokenize, Tokenize


def create_app(context: ServerContext) -> falcon.App:
    """The WSGI application."""
    app = falcon.App(middleware=[RequestId()])
    app.add_error_handler(Exception, handle_error)
    app.set_error_serializer(lambda req, resp, error: handle_error(req, resp, error, {}))
    json_handler = falcon.media.JSONHandler(dumps=msgspec.json.encode, loads=msgspec.json.decode)
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = json_handler
    app.add_route("/health", Health(context))
    app.add_route("/props", Props(context))
    app.add_route("/v1/models", Models(context))
    app.add_route("/lora-adapters", LoraAdapters(context))
    app.add_route("/tokenize", Tokenize(context))
    app.add_route("/detokenize", Detokenize(context))
    app.add_route("/completion", Completion(context))
    app.add_route("/v1/completions", Completions(context))
    app.add_route("/v1/embeddings", EmbeddingsResource(context))
    for path in ("/embedding", "/embeddings"):
        app.add_route(path, NativeEmbeddings(context))
    for path in RERANK_PATHS:
        app.add_route(path, Rerank(context))
    for prefix in ("", "/v1"):
        app.add_route(f"{prefix}/chat/completions", ChatCompletions(context))
        app.add_route(f"{prefix}/chat/completions/input_tokens", ChatInputTokens(context))
        app.add_route(f"{prefix}/responses", Responses(context))
        app.add_route(f"{prefix}/responses/input_tokens", ResponsesInputTokens(context))
        app.add_route(f"{prefix}/messages", Messages(context))
        app.add_route(f"{prefix}/messages/count_tokens", CountTokens(context))
    app.add_route("/apply-template", ApplyTemplate(context))
    return app
