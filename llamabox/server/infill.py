"""Prompts that ask for what stands between two texts, by the vocabulary's own tokens for that (fill in the middle)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llamabox.server.errors import BadRequest, NotSupported

SNIPPET = "\n\n--- snippet ---\n\n"  # llama-server's, between files where the vocabulary has no token for it
PARTS = {"pre": "prefix", "suf": "suffix", "mid": "middle"}


@dataclass(frozen=True)
class Layout:
    """How llama-server bounds such a prompt (tools/server/server-common.cpp, format_prompt_infill).

    n_batch      the prefix keeps its last 3/4 of these, the suffix its first quarter
    n_ctx, n_predict   what is left of the context beside both and twice the answer is for the extra texts
    suffix_first the suffix stands before the prefix (--spm-infill)
    """

    n_batch: int
    n_ctx: int
    n_predict: int
    suffix_first: bool = False


def check_fim(tokenizer: Any, what: str, param: str | None = None) -> None:
    """NotSupported for a vocabulary that lacks what infill needs."""
    missing = [f"{word} token is missing" for part, word in PARTS.items() if part not in tokenizer.fim]
    if missing:
        raise NotSupported(f"{what} is not supported by this model: {', '.join(missing)}", param)


def infill_ids(
    tokenizer: Any, prefix: list[int], suffix: list[int], prompt: list[int], extra: Sequence[dict], layout: Layout
) -> list[int]:
    """Token ids of a whole prompt.  prompt: goes on where the prefix ends; extra: other texts, {text, filename}"""
    n_quarter = layout.n_batch // 4
    prefix = prefix[max(0, len(prefix) - 3 * n_quarter) :]
    suffix = suffix[: max(0, n_quarter - 2 - len(prompt))]
    context = _extra_ids(tokenizer, extra)
    n_extra = max(0, layout.n_ctx - layout.n_batch - 2 * layout.n_predict)
    context = context[max(0, len(context) - n_extra) :]
    return context + middle_ids(tokenizer, prefix + prompt, suffix, layout.suffix_first)


def middle_ids(tokenizer: Any, prefix: list[int], suffix: list[int], suffix_first: bool) -> list[int]:
    """The plain pattern: prefix and suffix behind their tokens, then the token that asks for the middle."""
    fim = tokenizer.fim
    before, after = [fim["pre"], *prefix], [fim["suf"], *suffix]
    if suffix_first:
        before, after = after, before
    bos = [tokenizer.bos] if tokenizer.add_bos and tokenizer.bos is not None else []
    return [*bos, *before, *after, fim["mid"]]


def _extra_ids(tokenizer: Any, extra: Sequence[dict]) -> list[int]:
    """Other files of the project before the one at hand, behind the tokens for them if there are (arXiv:2409.12186)."""
    fim, ids = tokenizer.fim, list[int]()

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special=False)

    if "rep" in fim:
        ids += [fim["rep"], *encode("myproject\n")]
    for i, chunk in enumerate(extra):
        text, filename = chunk.get("text"), chunk.get("filename", "tmp")
        if not isinstance(text, str):
            raise BadRequest(f"input_extra[{i}].text: found {text!r:.60}, expected a text", "input_extra")
        if not isinstance(filename, str):
            raise BadRequest(f"input_extra[{i}].filename: found {filename!r:.60}, expected a text", "input_extra")
        ids += [fim["sep"], *encode(f"{filename}\n")] if "sep" in fim else encode(SNIPPET)
        ids += encode(text)
    if "sep" in fim:
        ids += [fim["sep"], *encode("filename\n")]
    return ids
