"""Constrained answers: grammars and thinking budgets, as masks over the vocabulary."""

from llamabox.engine.constrain.accepting import check_grammar
from llamabox.engine.constrain.compiling import check_schema, json_schema_lark
from llamabox.engine.constrain.grammar import Grammar, ThinkingBudget, Trigger
from llamabox.engine.constrain.nodes import GrammarError

__all__ = ["Grammar", "GrammarError", "ThinkingBudget", "Trigger", "check_grammar", "check_schema", "json_schema_lark"]
