"""The one error of this package: what a user's file, option or array has wrong."""


class GGUFError(ValueError):
    """A GGUF file, tensor or option is wrong; the message names it, what was found and what was expected."""
