"""Left recursion, as llama.cpp finds and refuses it.

It looks for rules that begin with themselves, and takes a rule for empty only where one of its alternatives is: so a
repetition of a group that is empty through another rule passes, and it passes here.
"""

from llamabox.engine.constrain.nodes import EMPTY, Alt, GrammarError, Node, Ref, Repeat, Rules, Seq


def check_left_recursion(rules: Rules) -> None:
    """Errors:  GrammarError names the rule."""
    empty = {name for name, node in rules.items() if _is_empty(node)}
    edges = {}
    for name, node in rules.items():
        edges[name], _ = _leftmost(node, empty, name)
    done: set[str] = set()
    for name in rules:
        _search(name, edges, done)


def _search(start: str, edges: dict[str, set[str]], done: set[str]) -> None:
    """Depth first from one rule, without recursion of Python's."""
    path, on_path = [(start, iter(edges[start]))], {start}
    while path:
        name, rest = path[-1]
        following = next((n for n in rest if n not in done), None)
        if following is None:
            path.pop()
            on_path.discard(name)
            done.add(name)
        elif following in on_path:
            raise GrammarError(f"found the rule {following!r:.80} at its own beginning (left recursion)")
        else:
            path.append((following, iter(edges[following])))
            on_path.add(following)


def _is_empty(node: Node) -> bool:
    return EMPTY in node.items if isinstance(node, Alt) else node is EMPTY


def _leftmost(node: Node, empty: set[str], rule: str) -> tuple[set[str], bool]:
    """The rules that a node may begin with, and whether what follows it may be the beginning too."""
    if isinstance(node, Ref):
        return {node.name}, node.name in empty
    if isinstance(node, Seq):
        found: set[str] = set()
        for item in node.items:
            names, passes = _leftmost(item, empty, rule)
            found |= names
            if not passes:
                return found, False
        return found, True
    if isinstance(node, Alt):
        return set().union(*(_leftmost(item, empty, rule)[0] for item in node.items)), _is_empty(node)
    if isinstance(node, Repeat):
        names, passes = _leftmost(node.item, empty, rule)
        if passes and node.most is None:
            raise GrammarError(f"the rule {rule!r:.80} repeats without end what may be empty (left recursion)")
        return names, passes or node.least == 0
    return set(), False
