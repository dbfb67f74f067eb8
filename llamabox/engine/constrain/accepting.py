"""Whether a text is a sentence of a grammar, without a model: the vocabulary is that of single bytes."""

import json
from functools import cache, lru_cache
from typing import Any

import llguidance

from llamabox.engine.constrain.compiling import grammar_lark
from llamabox.engine.constrain.grammar import Grammar
from llamabox.engine.constrain.matching import build_matcher
from llamabox.engine.constrain.nodes import GrammarError
from llamabox.engine.constrain.vocabulary import Vocabulary


def accepts_gbnf(grammar: str, text: str) -> bool:
    """Whether the whole text is a sentence of a GBNF grammar.

    Errors:  ValueError when the grammar cannot be built; one that names tokens needs a vocabulary, and cannot
    """
    return _accepts(Grammar("gbnf", grammar), text)


def accepts_json_schema(schema: dict[str, Any], text: str) -> bool:
    """Whether the whole text is a JSON text that a schema allows, with llama.cpp's meaning of schemas.

    Errors:  ValueError when the schema cannot be made a grammar
    """
    if not isinstance(schema, dict):
        raise GrammarError(f"schema: found {type(schema).__name__}, expected an object")
    return _accepts(Grammar("json_schema", json.dumps(schema)), text)


def check_grammar(grammar: Grammar) -> None:
    """Whether a grammar can be built, as far as that can be told without its vocabulary.  Errors:  GrammarError"""
    build_matcher(grammar_lark(grammar, lambda token: 0, {}), _bytes_only())


def _accepts(grammar: Grammar, text: str) -> bool:
    matcher = _matcher(grammar).deep_copy()
    ids = _bytes_only().byte_ids(text.encode("utf-8", "surrogatepass"))
    n_taken = matcher.try_consume_tokens(ids)
    if matcher.is_error():
        raise GrammarError(f"it cannot be followed: {matcher.get_error()[:400]}")
    return n_taken == len(ids) and matcher.is_accepting()


@lru_cache(maxsize=8)
def _matcher(grammar: Grammar) -> llguidance.LLMatcher:
    vocabulary = _bytes_only()
    return build_matcher(grammar_lark(grammar, vocabulary.token_id, {}), vocabulary)


@cache
def _bytes_only() -> Vocabulary:
    return Vocabulary([])
