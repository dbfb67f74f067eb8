"""JSON schemas with llama.cpp's meaning."""

import json
from typing import Any


def json_schema_lark(schema: dict[str, Any]) -> str:
    """An expression for use inside a rule of a Lark grammar: the JSON values that the schema allows."""
    return "%json " + json.dumps(schema)
