"""`llama_detokenize`: a text made presentable, where `Tokenizer.decode` gives the bytes of the tokens as they are."""

import re
from collections.abc import Sequence

from llamabox.tokenizer.base import Tokenizer

# In this order; " 't" and " 'd" and " 'll" keep their space, as in llama.cpp.
CLEAN_UPS = ((rb" (?=[?!.,])", b""), (rb" ' ", b"'"), (rb" (?='(?:[sm]|re|ve))", b""))


def detokenize(
    tokenizer: Tokenizer, ids: Sequence[int], remove_special: bool = False, unparse_special: bool = False
) -> str:
    """The text of `ids`, without the space that encoding puts first, and cleaned up where the vocabulary asks for it.

    remove_special: leave out a BOS at the front and an EOS at the end (after a BOS the first space stays).
    unparse_special: render control tokens. Invalid UTF-8 becomes U+FFFD. Errors: TokenizerError for a bad id.
    """
    ids = list(ids)
    drop_space = tokenizer.add_space_prefix
    if remove_special and tokenizer.add_bos and ids and ids[0] == tokenizer.bos:
        ids, drop_space = ids[1:], False
    if remove_special and tokenizer.add_eos and ids and ids[-1] == tokenizer.eos:
        ids = ids[:-1]
    pieces = [tokenizer.piece(id, unparse_special) for id in ids]
    if drop_space and pieces:
        pieces[0] = pieces[0].removeprefix(b" ")
    data = b"".join(pieces)
    if tokenizer.clean_spaces:
        for pattern, replacement in CLEAN_UPS:
            data = re.sub(pattern, replacement, data)
    return data.decode("utf-8", "replace")
