"""Normalising a text by the rules of a charsmap, quickly where there is nothing to do."""

from llamabox.tokenizer.charsmap import ROOT, Charsmap

MOST_KEPT = 100_000  # pairs of characters remembered


class Rewriter:
    """Replaces, from left to right, the longest string that has a rule.

    kept: texts (user-defined tokens) of which even a beginning is kept as it is, before any rule is looked at.
    """

    def __init__(self, rules: Charsmap, kept: list[str]):
        self._rules = rules
        self._beginnings = {text[:length] for text in kept for length in range(1, len(text) + 1)}
        self._is_plain = PlainPairs(rules, self._beginnings)

    def rewrite(self, text: str) -> str:
        """The normalised text."""
        is_plain = self._is_plain
        places = [at for at, pair in enumerate(zip(text, text[1:] + "\0", strict=True)) if not is_plain[pair]]
        done = []
        at = 0
        for place in places:
            if place >= at:
                length, replacement = self._at(text, place)
                done += [text[at:place], replacement]
                at = place + length
        return "".join(done) + text[at:]

    def _at(self, text: str, start: int) -> tuple[int, str]:
        """How many characters from `start` are replaced, and by what."""
        end = start
        while text[start : end + 1] in self._beginnings and end < len(text):
            end += 1
        if end > start:
            return end - start, text[start:end]
        return self._rules.longest(text, start) or (1, text[start])


class PlainPairs(dict):
    """(character, next character) -> whether the first one certainly stays as it is; filled as pairs come."""

    def __init__(self, rules: Charsmap, beginnings: set[str]):
        super().__init__()
        self._rules, self._beginnings = rules, beginnings

    def __missing__(self, pair: tuple[str, str]) -> bool:
        if len(self) >= MOST_KEPT:
            self.clear()
        self[pair] = is_plain = self._stays(*pair)
        return is_plain

    def _stays(self, char: str, following: str) -> bool:
        if char in self._beginnings:
            return False
        unit = self._rules.step(ROOT, char)
        if unit is None:
            return True
        return self._rules.replacement(unit) is None and self._rules.step(unit, following) is None
