"""The rules of JSON itself that schemas refer to, and the formats of strings, as llama.cpp has them."""

from functools import cache

from llamabox.engine.constrain.gbnf import parse_gbnf
from llamabox.engine.constrain.nodes import Rules

SOURCE = r"""
root ::= value
space ::= | " " | "\n"{1,2} [ \t]{0,20}
value ::= object | array | string | number | boolean | null
object ::= "{" space (string ":" space value ("," space string ":" space value)*)? space "}"
array ::= "[" space (value ("," space value)*)? space "]"
string ::= "\"" char* "\""
char ::= [^"\\\x7F\x00-\x1F] | escape
escape ::= "\\" (["\\bfnrt] | "u" hex{4})
number ::= "-"? digits ("." [0-9]{1,16})? ([eE] [-+]? digits)?
integer ::= "-"? digits
digits ::= "0" | [1-9] [0-9]{0,15}
boolean ::= "true" | "false"
null ::= "null"
uuid ::= "\"" hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12} "\""
hex ::= [0-9a-fA-F]
date-string ::= "\"" date "\""
time-string ::= "\"" time "\""
date-time-string ::= "\"" date "T" time "\""
date ::= [0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [12] [0-9] | "3" [01])
time ::= hour ":" minute ":" minute ("." [0-9]{3})? ("Z" | [-+] hour ":" minute)
hour ::= [01] [0-9] | "2" [0-3]
minute ::= [0-5] [0-9]
"""
FORMATS = {
    "date": "date-string",
    "time": "time-string",
    "date-time": "date-time-string",
    **{name: "uuid" for name in ("uuid", "uuid1", "uuid2", "uuid3", "uuid4", "uuid5")},
}


@cache
def json_rules() -> Rules:
    """Rules by name; nobody changes them."""
    return parse_gbnf(SOURCE)
