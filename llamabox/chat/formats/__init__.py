"""How families of models write tool calls and thoughts: one small file each, found from the template's source."""

from llamabox.chat.formats.base import Format
from llamabox.chat.formats.generic import Generic
from llamabox.chat.formats.hermes import Hermes

CONTENT_ONLY = Format()
GENERIC = Generic()
FORMATS: tuple[Format, ...] = (Hermes(),)  # the special ones first


def find_format(source: str) -> Format | None:
    """The format of a template, None when it is none of these."""
    return next((format for format in FORMATS if format.knows(source)), None)


__all__ = ["CONTENT_ONLY", "FORMATS", "GENERIC", "Format", "find_format"]
