"""Request bodies: bytes -> a checked struct, or an error that names the field, what was found and what expected."""

import json
import math
import re
from typing import Any, TypeVar, get_origin

import falcon
import msgspec

from llamabox.server.errors import BadContentType, BadRequest, TooLarge

MAX_BODY_BYTES = 64 << 20  # room for images in base64
MAX_DEPTH = 64  # arrays and objects within each other
Body = TypeVar("Body")

_AT_FIELD = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")


def read_body(req: falcon.Request, kind: type[Body]) -> Body:
    """The request's JSON as a `kind`, a struct or a list. Unknown keys are let through: SDKs send many.

    Errors:  BadContentType, TooLarge, BadRequest with the field's path in `param`
    """
    content_type = (req.content_type or "").split(";")[0].strip().lower()
    if content_type != "application/json":
        raise BadContentType(f"Content-Type: found {content_type!r}, expected 'application/json'")
    if req.content_length is not None and req.content_length > MAX_BODY_BYTES:
        raise TooLarge(f"body: found {req.content_length} bytes, expected at most {MAX_BODY_BYTES}")
    data = req.bounded_stream.read(MAX_BODY_BYTES + 1)
    if len(data) > MAX_BODY_BYTES:
        raise TooLarge(f"body: found more than {MAX_BODY_BYTES} bytes")
    return decode(data, kind)


def decode(data: bytes, kind: type[Body]) -> Body:
    """JSON bytes as a `kind`; see read_body."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_json(data, error) from None
    except RecursionError:
        raise BadRequest(f"body: found JSON nested too deep, expected at most {MAX_DEPTH} levels") from None
    _check_depth(document)
    container, name = (list, "array") if get_origin(kind) is list else (dict, "object")
    if not isinstance(document, container):
        raise BadRequest(f"body: found {type(document).__name__}, expected a JSON {name}")
    return convert_body(document, kind)


def convert_body(document: Any, kind: type[Body]) -> Body:
    """Decoded JSON as a `kind`; BadRequest names the field that does not fit."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise _validation_error(error, document) from None


def _not_json(data: bytes, error: Exception) -> BadRequest:
    """What is wrong with bytes that are not JSON; of a NaN or infinity, which some writers let through, the field."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    for name, value in document.items() if isinstance(document, dict) else ():
        if (found := _not_finite(value)) is not None:
            return BadRequest(f"{name}: found {found}, expected a finite number", name)
    return BadRequest(f"body: not valid JSON: {error}")


def _not_finite(value) -> float | None:
    """The first number in a value, however deep, that is not finite."""
    level = [value]
    while level:
        for item in level:
            if isinstance(item, float) and not math.isfinite(item):
                return item
        containers = [item for item in level if isinstance(item, dict | list)]
        level = [v for item in containers for v in (item.values() if isinstance(item, dict) else item)]
    return None


def _check_depth(document) -> None:
    """Level by level, so that no recursion limit is near."""
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise BadRequest(f"body: found JSON nested too deep, expected at most {MAX_DEPTH} levels")
        containers = [item for item in level if isinstance(item, dict | list)]
        level = [v for item in containers for v in (item.values() if isinstance(item, dict) else item)]


def _validation_error(error: msgspec.ValidationError, document: dict | list) -> BadRequest:
    text = str(error)
    at = _AT_FIELD.search(text)
    path = at.group(1) if at else ""
    message = _AT_FIELD.sub("", text)
    field = path if path in document else path.split(".")[0].split("[")[0]
    found = f", found {_brief(document[field])}" if isinstance(document, dict) and field in document else ""
    return BadRequest(f"{path or 'body'}: {message[:1].lower()}{message[1:]}{found}", path or None)


def _brief(value) -> str:
    text = msgspec.json.encode(value).decode() if not (isinstance(value, float) and math.isnan(value)) else "NaN"
    return text if len(text) <= 60 else text[:57] + "..."
