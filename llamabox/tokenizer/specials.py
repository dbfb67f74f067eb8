"""Which tokens are special: ids from the metadata, and texts by which llama.cpp finds those that files leave out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from llamabox.tokenizer.errors import TokenizerError
from llamabox.tokenizer.vocab import PREFIX, Kind, Vocab

# Metadata names of each special token; where a file has several, the last one counts.
KEYS = {
    "bos": ("bos_token_id",),
    "eos": ("eos_token_id",),
    "eot": ("eot_token_id",),
    "eom": ("eom_token_id",),
    "unk": ("unknown_token_id",),
    "sep": ("seperator_token_id",),
    "pad": ("padding_token_id",),
    "mask": ("mask_token_id",),
    "fim_pre": ("fim_pre_token_id", "prefix_token_id"),
    "fim_suf": ("fim_suf_token_id", "suffix_token_id"),
    "fim_mid": ("fim_mid_token_id", "middle_token_id"),
    "fim_pad": ("fim_pad_token_id",),
    "fim_rep": ("fim_rep_token_id",),
    "fim_sep": ("fim_sep_token_id",),
}

# Texts that stand for a special token without an id in the metadata. The first present one wins; they become CONTROL.
# (llama.cpp takes the first in the order of a hash table, which is no order to copy.)
TEXTS = {
    "eot": (
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>", "_<EOT>",
        "[EOT]", "<｜end▁of▁sentence｜>", "<end_of_utterance>",
    ),
    "eom": ("<|eom_id|>",),
    "fim_pre": (
        "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
        "<|prefix|>",
    ),
    "fim_suf": (
        "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
        "<|suffix|>",
    ),
    "fim_mid": (
        "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
        "<|middle|>",
    ),
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}  # fmt: skip

# Texts that end a generation in any vocabulary that has them; they become CONTROL too.
END_TEXTS = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
    "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[",
)  # fmt: skip
# gpt-oss: USER_DEFINED whatever the file says
ALWAYS_SHOWN = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")

# A mask token takes the space before it along in these models.
MASK_STRIPS = ("jina-v2-de", "jina-v2-es", "jina-v2-code"), ("nomic-bert-moe", "jina-bert-v3")


@dataclass
class Specials:
    """Ids by the names of KEYS (None where there is none), and every end-of-generation token."""

    ids: dict[str, int | None]
    end_ids: set[int] = field(default_factory=set)


def find_specials(vocab: Vocab, defaults: Mapping[str, int | None]) -> Specials:
    """Find the special tokens of `vocab` and set the kinds that follow from them, as llama.cpp does on load.

    defaults: ids for names of KEYS, used where the file has none or one beyond the vocabulary.
    """
    specials = Specials({name: _given_id(vocab, name, defaults.get(name)) for name in KEYS})
    for name, texts in TEXTS.items():
        if specials.ids[name] is None:
            specials.ids[name] = next((vocab.ids[text] for text in texts if text in vocab.ids), None)
            if specials.ids[name] is not None:
                vocab.kinds[specials.ids[name]] |= Kind.CONTROL
    for id in vocab.ids_of_kind(Kind.CONTROL):
        if "unused" in vocab.texts[id]:
            vocab.kinds[id] |= Kind.UNUSED
    _find_ends(vocab, specials)
    return specials


def _given_id(vocab: Vocab, name: str, default: int | None) -> int | None:
    id = default if default is not None and default < len(vocab.texts) else None
    for key in KEYS[name]:
        value = vocab.metadata.get(PREFIX + key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TokenizerError(f"{PREFIX}{key}: expected a token id, found {value!r}")
        if 0 <= value < len(vocab.texts):
            id = int(value)
    return id


def _find_ends(vocab: Vocab, specials: Specials) -> None:
    ends = specials.end_ids
    for text in END_TEXTS:
        if text in vocab.ids:
            ends.add(vocab.ids[text])
            vocab.kinds[vocab.ids[text]] |= Kind.CONTROL
    for text in ALWAYS_SHOWN:
        if text in vocab.ids:
            vocab.kinds[vocab.ids[text]] = Kind.USER_DEFINED
    named = (specials.ids[name] for name in ("eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep"))
    ends.update(id for id in named if id is not None)

    found = {vocab.texts[id]: id for id in ends}
    is_call = "<|call|>" in found or "<|calls|>" in found
    if "<|end|>" in found and is_call and ("<|return|>" in found or "<|flush|>" in found):
        ends.discard(found["<|end|>"])  # in gpt-oss and solar-open it ends a message, not the turn
        vocab.kinds[found["<|end|>"]] = Kind.USER_DEFINED
    if "</s>" in found and ("<|tool_response>" in found or "<|plamo:eos|>" in found):
        ends.discard(found["</s>"])  # gemma4 and PLaMo have it as plain text
        vocab.kinds[found["</s>"]] = Kind.NORMAL


def set_stripping(vocab: Vocab, partitioned: list[int]) -> None:
    """Mark the tokens that swallow white space beside them; no file says so, llama.cpp goes by names.

    partitioned: the ids that are cut out of text.
    """
    arch, name = (str(vocab.metadata.get(f"general.{key}", "")) for key in ("architecture", "name"))
    pre = vocab.text("pre")
    pre_parts, arch_parts = MASK_STRIPS
    if any(part in pre for part in pre_parts) or any(part in arch for part in arch_parts):
        _mark(vocab, ["<mask>"], Kind.LSTRIP)
    elif "phi-3" in name.lower() or "phi3" in name.lower():
        vocab.kinds[partitioned] |= np.uint16(Kind.RSTRIP)
        _mark(vocab, ["</s>"], Kind.RSTRIP)
        for text in ("<unk>", "<s>", "<|endoftext|>"):
            if text in vocab.ids:
                vocab.kinds[vocab.ids[text]] &= ~np.uint16(Kind.RSTRIP)
    elif "modern-bert" in name.lower():
        _mark(vocab, ["[MASK]"], Kind.LSTRIP)


def _mark(vocab: Vocab, texts: list[str], kind: int) -> None:
    for text in texts:
        if text in vocab.ids:
            vocab.kinds[vocab.ids[text]] |= kind
