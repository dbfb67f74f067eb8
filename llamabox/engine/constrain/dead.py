"""Take out of a grammar what can never match: classes such as [z-a], and whatever needs one of them."""

from llamabox.engine.constrain.nodes import EMPTY, Alt, Chars, GrammarError, Node, Ref, Repeat, Rules, Seq


def without_dead(rules: Rules) -> Rules:
    """The rules that are left. Errors:  GrammarError when "root" is none of them"""
    dead: set[str] = set()
    while more := {name for name, node in rules.items() if name not in dead and _is_dead(node, dead)}:
        dead |= more
    if "root" in dead:
        raise GrammarError("no text can ever match it: found an empty class of characters where one is needed")
    return {name: _alive(node, dead) for name, node in rules.items() if name not in dead}


def _is_dead(node: Node, dead: set[str]) -> bool:
    if isinstance(node, Chars):
        return not node.ranges
    if isinstance(node, Ref):
        return node.name in dead
    if isinstance(node, Seq):
        return any(_is_dead(item, dead) for item in node.items)
    if isinstance(node, Alt):
        return all(_is_dead(item, dead) for item in node.items)
    return isinstance(node, Repeat) and node.least > 0 and _is_dead(node.item, dead)


def _alive(node: Node, dead: set[str]) -> Node:
    """A node that is not dead, without its dead parts; itself when it has none."""
    if isinstance(node, Repeat):
        if _is_dead(node.item, dead):
            return EMPTY
        item = _alive(node.item, dead)
        return node if item is node.item else Repeat(item, node.least, node.most)
    if isinstance(node, (Seq, Alt)):
        items = tuple(_alive(item, dead) for item in node.items if not _is_dead(item, dead))
        same = len(items) == len(node.items) and all(a is b for a, b in zip(items, node.items, strict=True))
        return node if same else type(node)(items)
    return node
