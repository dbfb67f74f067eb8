"""/tokenize and /detokenize."""

import msgspec

from llamabox.server.schemas.bounds import Text, TokenId


class TokenizeBody(msgspec.Struct):
    """POST /tokenize"""

    content: Text
    add_special: bool | None = None
    parse_special: bool | None = None
    with_pieces: bool | None = None


class DetokenizeBody(msgspec.Struct):
    """POST /detokenize"""

    tokens: list[TokenId]
