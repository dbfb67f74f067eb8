"""POST /slots."""

from typing import Annotated

import msgspec
from msgspec import Meta


class SlotFileBody(msgspec.Struct):
    """POST /slots/{id}?action=save or restore"""

    filename: Annotated[str, Meta(max_length=1024)]
