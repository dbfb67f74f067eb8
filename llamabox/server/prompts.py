"""The `prompt` of a completion in all forms that llama-server takes: texts, token ids, mixtures, several of them."""

from dataclasses import dataclass
from typing import Any

from llamabox.server.errors import BadRequest, NotSupported


@dataclass(frozen=True)
class Prompt:
    """ids: its tokens.  text: as it was given; None when it was not one text.  has_bos: a BOS was put before it"""

    ids: list[int]
    text: str | None = None
    has_bos: bool = False


def prompts_of(value: str | list | dict, tokenizer: Any) -> list[Prompt]:
    """A list that holds a number is one prompt, any other list is several.

    Errors:  BadRequest names the place; NotSupported for images and sound
    """
    if not isinstance(value, list) or any(_is_number(item) for item in value):
        return [_prompt(value, "prompt", tokenizer)]
    if len(value) == 0:
        raise BadRequest("prompt: found an empty list, expected at least one token or text", "prompt")
    return [_prompt(item, f"prompt[{i}]", tokenizer) for i, item in enumerate(value)]


def _prompt(value: Any, where: str, tokenizer: Any) -> Prompt:
    if isinstance(value, dict):
        if value.get("multimodal_data"):
            raise NotSupported(f"{where}.multimodal_data: this model takes text only (no --mmproj)", where)
        if not isinstance(value.get("prompt_string"), str):
            raise BadRequest(f"{where}: found an object without a text prompt_string, which it has to have", where)
        value = value["prompt_string"]
    if isinstance(value, str):
        ids = tokenizer.encode(value, add_special=True, parse_special=True)
        prompt = Prompt(ids, value, tokenizer.add_bos and ids[:1] == [tokenizer.bos])
    elif isinstance(value, list):
        prompt = Prompt(mixed_ids(value, where, tokenizer, add_special=True))
    else:
        raise BadRequest(
            f"{where}: found {value!r:.60}, expected a text, a list of tokens and texts, or an object", where
        )
    if len(prompt.ids) == 0:
        raise BadRequest(f"{where}: found no tokens, expected at least one", where)
    return prompt


def mixed_ids(
    value: str | list, where: str, tokenizer: Any, add_special: bool, parse_special: bool = True
) -> list[int]:
    """Token ids of a text, or of a list of ids and texts; special tokens are added only around a text that is first."""
    ids: list[int] = []
    for i, item in enumerate([value] if isinstance(value, str) else value):
        if isinstance(item, str):
            ids += tokenizer.encode(item, add_special=add_special and i == 0, parse_special=parse_special)
        elif not _is_number(item) or isinstance(item, float) or not 0 <= item < tokenizer.n_vocab:
            found = f"token {item}" if _is_number(item) else f"{item!r:.60}"
            raise BadRequest(
                f"{where}[{i}]: found {found}, expected a token from 0 to {tokenizer.n_vocab - 1} or a text", where
            )
        else:
            ids.append(item)
    return ids


def _is_number(item: Any) -> bool:
    return isinstance(item, int | float) and not isinstance(item, bool)
