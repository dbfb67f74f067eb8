"""Grammars without a model: is a text a sentence of one?"""

from llamabox.engine.constrain.accepting import accepts_gbnf, accepts_json_schema

__all__ = ["accepts_gbnf", "accepts_json_schema"]
