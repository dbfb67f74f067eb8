"""Every pre-tokenizer name that llama.cpp knows, with its splitting stages and its habits.

The patterns are those of the models' tokenizer.json files in the form llama.cpp runs them; where that form splits
differently from the original (it folds letter cases and marks into classes), its form is followed.
"""

from dataclasses import dataclass

from llamabox.tokenizer.errors import TokenizerError
from llamabox.tokenizer.stages import DigitTriples, Pattern, Stage, Thousands, TrailingSpace, classes, points

CONTRACTION = r"'(?:[sdmt]|ll|ve|re)"
CONTRACTION_ANY_CASE = r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])"
WORD = r"[^\r\n\p{L}\p{N}]?[\p{L}]+"
MARKED_WORD = r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+"
SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
SYMBOLS_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
NEWLINES = r"\s*[\r\n]+"
SPACES = r"\s+(?!\S)|\s+"
# Letters by case, where only ASCII has one: [upper or other]* [lower or other]+ and the reverse.
CASED_WORD = r"[^\r\n\p{L}\p{N}]?[A-Z\xd2\xd6]*[a-z\xd2\xd6]+"
CAPITAL_WORD = r"[^\r\n\p{L}\p{N}]?[A-Z\xd2\xd6]+[a-z\xd2\xd6]*"
MARKED_CASED_WORD = r"[^\r\n\p{L}\p{N}]?[A-Z\xd2\xd4\xd6]*[a-z\xd2\xd4\xd6]+"
MARKED_CAPITAL_WORD = r"[^\r\n\p{L}\p{N}]?[A-Z\xd2\xd4\xd6]+[a-z\xd2\xd4\xd6]*"
PUNCTUATED_WORD = r"[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"


def one_of(*patterns: str) -> Pattern:
    """A stage whose alternatives together match any character."""
    return classes("|".join(patterns), complete=True)


