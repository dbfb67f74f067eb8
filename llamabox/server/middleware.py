"""The request id: taken from X-Request-ID or made, echoed, and in every log line; and one log line a request."""

import logging
import re
import time
from uuid import uuid4

import falcon

from llamabox.logs import request_id
from llamabox.server.errors import BadRequest

_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
log = logging.getLogger(__name__)


class RequestId:
    """falcon middleware."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        given = req.get_header("X-Request-ID")
        valid = given is not None and _ID.fullmatch(given) is not None
        req.context.id = given if valid else uuid4().hex
        req.context.started = time.monotonic()
        request_id.set(req.context.id)
        resp.set_header("X-Request-ID", req.context.id)
        log.debug("%s %s", req.method, req.path)
        if given is not None and not valid:
            raise BadRequest(
                "X-Request-ID: found an empty or too long value or one with other characters, "
                "expected 1 to 128 of A-Z a-z 0-9 . _ : + / = @ -",
                "X-Request-ID",
            )

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource, req_succeeded: bool) -> None:
        if hasattr(req.context, "started"):
            seconds = time.monotonic() - req.context.started
            log.info("%s %s %s %.0f ms", req.method, req.path, resp.status_code, 1e3 * seconds)
