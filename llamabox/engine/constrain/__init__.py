"""Constrained answers: grammars and thinking budgets, as masks over the vocabulary.

What makes masks of grammars (compiling.py, matching.py, and llguidance) is imported when the first grammar comes.
"""

from llamabox.engine.constrain.grammar import Grammar, ThinkingBudget, Trigger
from llamabox.engine.constrain.nodes import GrammarError

__all__ = ["Grammar", "GrammarError", "ThinkingBudget", "Trigger"]
