"""`echo`: the prompt as text before the answer, and where in it each of its tokens begins."""

from dataclasses import dataclass
from typing import Any

from llamabox.server.prompts import Prompt


@dataclass(frozen=True)
class Echo:
    """offsets: of each of the ids, in characters of the text"""

    text: str
    ids: tuple[int, ...]
    offsets: tuple[int, ...]


def echo_of(prompt: Prompt, tokenizer: Any) -> Echo:
    """The text is what was given, where that was one text; a BOS that was put before it has no text."""
    stream, offsets, pieces, n_chars = tokenizer.stream(special=True), [], [], 0
    for i, id in enumerate(prompt.ids):
        offsets.append(n_chars)
        piece = stream.push(id)
        if i > 0 or not prompt.has_bos:
            pieces.append(piece)
            n_chars += len(piece)
    text = "".join([*pieces, stream.flush()]) if prompt.text is None else prompt.text
    return Echo(text, tuple(prompt.ids), tuple(min(offset, len(text)) for offset in offsets))
