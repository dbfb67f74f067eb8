"""The one error of this package: what a user's file, option or array has wrong."""

SHOWN_CHARACTERS = 80


class GGUFError(ValueError):
    """A GGUF file, tensor or option is wrong; the message names it, what was found and what was expected."""


def quoted(text: str) -> str:
    """Text from a file as an error message shows it: on one line, printable and not long."""
    return ascii(text) if len(text) <= SHOWN_CHARACTERS else ascii(text[:SHOWN_CHARACTERS]) + "..."