NUMBERS, NUMBER = classes(r"[\p{N}]+"), classes(r"[\p{N}]")
UP_TO_3_DIGITS = classes(r"[\p{N}]{1,3}")
CHINESE_JAPANESE = points("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+")
LOW_ASIAN = points("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+")
LINES = points(r"[^\n]+|\n+")
SENTENCE_BREAKS = points(" ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+")
GPT2 = one_of(CONTRACTION, r" ?[\p{L}]+", r" ?[\p{N}]+", r" ?[^\s\p{L}\p{N}]+", SPACES)
QWEN2 = one_of(CONTRACTION_ANY_CASE, WORD, r"[\p{N}]", SYMBOLS, NEWLINES, SPACES)
LLAMA3 = one_of(CONTRACTION_ANY_CASE, WORD, r"[\p{N}]{1,3}", SYMBOLS, NEWLINES, SPACES)
CODE_OR_WORD = classes("|".join([PUNCTUATED_WORD, r" ?[\p{P}\p{S}]+[\r\n]*", NEWLINES, SPACES]))
# The cased letters of Latin, Greek, Cyrillic and a few more scripts, as listed in DeepSeek LLM's tokenizer.
CASED_LETTERS = (
    "A-Za-z\xb5\xc0-\xd6\xd8-\xf6\xf8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-"
    "\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5"
    "\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-"
    "\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-"
    "\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115"
    "\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-"
    "\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-"
    "\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-"
    "\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
ASIAN_SCRIPTS = (
    "\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff"
    "\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff"
)
YOUTU_SCRIPTS = (
    "[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f"
    "\ufe30-\ufe4f]+|[\u3105-\u312f]+|[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
)

STAGES: dict[str, tuple[Stage, ...]] = {
    "default": (classes(r"[\p{P}$+<=>^~|]+"), GPT2, NUMBERS, points("[0-9][0-9][0-9]")),
    "llama3": (LLAMA3,),
    "jais2": (
        one_of(
            CONTRACTION_ANY_CASE, WORD, r"[\p{N}]{1,3}", SYMBOLS,
            r"(?<![^\S\r\n])\s*[\r\n]+",  # NEWLINES, not tried again inside a run of spaces (that would be quadratic)
            *(rf"\s{{{n}}}(?!\S)" for n in (512, 256, 128, 64, 32, 16, 8, 4)), r"\s{1,2}(?!\S)", r"\s",
        ),
    ),
    "deepseek-llm": (
        points(r"[\r\n]"), points(rf"\s?[{CASED_LETTERS}]+"),
        points("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"),
        TrailingSpace(), LOW_ASIAN, NUMBERS,
    ),
    "deepseek3": (UP_TO_3_DIGITS, CHINESE_JAPANESE, CODE_OR_WORD),
    "spark2_5": (
        UP_TO_3_DIGITS, CHINESE_JAPANESE,
        classes("|".join([PUNCTUATED_WORD, r" ?[\p{P}\p{S}]+|[\r\n]", SPACES])), NUMBER,
    ),
    "youtu": (
        points(YOUTU_SCRIPTS),
        one_of(f"{MARKED_WORD}(?:{CONTRACTION_ANY_CASE})?", r"[\p{N}]", SYMBOLS_SLASH, NEWLINES, SPACES),
    ),
    "deepseek-coder": (points(r"[\r\n]"), classes(r"\s?[\p{L}]+"), classes(r"\s?[\p{P}]+"), LOW_ASIAN, NUMBER),
    "falcon": (classes(r"[\p{P}$+<=>^~|`]+"), GPT2, points("[0-9][0-9][0-9]")),
    "starcoder": (NUMBER, GPT2),
    "gpt2": (GPT2,),
    "qwen2": (QWEN2,),
    "qwen35": (
        one_of(
            CONTRACTION_ANY_CASE, MARKED_WORD, r"[\p{N}]", r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", NEWLINES, SPACES
        ),
    ),
    "bloom": (SENTENCE_BREAKS,),
    "viking": (SENTENCE_BREAKS, NUMBER),
    "tekken": (one_of(CASED_WORD, CAPITAL_WORD, r"[\p{N}]", SYMBOLS_SLASH, NEWLINES, SPACES),),
    "chameleon": (
        points("<sentinel:[0-9]+>"), points("IMGIMG[A-I]{1,4}Z"), points(r"[\t\n]|    |  "), NUMBER,
        classes(r"[\p{P}!-/:-@\[-`{-~]"), GPT2,
    ),
    "gpt-4o": (
        one_of(
            f"{CASED_WORD}(?:{CONTRACTION_ANY_CASE})?", f"{CAPITAL_WORD}(?:{CONTRACTION_ANY_CASE})?", r"[\p{N}]{1,3}",
            SYMBOLS_SLASH, NEWLINES, SPACES,
        ),
    ),
    "granite-embed-multi": (
        one_of(
            f"{MARKED_CASED_WORD}(?:{CONTRACTION_ANY_CASE})?", f"{MARKED_CAPITAL_WORD}(?:{CONTRACTION_ANY_CASE})?",
            r"[\p{N}]{1,3}", SYMBOLS_SLASH, NEWLINES, SPACES,
        ),
    ),
    "tiny-aya": (
        DigitTriples(),
        one_of(f"{MARKED_WORD}(?:{CONTRACTION_ANY_CASE})?", r"[\p{N}]{1,3}", SYMBOLS_SLASH, NEWLINES, SPACES),
    ),
    "kimi-k2": (
        one_of(
            r"[\p{Han}]+", rf"[^\r\n\p{{L}}\p{{N}}]?[A-Za-z\xd2]+(?:{CONTRACTION_ANY_CASE})?", r"[\p{N}]{1,3}", SYMBOLS,
            NEWLINES, SPACES,
        ),
    ),
    "superbpe": (NUMBERS, Thousands()),
    "bailingmoe": (one_of(CONTRACTION_ANY_CASE, WORD, r"[\p{N}]", SYMBOLS, r"\s*[\r\n]", SPACES),),
    "seed-coder": (
        one_of(CONTRACTION_ANY_CASE, WORD, r"[\p{N}]", r" ?[^\s\p{L}\p{N}]+", NEWLINES, SPACES),
    ),
    "ufakzeka": (one_of(WORD, r"[\p{N}]", SYMBOLS, NEWLINES, SPACES),),
    "afmoe": (DigitTriples(), points(f"[{ASIAN_SCRIPTS}]+"), CODE_OR_WORD),
    "laguna": (LINES, QWEN2),
    "exaone-moe": (
        one_of(
            CONTRACTION_ANY_CASE, r"[^\r\n\p{L}\p{N}]?[\p{L}][\p{L}\p{M}]*(?: [\p{L}][\p{L}\p{M}]*)*", r"[\p{N}]",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]?", r"\s*[\r\n]", SPACES,
        ),
    ),
    "lines": (LINES,),
    "minicpm5": (UP_TO_3_DIGITS, one_of(CONTRACTION_ANY_CASE, WORD, r"[\p{N}]+", SYMBOLS, NEWLINES, SPACES)),
    "whitespace": (points(r"\S+"),),
}  # fmt: skip


