"""Random texts that look for trouble: many scripts, odd spaces, digits, marks, controls, code, special tokens."""

import random
import unicodedata

WORDS = """
the of and to in is you that it he was for on are as with his they I at be this have from or one had by
word but not what all were we when your can said there use an each which she do how their if will up
other about out many then them these so some her would make like him into time has look two more write go
see number no way could people my than first water been call who oil its now find long down day did get
come made may part internationalization don't I'll we've he's they're it'd I'm DON'T I'LL We'Ve straße
Ünïcödé naïve façade Ελληνικά ΑΒΓαβγ Привет мир приветствие İstanbul ſ שלום עולם مرحبا بالعالم हिन्दी
भाषा বাংলা தமிழ் ภาษาไทย ລາວ ភាសាខ្មែរ မြန်မာ 你好世界 中文分词 日本語テキスト ひらがな カタカナ ﾊﾝｶｸ
한국어 형태소 ㅋㅋㅋ ㄅㄆㄇ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈𐌰
🚀🚀🚀 👨\u200d👩\u200d👧\u200d👦 👍🏽 🇩🇪 e\u0301 A\u030a ﬁ ﬀ ① Ⅷ ½ ² x² ㎏ Ａｂｃ １２３ \ufe0f ℵ ∑ ≠ → € £ ₿
""".split()
SPACES = [" "] * 12 + [
    "  ", "   ", "    ", "\t", "\n", "\n\n", "\r\n", " \n", "\n ", " \t ", "\xa0", "\u3000", "\u2003", "\x85",
    "\x0b", "\x0c", "\u2028", "\u200b", "\ufeff",
]  # fmt: skip
MARKS = [
    ".", ",", ";", ":", "!", "?", "'", "\"", "(", ")", "[", "]", "{", "}", "<", ">", "/", "\\", "|", "@", "#", "$",
    "%", "^", "&", "*", "-", "_", "=", "+", "~", "`", "...", "!!", "--", "==", "->", "://", "**", "```", "#!", "?!",
    "…", "。", "，", "、", "！", "「", "」", "؟", "،", "।", "–", "—", "’", "“",
]  # fmt: skip
CODE = [
    "def f(x):\n    return x**2", "for(int i=0;i<n;++i){", "</div>", "https://a.b/c?d=e&f=1", "a_b.cD2",
    "\tif x:\n\t\ty", "//!", "#include <x>", "x'll", "'S", "'tT", "IMGIMGABCZ", "<sentinel:12>", "\\n", "%20",
    "0x1F", "1e-5", "<dna>acgtACGTAC", "</dna>", "ACGTNN",
]  # fmt: skip
CONTROLS = [
    "\x00", "\x01", "\x1c", "\x1f", "\x7f", "\x80", "\xad", "\ue000", "\ufffd", "\U000e0001", "\U0010fffd",
]  # fmt: skip
# Assigned after Unicode 14, and code points that no version has assigned: tables of different versions differ here.
NEW = [
    "\u0cf3", "\U00010efd", "\U0001123f", "\U00011f02", "\U0001e4d0", "\U0001fae8", "\U0002ebf0", "\U00031350",
    "\U000105c0", "\U0001c800", "\u0378", "\ufa6e", "\U0002a6e0", "\U0003fffd",
]  # fmt: skip


def random_text(rng: random.Random, specials: list[str]) -> str:
    """One text of 1 to 40 parts; at times with the texts of special tokens in it."""
    sources = [
        (10, lambda: rng.choice(WORDS)),
        (12, lambda: rng.choice(SPACES)),
        (4, lambda: rng.choice(MARKS)),
        (3, lambda: str(rng.randrange(10 ** rng.randrange(1, 14)))),
        (1, lambda: rng.choice(CODE)),
        (1, lambda: rng.choice(CONTROLS)),
        (1, lambda: rng.choice(NEW)),
        (2, lambda: random_char(rng)),
        (1, lambda: rng.choice(WORDS).upper()),
        (1, lambda: rng.choice("a A 1 \n ! é 中 ́".split(" ")) * rng.randrange(1, 30)),
    ]
    if specials:
        sources.append((1, lambda: rng.choice(specials)))
    weights = [weight for weight, _ in sources]
    parts = [source() for _, source in rng.choices(sources, weights, k=rng.randrange(1, 41))]
    return "".join(parts)


def random_char(rng: random.Random) -> str:
    """A code point of any plane, most often of the first; never a surrogate."""
    while True:
        char = chr(rng.choice([rng.randrange(0x300), rng.randrange(0x10000), rng.randrange(0x110000)]))
        if unicodedata.category(char) != "Cs":
            return char
