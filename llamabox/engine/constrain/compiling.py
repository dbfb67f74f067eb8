"""From a Grammar to llguidance's form of it."""

import json
from collections.abc import Mapping

from llamabox.engine.constrain.gbnf import MAX_LENGTH, parse_gbnf
from llamabox.engine.constrain.grammar import Grammar
from llamabox.engine.constrain.lark import Resolve, to_lark
from llamabox.engine.constrain.lexemes import cut
from llamabox.engine.constrain.nodes import GrammarError, Rules, Token
from llamabox.engine.constrain.schema import Schema, schema_rules
from llamabox.engine.constrain.special_literals import with_special_tokens


def grammar_lark(grammar: Grammar, resolve: Resolve, special_texts: Mapping[str, int]) -> str:
    """The grammar as Lark.  special_texts: control tokens by their text

    Errors:  GrammarError
    """
    if len(grammar.source) > MAX_LENGTH:
        raise GrammarError(f"found {len(grammar.source)} characters, expected at most {MAX_LENGTH}")
    if grammar.kind == "lark":
        return with_special_tokens(grammar.source, special_texts)
    return to_lark(cut(_rules(grammar), followed=False), resolve)


def json_schema_lark(schema: Schema) -> str:
    """An expression for use inside a rule of a Lark grammar: the JSON texts that the schema allows.

    Errors:  GrammarError
    """
    return f"%lark {{\n{to_lark(cut(schema_rules(schema), followed=True), _no_token)}}}"


def check_schema(schema: Schema) -> None:
    """Errors:  GrammarError for a schema that cannot be made a grammar"""
    schema_rules(schema)


def _rules(grammar: Grammar) -> Rules:
    if grammar.kind == "gbnf":
        return parse_gbnf(grammar.source)
    try:
        schema = json.loads(grammar.source)
    except (ValueError, RecursionError) as error:
        raise GrammarError(f"found text that is no JSON: {error}") from None
    if not isinstance(schema, dict):
        raise GrammarError(f"found {type(schema).__name__}, expected a JSON schema, an object")
    return schema_rules(schema)


def _no_token(token: Token) -> int:
    raise GrammarError("found a token, expected a grammar without")