@dataclass(frozen=True)
class PreTokenizer:
    """What a pre-tokenizer name stands for.

    stages: the key into STAGES.
    ignore_merges: a word that is a token as a whole is that token, whatever the merges say.
    add_bos, add_sep: the defaults of these flags. clear_bos: no default BOS id.
    clean_spaces: detokenisation drops spaces before punctuation.
    raw_bytes: words are merged as they are, with <0xNN> tokens for what is missing, not in GPT-2's byte alphabet.
    escape_spaces: a space becomes U+2581 before splitting.
    whole_newlines: a run of newlines that is a token is that token. force_bos: add_bos even where the file says no.
    """

    stages: str
    ignore_merges: bool = False
    add_bos: bool = False
    add_sep: bool = False
    clear_bos: bool = False
    clean_spaces: bool = True
    raw_bytes: bool = False
    escape_spaces: bool = False
    whole_newlines: bool = False
    force_bos: bool = False


def _known() -> dict[str, PreTokenizer]:
    table = {}

    def add(names: str, stages: str, **habits):
        table.update(dict.fromkeys(names.split(), PreTokenizer(stages, **habits)))

    llama3 = "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano"
    add("default", "default")
    add(llama3, "llama3", ignore_merges=True, add_bos=True)
    add("dbrx smaug-bpe", "llama3")
    add("chatglm-bpe", "llama3", clear_bos=True)
    add("glm4 glm5", "llama3", clear_bos=True, ignore_merges=True)
    add("minicpm5", "minicpm5", ignore_merges=True)
    add("jais-2", "jais2")
    add("deepseek-llm", "deepseek-llm", clean_spaces=False)
    add("deepseek-coder", "deepseek-coder", clean_spaces=False)
    add("deepseek-v3 hunyuan-dense hy_v4 joyai-llm", "deepseek3", clean_spaces=False)
    add("spark2_5", "spark2_5", clean_spaces=False)
    add("youtu", "youtu", clean_spaces=False, ignore_merges=True)
    add("falcon", "falcon")
    add("starcoder refact codeshell exaone minerva-7b mellum2", "starcoder")
    add("command-r smollm", "starcoder", clean_spaces=False)
    add("gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert", "gpt2")
    add("mpt olmo jais exaone4", "gpt2")
    add("trillion granite-docling", "gpt2", clean_spaces=False)
    add("jina-v1-en jina-v2-code roberta-bpe", "gpt2", add_sep=True)
    add("qwen2 deepseek-r1-qwen kormo f2llmv2 hunyuan grok-2 solar-open", "qwen2", clean_spaces=False)
    add("stablelm2 megrez", "qwen2")
    add("qwen35", "qwen35", clean_spaces=False)
    add("poro-chat", "bloom", clean_spaces=False)
    add("bloom gpt3-finnish", "bloom")
    add("viking", "viking", clean_spaces=False)
    add("tekken", "tekken", clean_spaces=False, ignore_merges=True, add_bos=True)
    add("chameleon", "chameleon", clean_spaces=False, add_bos=True)
    add("gpt-4o llama4 kanana2 talkie minimax-m2", "gpt-4o", clean_spaces=False)
    add("granite-embed-multi-97m", "granite-embed-multi", clean_spaces=False, ignore_merges=True)
    add("tiny_aya cohere2moe", "tiny-aya", clean_spaces=False)
    add("superbpe", "superbpe", clean_spaces=False)
    add("bailingmoe bailingmoe2 llada-moe", "bailingmoe", clean_spaces=False)
    add("seed-coder", "seed-coder", clean_spaces=False)
    add("kimi-k2", "kimi-k2", clean_spaces=False)
    add("ufakzeka", "ufakzeka", clean_spaces=False)
    add("afmoe", "afmoe", clean_spaces=False)
    add("laguna", "laguna", clean_spaces=False)
    add("exaone-moe", "exaone-moe")
    spm_style = dict(raw_bytes=True, escape_spaces=True)
    add("gemma4 granite-embed-multi-311m", "lines", whole_newlines=True, force_bos=True, **spm_style)
    add("sarvam-moe", "lines", clean_spaces=False, **spm_style)
    add("whitespace", "whitespace", raw_bytes=True)
    return table


PRE_TOKENIZERS = _known()


def find_pretokenizer(name: str) -> PreTokenizer:
    """The pre-tokenizer called `name`; "" is "default". Errors: TokenizerError for a name that llama.cpp lacks too."""
    if name not in PRE_TOKENIZERS and name != "":
        known = ", ".join(sorted(PRE_TOKENIZERS))
        raise TokenizerError(f"tokenizer.ggml.pre: unknown pre-tokenizer {name!r}; known: {known}")
    return PRE_TOKENIZERS[name or "default"]
