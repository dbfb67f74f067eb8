"""What a node of a graph costs: multiplications with an addition, and bytes of weights that are read."""

from math import prod
from typing import NamedTuple

from llamabox.kernels.attention_rules import visible
from llamabox.kernels.graph import Node, Value
from llamabox.kernels.step import Step
from llamabox.kernels.weight import Weight


class Cost(NamedTuple):
    """multiply_adds of products with weights and of attention; element-wise work counts as none."""

    multiply_adds: int
    weight_bytes: int


def cost(node: Node, step: Step) -> Cost:
    """What a node costs in a step: that of its shapes, and of the cells that its rows attend to.

    An expert counts once however many rows chose it, and as often as rows chose any where they may all differ.
    """
    if node.op == "embed":
        weight, ids = node.args
        return Cost(0, weight.data.nbytes // weight.shape[0] * ids.shape[0])
    if node.op == "linear_experts":
        x, weight, ids = node.args
        experts, width = weight.shape[0], weight.shape[2]
        read = min(experts, ids.shape[0] * ids.shape[1])
        return Cost(size(node) * width, weight.data.nbytes // experts * read)
    if node.op == "attend":
        q, v = node.args[0], node.args[2]
        seen = cells(step, node.kwargs["window"], node.kwargs["two_sided"])
        return Cost(seen * q.shape[1] * (q.shape[2] + v.shape[2]), 0)
    products = {"linear": 1, "linear_many": 1, "ffn_gated": 2}.get(node.op, 0)
    width = node.args[0].shape[-1] if products else 0
    return Cost(products * size(node) * width, _weight_bytes(node.args))


def size(node: Node) -> int:
    """Values in all results of a node."""
    return sum(prod(value.shape) for value in node.results)


def cells(step: Step, window: int | None, two_sided: bool) -> int:
    """How many cells the rows of a step see, all together."""
    total = 0
    for n, length in enumerate(step.kv_len.tolist()):
        pos = step.pos[step.row_start[n] : step.row_start[n + 1]]
        total += int(visible(pos, length, step.causal, window, two_sided).sum())
    return total


def _weight_bytes(args: tuple) -> int:
    total = 0
    for item in args:
        if isinstance(item, Weight):
            total += item.data.nbytes
        elif isinstance(item, tuple):
            total += _weight_bytes(item)
        elif not isinstance(item, Value):
            total += getattr(item, "nbytes", 0)
    return total
