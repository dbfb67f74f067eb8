"""Every error body of the server, in one shape: {"error": {code, message, type, param}}, which OpenAI clients read."""

import logging
from typing import Any

import falcon

from llamabox.engine import ContextLengthError, EngineBusyError, GenerationError, RequestError

log = logging.getLogger(__name__)


class ApiError(Exception):
    """An error with a status of its own; `headers` go out with it, `details` are further keys of its body."""

    status, type = 500, "server_error"

    def __init__(self, message: str, param: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.message, self.param, self.headers = message, param, headers if headers is not None else {}
        self.details: dict[str, Any] = {}

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that tells of it."""
        body = error_body(self.status, self.message, self.type, self.param)
        return {"error": body["error"] | self.details}


class BadRequest(ApiError):
    status, type = 400, "invalid_request_error"


class Unauthorized(ApiError):
    status, type = 401, "authentication_error"


class NotFound(ApiError):
    status, type = 404, "not_found_error"


class BadContentType(ApiError):
    status, type = 415, "invalid_request_error"


class TooLarge(ApiError):
    status, type = 413, "invalid_request_error"


class TooLong(ApiError):
    """The prompt does not fit: `type` and the counts are llama-server's, `code` is what OpenAI's clients look for."""

    status, type = 400, "exceed_context_size_error"

    def __init__(self, error: ContextLengthError):
        super().__init__(str(error), error.param)
        self.details = {
            "code": "context_length_exceeded",
            "n_prompt_tokens": error.n_prompt,
            "n_ctx": error.n_ctx,
        }


class NotSupported(ApiError):
    """The endpoint or field exists, but this server or model cannot serve it."""

    status, type = 501, "not_supported_error"


class Unavailable(ApiError):
    """Not now: loading, full, or shutting down."""

    status, type = 503, "unavailable_error"


class ClientGone(ApiError):
    """The client hung up; nobody reads this body, the log does."""

    status, type = 499, "client_closed_request"


def error_body(code: int, message: str, type: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "type": type, "param": param}}


def as_api_error(error: Exception) -> ApiError:
    """What an exception from below means to a client. Unknown ones are our fault: logged whole, told briefly."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ContextLengthError):
        return TooLong(error)
    if isinstance(error, RequestError):
        return BadRequest(str(error), error.param)
    if isinstance(error, EngineBusyError):
        return Unavailable(str(error), headers={"Retry-After": "1"})
    if isinstance(error, GenerationError):
        return ApiError(str(error))
    if isinstance(error, falcon.HTTPError):
        return _from_falcon(error)
    log.error("unexpected error", exc_info=error)
    return ApiError("internal error; the server's log has the details under this request's id")


def _from_falcon(error: falcon.HTTPError) -> ApiError:
    status = falcon.http_status_to_code(error.status)
    message = error.description if error.description is not None else error.title
    if status == 404:
        message = "unknown route; see GET /v1/models and the README for what is served"
    if status == 405:
        message = f"method not allowed here, expected {(error.headers or {}).get('Allow', 'another one')}"
    api_error = BadRequest(str(message), headers=dict(error.headers or {}))
    api_error.status = status
    api_error.type = "not_found_error" if status == 404 else "invalid_request_error" if status < 500 else "server_error"
    return api_error


def handle_error(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict) -> None:
    """The one falcon error handler."""
    api_error = as_api_error(error)
    resp.status = api_error.status
    body = api_error.body
    resp.media = {"type": "error", **body} if "/messages" in req.path else body  # Anthropic's clients look for a type
    for name, value in api_error.headers.items():
        resp.set_header(name, value)
