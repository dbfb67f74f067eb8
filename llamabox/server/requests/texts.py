"""Lists of texts, bounded."""

from llamabox.server.errors import BadRequest

MAX_STOPS, MAX_STOP_LENGTH, MAX_BREAKERS = 16, 1024, 64


def stops(stop: str | list[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    return texts([stop] if isinstance(stop, str) else stop, "stop", MAX_STOPS)


def texts(items: list[str], name: str, most: int) -> tuple[str, ...]:
    if len(items) > most:
        raise BadRequest(f"{name}: found {len(items)} texts, expected at most {most}", name)
    for item in items:
        if len(item) > MAX_STOP_LENGTH:
            raise BadRequest(f"{name}: found a text of {len(item)} characters, expected {MAX_STOP_LENGTH}", name)
    return tuple(item for item in items if item != "")
