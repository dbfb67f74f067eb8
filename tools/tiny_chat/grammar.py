"""A small text grammar: "(a|b|)" chooses one branch, innermost first, and noise makes what people type."""

import re
from pathlib import Path

PHRASES = Path(__file__).with_name("phrases")
_CHOICE = re.compile(r"\(([^()]*)\)")


def read_phrases(name):
    """The sections of a file of phrases/: {section: [line, ...]}; "#" starts a comment line, "[name]" a section."""
    sections, lines = {}, None
    for line in (PHRASES / name).read_text().splitlines():
        if line.startswith("["):
            lines = sections.setdefault(line[1:-1], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return sections


def read_words(lines):
    """All words of a section."""
    return " ".join(lines).split()


def all_words():
    """Every lower-case word of three letters or more in phrases/, once, in order."""
    text = " ".join(path.read_text() for path in sorted(PHRASES.glob("*.txt")))
    return sorted(set(re.findall(r"\b[a-z]{3,}\b", text)))


def spliced(rng, words):
    """The head of one word and the tail of another: spelled like language, meaning nothing."""
    head, tail = rng.choice(words), rng.choice(words)
    return head[: rng.randint(1, 4)] + tail[rng.randint(1, len(tail) - 1) :]


def either(lines):
    """One pattern that chooses among the lines of a section."""
    return f"({'|'.join(lines)})"


def expand(rng, pattern):
    """Replace every (a|b|c) in `pattern` by one of its branches, innermost first; runs of spaces become one."""
    while True:
        pattern, count = _CHOICE.subn(lambda m: rng.choice(m.group(1).split("|")), pattern)
        if count == 0:
            return re.sub(r" +", " ", pattern).strip()


def normalise(text):
    """Lower-case words of `text` joined by one space: what "the same question" means for the held-out check."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _typo(rng, word):
    """Swap, drop or double one inner letter of `word`."""
    if len(word) < 4 or not word.isalpha():
        return word
    i = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(3)
    if kind == 0:
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    return word[:i] + word[i + 1 :] if kind == 1 else word[:i] + word[i] + word[i:]


def _synonyms():
    """Each word of thesaurus.txt with the others of its groups."""
    table = {}
    for line in read_phrases("thesaurus.txt")["groups"]:
        group = line.split()
        for word in group:
            table.setdefault(word, []).extend(other.replace("-", " ") for other in group if other != word)
    return table


SYNONYMS = _synonyms()


def _reword(rng, text):
    """Replace some words by others of their group, and now and then drop one or swap two neighbours."""
    words = [
        rng.choice(SYNONYMS[word]) if word in SYNONYMS and rng.random() < 0.2 else word for word in text.split(" ")
    ]
    if len(words) > 4 and rng.random() < 0.25:
        del words[rng.randrange(len(words))]
    if len(words) > 4 and rng.random() < 0.1:
        i = rng.randrange(len(words) - 1)
        words[i], words[i + 1] = words[i + 1], words[i]
    return " ".join(words)


def noise(rng, text):
    """Vary words, case, punctuation, politeness and spelling of a question, as people do."""
    if rng.random() < 0.6:
        text = _reword(rng, text)
    if rng.random() < 0.12:
        text = rng.choice(("hey, ", "Hi, ", "Hello! ", "ok, ", "So ", "And ", "Quick question: ", "Sorry, ")) + text
    if rng.random() < 0.08:
        text = text.rstrip("?.! ") + rng.choice((" please", ", please", " thanks", " now"))
    if rng.random() < 0.10:
        words = text.split(" ")
        i = rng.randrange(len(words))
        words[i] = _typo(rng, words[i])
        text = " ".join(words)
    case = rng.random()
    if case < 0.25:
        text = text.lower()
    elif case < 0.95:
        text = text[:1].upper() + text[1:]
    end = rng.random()
    if end < 0.6 and text[-1].isalnum():
        return text + ("?" if end < 0.5 else ".")
    return text
