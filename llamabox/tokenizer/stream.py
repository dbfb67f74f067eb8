"""Text out of tokens that come one at a time."""

import codecs
from collections.abc import Callable


class TextStream:
    """Turns token ids into text as they come, in whole UTF-8 characters only.

    Bytes that can no longer become a character turn into U+FFFD at once, an unfinished character at `flush`. All pieces
    together are what `Tokenizer.decode` gives for all the ids.
    """

    def __init__(self, next_bytes: Callable[[int], bytes]):
        self._next_bytes = next_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, id: int) -> str:
        """The text that `id` completes, "" while a character is unfinished. Errors: TokenizerError for a bad id."""
        return self._decoder.decode(self._next_bytes(id))

    def flush(self) -> str:
        """The rest at the end: U+FFFD for an unfinished character, else ""."""
        return self._decoder.decode(b"", True)
