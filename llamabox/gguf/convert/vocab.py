"""tokenizer.json -> tokenizer.ggml.* keys: byte-level BPE (gpt2), BPE with byte fallback (llama), WordPiece (bert).

Special token ids, add_bos and add_eos, merges and the chat template are read by the `gguf` package's SpecialVocab.
"""

import logging
from typing import Any

import numpy as np

from llamabox.gguf.convert.checkpoint import Checkpoint, ConvertError
from llamabox.gguf.convert.pretokenizers import pre_tokenizer_name

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # tokenizer.ggml.token_type
PREFIX = "tokenizer.ggml."
CONTROL_TEXTS = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
CONTROL_SHAPES = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))  # released models mark some of these as plain text
log = logging.getLogger(__name__)


def vocab_keys(checkpoint: Checkpoint) -> dict[str, Any]:
    """All tokenizer keys; model "no_vocab" alone, with a warning, for a folder without tokenizer.json."""
    tokenizer, sentences = checkpoint.json("tokenizer.json"), {}
    if "type_vocab_size" in checkpoint.config:
        sentences = {PREFIX + "token_type_count": checkpoint.config["type_vocab_size"]}
    if tokenizer is None:
        log.warning("%s has no tokenizer.json: the file will have no vocabulary", checkpoint.folder)
        return {PREFIX + "model": "no_vocab"} | sentences
    kind = tokenizer["model"].get("type", "BPE")
    if kind == "WordPiece":
        keys = wordpiece_keys(tokenizer, checkpoint.config)
    elif kind == "BPE" and tokenizer["model"].get("byte_fallback"):
        keys = sentencepiece_keys(tokenizer, checkpoint.config)
    elif kind == "BPE":
        keys = byte_level_keys(tokenizer, checkpoint.config)
    else:
        raise ConvertError(f"tokenizer.json: found a {kind} model, expected BPE or WordPiece")
    return keys | sentences | special_keys(checkpoint, len(keys[PREFIX + "tokens"]))


def byte_level_keys(tokenizer: dict, config: dict) -> dict[str, Any]:
    """GPT-2's kind: tokens are bytes written as printable characters."""
    texts, types = token_list(tokenizer, config)
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    return {
        PREFIX + "model": "gpt2",
        PREFIX + "pre": pre_tokenizer_name(tokenizer),
        PREFIX + "tokens": texts,
        PREFIX + "token_type": np.array(types, np.int32),
        PREFIX + "merges": merges,
    }


def sentencepiece_keys(tokenizer: dict, config: dict) -> dict[str, Any]:
    """Llama 2's kind. tokenizer.json holds merges, not scores: a score is minus the rank of the token's first merge."""
    texts, types = token_list(tokenizer, config)
    ids = {text: i for i, text in enumerate(texts)}
    scores = np.full(len(texts), -1e6, np.float32)
    for rank, merge in enumerate(tokenizer["model"]["merges"]):
        left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
        i = ids.get(left + right)
        if i is not None and scores[i] == -1e6:
            scores[i] = -float(rank)
    for i, text in enumerate(texts):
        if types[i] == NORMAL and len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            types[i] = BYTE
        if text == tokenizer["model"].get("unk_token"):
            types[i] = UNKNOWN
    return {
        PREFIX + "model": "llama",
        PREFIX + "pre": "default",
        PREFIX + "tokens": texts,
        PREFIX + "scores": scores,
        PREFIX + "token_type": np.array(types, np.int32),
        PREFIX + "add_space_prefix": _adds_space_prefix(tokenizer),
    }


def wordpiece_keys(tokenizer: dict, config: dict) -> dict[str, Any]:
    """BERT's kind: GGUF marks the beginning of words with ▁ instead of their continuation with ##."""
    texts, types = token_list(tokenizer, config)

    def phantom(text: str, type: int) -> str:
        if type == CONTROL:
            return text
        return text[2:] if text.startswith("##") else "\u2581" + text

    return {
        PREFIX + "model": "bert",
        PREFIX + "pre": "jina-v2-en",  # the name that released files carry; WordPiece itself has no pattern
        PREFIX + "tokens": [phantom(text, type) for text, type in zip(texts, types, strict=True)],
        PREFIX + "token_type": np.array(types, np.int32),
    }


def token_list(tokenizer: dict, config: dict) -> tuple[list[str], list[int]]:
    """Texts and types by id; the rest of the model's vocab_size is [PADn], unused."""
    by_id = {id: (text, NORMAL) for text, id in tokenizer["model"]["vocab"].items()}
    for added in tokenizer.get("added_tokens", []):
        by_id[added["id"]] = _added(added)
    size = config.get("vocab_size", max(by_id) + 1)
    if max(by_id) >= size:
        raise ConvertError(f"tokenizer.json: found token id {max(by_id)}, expected less than vocab_size {size}")
    rows = [by_id.get(i, (f"[PAD{i}]", UNUSED)) for i in range(size)]
    return [text for text, _ in rows], [type for _, type in rows]


def _added(added: dict) -> tuple[str, int]:
    text = added["content"]
    looks_special = text in CONTROL_TEXTS or any(text.startswith(a) and text.endswith(b) for a, b in CONTROL_SHAPES)
    if added.get("special") or looks_special:
        return text, CONTROL
    return text.replace("\u2581", " "), USER_DEFINED


def _adds_space_prefix(tokenizer: dict) -> bool:
    """True when the normaliser or the pre-tokenizer puts a space before the text."""
    parts = [tokenizer.get("normalizer") or {}, tokenizer.get("pre_tokenizer") or {}]
    parts += [p for part in parts for p in part.get("normalizers", []) + part.get("pretokenizers", [])]
    prepends = any(p.get("type") == "Prepend" for p in parts)
    metaspace = any(p.get("type") == "Metaspace" and p.get("prepend_scheme", "always") != "never" for p in parts)
    return prepends or metaspace


def special_keys(checkpoint: Checkpoint, n_vocab: int) -> dict[str, Any]:
    """Ids of the special tokens, whether to add them, the chat template."""
    from gguf import SpecialVocab

    special = SpecialVocab(checkpoint.folder, load_merges=False, n_vocab=n_vocab)
    names = {
        "bos": "bos",
        "eos": "eos",
        "unk": "unknown",
        "sep": "seperator",
        "pad": "padding",
        "cls": "cls",
        "mask": "mask",
    }
    keys: dict[str, Any] = {}
    for name, id in special.special_token_ids.items():
        keys[f"{PREFIX}{names.get(name, name)}_token_id"] = id
    for name, add in special.add_special_token.items():
        keys[f"{PREFIX}add_{name}_token"] = add
    template = special.chat_template
    if isinstance(template, str):
        keys["tokenizer.chat_template"] = template
    elif template is not None:
        for entry in template:
            suffix = "" if entry["name"] == "default" else "." + entry["name"]
            keys[f"tokenizer.chat_template{suffix}"] = entry["template"]
    return keys
