"""How many tokens a second a request may get: --tokens-per-second, lowered by the request's own header."""

import math

from llamabox.server.errors import BadRequest

HEADER = "X-Request-Tokens-Per-Second"


def tokens_per_second(limit: float | None, header: str | None) -> float | None:
    """limit: the server's; None: it has none, and the header no say.  header: its text, which may only lower the limit

    Errors:  BadRequest for a header that is no number above 0
    """
    if limit is None or header is None:
        return limit
    try:
        asked = float(header)
    except ValueError:
        asked = math.nan
    if not 1e-3 <= asked < math.inf:
        raise BadRequest(f"{HEADER}: found {header!r:.40}, expected a number above 0", HEADER)
    return min(limit, asked)
