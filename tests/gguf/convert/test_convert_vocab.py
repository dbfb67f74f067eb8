"""tokenizer.json files, made with the `tokenizers` package, converted; the ids must be those of `tokenizers`."""

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import llamabox
from llamabox.gguf import open_gguf
from llamabox.gguf.convert import ConvertError, convert_folder
from llamabox.gguf.convert.pretokenizers import LLAMA3, QWEN2, TEKKEN

FIXTURE = Path(__file__).parents[3] / "conformance" / "convert" / "llama"
TEXT = (Path(__file__).parents[3] / "docs" / "architecture.md").read_text()
CASES = [
    "Hello world, how's it going?",
    "x = [1234567, 89]  # numbers\n\n\tand\r\n tabs   ",
    "Über naïve façade, 日本語 ok 😀!",
    "we'll SEE 'LL  ...???",
    " leading and trailing ",
    "",
]


def split(pattern):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def digits_then_gpt2():
    digits = pre_tokenizers.Digits(individual_digits=True)
    return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])


PRE_TOKENIZERS = {
    "gpt-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "llama-bpe": lambda: split(LLAMA3),
    "qwen2": lambda: split(QWEN2),
    "tekken": lambda: split(TEKKEN),
    "refact": digits_then_gpt2,
}


def byte_level(pre_tokenizer):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([TEXT, *CASES], trainer)
    tokenizer.add_special_tokens([AddedToken("<|start|>"), AddedToken("<|end|>")])
    return tokenizer


def byte_fallback():
    """Llama 2's form: ▁ for spaces, unknown characters as <0x..> bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    specials = ["<unk>", "<s>", "</s>", *[f"<0x{i:02X}>" for i in range(256)]]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=specials[:3], show_progress=False)
    words = [part for part in TEXT.replace("\n", " ").split(" ") if part]  # no merge across spaces but leading ones
    tokenizer.train_from_iterator(words, trainer)
    data = json.loads(tokenizer.to_str())
    vocab = data["model"]["vocab"]
    for text in specials[3:]:
        vocab[text] = len(vocab)
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] in specials[:3]]
    return Tokenizer.from_str(json.dumps(data))


def convert(tokenizer, folder, **config):
    """Convert the fixture model's folder with this tokenizer beside it; returns llamabox's tokenizer."""
    shutil.copytree(FIXTURE, folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}", **config}))
    settings = json.loads((folder / "config.json").read_text())
    settings["vocab_size"] = tokenizer.get_vocab_size() + 3
    (folder / "config.json").write_text(json.dumps(settings))
    convert_folder(folder, folder / "model.gguf")
    return llamabox.load_tokenizer(folder / "model.gguf")


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_byte_level_bpe_gives_the_same_ids(name, tmp_path):
    theirs = byte_level(PRE_TOKENIZERS[name]())
    ours = convert(theirs, tmp_path / "model", eos_token="<|end|>", add_bos_token=False)
    for text in CASES:
        assert ours.encode(text, add_special=False) == theirs.encode(text).ids, text
    metadata = open_gguf(tmp_path / "model" / "model.gguf").metadata
    assert metadata["tokenizer.ggml.pre"] == name
    assert metadata["tokenizer.ggml.eos_token_id"] == theirs.token_to_id("<|end|>")
    assert metadata["tokenizer.chat_template"] == "{{ messages }}"
    assert metadata["tokenizer.ggml.tokens"][-1] == f"[PAD{theirs.get_vocab_size() + 2}]"
    assert ours.encode("<|start|>x", add_special=False, parse_special=True)[0] == theirs.token_to_id("<|start|>")


def test_byte_fallback_bpe_gives_the_same_ids(tmp_path):
    theirs = byte_fallback()
    ours = convert(theirs, tmp_path / "model", bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    for text in CASES[:-1]:
        assert ours.encode(text, add_special=False) == theirs.encode(text).ids, text


def test_bos_of_a_post_processor_is_added(tmp_path):
    theirs = byte_level(PRE_TOKENIZERS["llama-bpe"]())
    theirs.post_processor = processors.TemplateProcessing(
        single="<|start|> $A", pair="<|start|> $A $B", special_tokens=[("<|start|>", theirs.token_to_id("<|start|>"))]
    )
    ours = convert(theirs, tmp_path / "model", bos_token="<|start|>")
    assert ours.encode("hi") == theirs.encode("hi").ids


def test_an_unknown_pattern_is_shown(tmp_path):
    tokenizer = byte_level(split(r"\w+|\W+"))
    with pytest.raises(ConvertError, match=r"\\\\w\+"):
        convert(tokenizer, tmp_path / "model")
