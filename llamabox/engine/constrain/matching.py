"""llguidance's matcher for one grammar: built within bounds, its errors made ours."""

from functools import cache

import llguidance

from llamabox.engine.constrain.nodes import GrammarError
from llamabox.engine.constrain.vocabulary import Vocabulary

OPTIONS_MARK = "%llguidance"
MAX_LENGTH = 500_000  # of a grammar in Lark


def build_matcher(lark: str, vocabulary: Vocabulary) -> llguidance.LLMatcher:
    """A matcher at the beginning of a sentence.  lark: see compiling.grammar_lark

    Errors:  GrammarError
    """
    if len(lark) > MAX_LENGTH:
        raise GrammarError(f"it is too large: found {len(lark)} characters of Lark, expected at most {MAX_LENGTH}")
    if OPTIONS_MARK not in lark:
        lark = f'{OPTIONS_MARK} {{"no_forcing": true}}\n{lark}'  # any tokens may spell a text that is certain to come
    source = llguidance.LLMatcher.grammar_from_lark(lark)
    matcher = llguidance.LLMatcher(vocabulary.tokenizer, source, log_level=0, limits=limits())
    if matcher.is_error():
        raise GrammarError(f"it cannot be compiled: {matcher.get_error()[:400]}")
    return matcher


@cache
def limits() -> llguidance.LLParserLimits:
    """Bounds on what one grammar may cost, to build and for each token; past them there is an error."""
    return llguidance.LLParserLimits(verbose_errors=False)
