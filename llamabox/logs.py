"""What log lines know about the request they belong to.

Every module logs through `logging.getLogger(__name__)`. Code that works for one request sets `request_id` for its
thread; code that works for many at once (the engine) passes `extra={"request_id": ...}` instead.
"""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
