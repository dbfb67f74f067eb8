"""Constrained answers: grammars and thinking budgets, as masks over the vocabulary."""

from llamabox.engine.constrain.grammar import Grammar, ThinkingBudget, Trigger
from llamabox.engine.constrain.schema import json_schema_lark

__all__ = ["Grammar", "ThinkingBudget", "Trigger", "json_schema_lark"]
