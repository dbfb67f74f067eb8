"""The one error of this package."""


class TokenizerError(ValueError):
    """A vocabulary, a text or a token id that the tokenizer cannot use; the message names it and what was expected."""
