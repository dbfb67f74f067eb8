"""Products with weights as jobs. What is multiplied by several weights is quantised once; an activation, its product
with other rows and the quantisation of that are one job."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llamabox.kernels.cpu.arena import View
from llamabox.kernels.cpu.lowered_rows import activate, combine
from llamabox.kernels.cpu.lowering import F32, Lowering, rows_of
from llamabox.kernels.cpu.products import CpuWeight, product_job
from llamabox.kernels.graph import Node, Value


def multiply(plan: Lowering, x: Value, weights: Sequence[Any], biases: Sequence[Any], outs: Sequence[View]) -> bool:
    """x times weights: each product, then the weight's factor if it has one, then the bias."""
    if x.dtype != F32 or not all(isinstance(w, CpuWeight) for w in weights):
        return False
    sources = [plan.quantised(x) if w.quantised else plan.f32(x) for w in weights]
    if any(source is None for source in sources):
        return False
    for w, bias, source, out in zip(weights, biases, sources, outs, strict=True):
        plan.multiplications += out.likeness.size * x.shape[-1]
        if w.scale is None:
            _product(plan, w, source, rows_of(x), bias, out)
            continue
        product = plan.schedule.new(out.likeness.shape, F32)
        _product(plan, w, source, rows_of(x), None, product)
        scaled = out if bias is None else plan.schedule.new(out.likeness.shape, F32)
        combine(plan, "mul", product, w.scale, scaled)
        if bias is not None:
            combine(plan, "add", scaled, bias, out)
    return True


def _product(plan: Lowering, w: CpuWeight, source: View, rows: int, bias: Any, out: View) -> None:
    place = 0 if bias is None else plan.constant(np.ascontiguousarray(bias, F32))
    size, runner = 4 * w.shape[0], plan.runner
    plan.schedule.job(lambda at: product_job(runner, w, at(source), rows, at(out), size, place), [source], [out])


def linear(plan: Lowering, node: Node) -> bool:
    x, weight, bias = node.args
    return multiply(plan, x, [weight], [bias], [plan.made(node.results[0])])


def linear_many(plan: Lowering, node: Node) -> bool:
    x, weights, biases = node.args
    return multiply(plan, x, weights, biases, [plan.made(value) for value in node.results])


def ffn_gated(plan: Lowering, node: Node) -> bool:
    x, gate, up, kind = node.args
    y = node.results[0]
    if np.prod(y.shape) < 8:
        return False
    g, u = plan.schedule.new(y.shape, F32), plan.schedule.new(y.shape, F32)
    return multiply(plan, x, [gate, up], [None, None], [g, u]) and activate(plan, kind, g, u, y)


LOWERED_PRODUCTS = {"linear": linear, "linear_many": linear_many, "ffn_gated": ffn_gated}
