"""How rules lead into each other, and how deep: llguidance follows them by recursion on the machine's stack."""

from collections.abc import Mapping

from llamabox.engine.constrain.nodes import Chars, Except, GrammarError, Lexeme, Node, Ref, Repeat, Text, Token

MAX_RULES, MAX_RULE_DEPTH = 8000, 300


def references(node: Node) -> dict[str, None]:
    """The names of the rules that a node refers to itself, in order; not those inside a lexeme."""
    if isinstance(node, Ref):
        return {node.name: None}
    if isinstance(node, (Chars, Text, Token, Lexeme)):
        return {}
    found: dict[str, None] = {}
    for item in (node.item,) if isinstance(node, (Repeat, Except)) else node.items:
        found |= references(item)
    return found


def inner_first(rules: Mapping[str, Node]) -> list[str]:
    """The rules that "root" leads to, each behind those it leads to itself, as far as they run in no circle.

    Errors:  GrammarError for more or deeper ones than a grammar may have
    """
    if len(rules) > MAX_RULES:
        raise GrammarError(f"found {len(rules)} rules, expected at most {MAX_RULES}")
    found, seen = [], {"root"}
    path = [("root", iter(references(rules["root"])))]
    while path:
        name, rest = path[-1]
        following = next((n for n in rest if n not in seen), None)
        if following is None:
            found.append(name)
            path.pop()
            continue
        seen.add(following)
        path.append((following, iter(references(rules[following]))))
        if len(path) > MAX_RULE_DEPTH:
            raise GrammarError(f"found rules that lead into each other more than {MAX_RULE_DEPTH} deep")
    return found
