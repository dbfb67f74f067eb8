"""--api-prefix: every path of the server below another."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from llamabox.server.errors import error_body


class Prefixed:
    """A WSGI application that answers below `prefix` as `app` does below the root, and 404 elsewhere."""

    def __init__(self, app: Callable, prefix: str):
        self._app, self._prefix = app, prefix

    def __call__(self, environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == self._prefix or path.startswith(f"{self._prefix}/"):
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + self._prefix
            environ["PATH_INFO"] = path.removeprefix(self._prefix)
            return self._app(environ, start_response)
        message = f"unknown route; paths here begin with {self._prefix}"
        body = msgspec.json.encode(error_body(404, message, "not_found_error"))
        start_response("404 Not Found", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]
