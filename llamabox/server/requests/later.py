"""Fields that no code here honours yet: refused by name, never dropped in silence."""

import msgspec

from llamabox.server.errors import NotSupported

_LATER = ("echo", "suffix", "top_logprobs")
_NEUTRAL = (None, False, 0, "", [], {})


def refuse_later(body: msgspec.Struct) -> None:
    """Fields that change the answer and that no code here honours yet must not be dropped in silence."""
    for name in _LATER:
        if getattr(body, name, None) not in _NEUTRAL:
            raise NotSupported(f"{name} is not supported in this version of llamabox", name)
    for name in ("logprobs", "n_probs"):
        if getattr(body, name, None) not in (None, False):
            raise NotSupported(f"{name} is not supported in this version of llamabox", name)
    best_of, n = getattr(body, "best_of", None), getattr(body, "n", None)
    if best_of not in (None, 1, n):
        raise NotSupported("best_of is not supported in this version of llamabox", "best_of")
