"""Which llama.cpp pre-tokenizer name a tokenizer.json asks for, told by its own splitting patterns."""

from llamabox.gguf.convert.checkpoint import ConvertError

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = "gpt-2"  # ByteLevel's own pattern
DIGITS = "digits"  # each digit apart

# the patterns in their order -> name
NAMES = {
    (LLAMA3,): "llama-bpe",
    (QWEN2,): "qwen2",
    (TEKKEN,): "tekken",
    (GPT2,): "gpt-2",
    (DIGITS, GPT2): "refact",
}


def pre_tokenizer_name(tokenizer: dict) -> str:
    """The name for tokenizer.ggml.pre; ConvertError shows patterns that are not in the table."""
    patterns = tuple(_patterns(tokenizer.get("pre_tokenizer") or {}))
    if patterns not in NAMES:
        raise ConvertError(f"tokenizer.json: pre-tokenizer patterns {patterns!r} are none of those known: {NAMES!r}")
    return NAMES[patterns]


def _patterns(part: dict):
    kind = part.get("type")
    if kind == "Sequence":
        for inner in part["pretokenizers"]:
            yield from _patterns(inner)
    elif kind == "Split":
        yield part["pattern"].get("Regex", part["pattern"].get("String"))
    elif kind == "Digits" and part.get("individual_digits"):
        yield DIGITS
    elif kind == "ByteLevel":
        if part.get("use_regex", True):
            yield GPT2
    elif kind is not None:
        yield kind
