"""Whether a draft model speaks of the same tokens as the model it drafts for; the rules are llama.cpp's."""

from typing import Any

from llamabox.engine.request import RequestError

MAX_DIFFERENCE = 128  # token ids that one of the two may have more
FIRST_ID = 5  # texts of ids below are not compared: control tokens go by many names


class DraftVocabularyError(RequestError):
    """The draft model's vocabulary does not fit."""

    def __init__(self, what: str, draft: Any, target: Any):
        super().__init__(f"draft model: its {what} is {draft}, expected that of the model, {target}", "model_draft")


def check_vocabulary(target: Any, draft: Any) -> None:
    """target, draft: llamabox.Models, with or without a vocabulary.

    Errors:  DraftVocabularyError names what differs
    """
    _same("vocabulary type", *(_type(m) for m in (draft, target)))
    if draft.tokenizer is not None:
        for name in ("bos", "eos"):
            adds = [getattr(m.tokenizer, f"add_{name}") for m in (draft, target)]
            _same(f"add_{name}_token", *adds)
            if adds[0]:
                _same(f"{name} token", *(getattr(m.tokenizer, name) for m in (draft, target)))
    sizes = [m.config.n_vocab for m in (draft, target)]
    if abs(sizes[0] - sizes[1]) > MAX_DIFFERENCE:
        raise DraftVocabularyError("number of tokens", sizes[0], f"{sizes[1]}, or at most {MAX_DIFFERENCE} off")
    texts = [m.model.file.metadata.get("tokenizer.ggml.tokens", []) for m in (draft, target)]
    n = min(map(len, texts))
    if texts[0][FIRST_ID:n] != texts[1][FIRST_ID:n]:
        id = next(i for i in range(FIRST_ID, n) if texts[0][i] != texts[1][i])
        raise DraftVocabularyError(f"token {id}", f"{texts[0][id]!r:.60}", f"{texts[1][id]!r:.60}")


def _type(model: Any) -> str:
    return "none" if model.tokenizer is None else model.model.file.metadata["tokenizer.ggml.model"]


def _same(what: str, draft: Any, target: Any) -> None:
    if draft != target:
        raise DraftVocabularyError(what, draft, target)
