"""Constraints: makes the Constraint of a request; vocabulary and compiled grammars are kept. Any thread."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from llamabox.engine.constrain.constraint import Constraint
from llamabox.engine.constrain.grammar import Grammar, ThinkingBudget, Trigger
from llamabox.engine.constrain.nodes import GrammarError
from llamabox.engine.constrain.thinking import ThinkingLimit
from llamabox.engine.constrain.triggers import TriggerSearch

if TYPE_CHECKING:
    import llguidance

    from llamabox.engine.constrain.mask import GrammarMask
    from llamabox.engine.constrain.vocabulary import Vocabulary

MAX_KEPT = 16  # compiled grammars
MAX_TRIGGERS = 64


class Constraints:
    """For one vocabulary, which is read when the first grammar comes.  pieces: gives the bytes of each token"""

    def __init__(self, tokenizer: Any, pieces: Callable[[], Sequence[bytes]]):
        self._tokenizer, self._pieces = tokenizer, pieces
        self._lock = Lock()
        self._vocabulary: Vocabulary | None = None
        self._matcher = lru_cache(MAX_KEPT)(self._build)

    def constraint(self, grammar: Grammar | None, budget: ThinkingBudget | None) -> Constraint | None:
        """None when there is nothing to hold to.

        Errors:  GrammarError
        """
        if grammar is None and budget is None:
            return None
        new_mask, search = None, None
        if grammar is not None:
            matcher = self._matcher(grammar.kind, grammar.source)
            new_mask = partial(self._new_mask, matcher)
            search = TriggerSearch(_patterns(grammar.triggers)) if grammar.triggers else None
        thinking = None if budget is None else ThinkingLimit(budget, self._ids(budget.message + budget.end))
        return Constraint(self._pieces(), new_mask, search, thinking)

    def _new_mask(self, matcher: "llguidance.LLMatcher") -> "GrammarMask":
        from llamabox.engine.constrain.mask import GrammarMask

        return GrammarMask(matcher.deep_copy(), self._vocabulary)

    def _build(self, kind: str, source: str) -> "llguidance.LLMatcher":
        from llamabox.engine.constrain.compiling import grammar_lark
        from llamabox.engine.constrain.matching import build_matcher
        from llamabox.engine.constrain.vocabulary import Vocabulary

        with self._lock:
            if self._vocabulary is None:
                t = self._tokenizer
                self._vocabulary = Vocabulary(self._pieces(), t.control_ids, t.end_ids, self._ids)
        lark = grammar_lark(Grammar(kind, source), self._vocabulary.token_id, self._vocabulary.special_texts)
        return build_matcher(lark, self._vocabulary)

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special=False, parse_special=True)


def _patterns(triggers: Sequence[Trigger]) -> list[re.Pattern[str]]:
    if len(triggers) > MAX_TRIGGERS:
        raise GrammarError(f"found {len(triggers)} triggers, expected at most {MAX_TRIGGERS}")
    try:
        return [re.compile(trigger.pattern) for trigger in triggers]
    except re.error as error:
        raise GrammarError(f"found a trigger that is no regular expression: {error}") from None
