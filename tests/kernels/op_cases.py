"""One table of op cases: how to call the op, what it must give (NumPy in f64, from the op's definition), how exactly.

Every backend runs all of it (test_ops.py).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from llamabox.gguf import GGMLType, dequantize, quantize
from llamabox.gguf.quant import PACK as QUANTISABLE
from llamabox.kernels import Weight

EXACT = 1e-12  # NMSE of f32 arithmetic
QUANTISED_ROWS = 1e-4  # NMSE where a backend may quantise x to 8 bits


def nmse(expected, found) -> float:
    """Sum of squared differences over sum of squares; 0 when both are all zero, infinite when only one has NaN."""
    expected, found = np.asarray(expected, np.float64), np.asarray(found, np.float64)
    if expected.shape != found.shape:
        raise AssertionError(f"shape {found.shape}, expected {expected.shape}")
    if (np.isfinite(expected) != np.isfinite(found)).any():
        return float("inf")
    error, size = np.nansum((expected - found) ** 2), np.nansum(expected**2)
    return 0.0 if error == 0 else float(error / size) if size > 0 else float("inf")


def normal(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


# Bytes of f16 scales in the blocks of types that nothing quantises here: offsets, and what to put there.
SCALES = {
    "Q8_1": ((0, 0.0005),),
    "Q2_K": ((80, 0.01), (82, 0.02)),
    "Q3_K": ((108, 0.004),),
    "IQ4_NL": ((0, 0.005),),
    "IQ4_XS": ((0, 0.0005),),
    "IQ3_XXS": ((0, 0.001),),
    "IQ3_S": ((0, 0.001),),
    "IQ2_XXS": ((0, 0.01),),
    "IQ2_XS": ((0, 0.01),),
    "IQ2_S": ((0, 0.01),),
    "IQ1_S": ((0, 0.05),),
    "Q1_0": ((0, 0.06),),
    "Q2_0": ((0, 0.05),),
}


def _put(blocks: np.ndarray, offset: int, values: np.ndarray) -> None:
    """Numbers into the bytes from `offset` on: blocks uint8 (..., bytes), values (..., n)."""
    data = np.ascontiguousarray(values).view(np.uint8)
    blocks[..., offset : offset + data.shape[-1]] = data


def random_weight_blocks(type: GGMLType, rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random codes under scales that differ from block to block by up to 8: uint8 (*shape, bytes a block)."""
    blocks = rng.integers(0, 256, (*shape, type.type_size), dtype=np.uint8)
    sizes = rng.integers(1, 9, (*shape, 1)) / 4
    for offset, scale in SCALES.get(type.name, ()):
        _put(blocks, offset, (scale * sizes).astype(np.float16))
    if type.name == "Q8_K":
        _put(blocks, 0, (0.0005 * sizes).astype(np.float32))
    elif type.name == "NVFP4":  # ue4m3, 1/64 to 1
        _put(blocks, 0, rng.integers(0x08, 0x38, (*shape, 4), dtype=np.uint8))
    elif type.name == "IQ1_M":  # the upper four bits of each u16 are four of the f16's
        bits = (0.05 * sizes).astype(np.float16).view(np.uint16)
        for i in range(4):
            high = (bits[..., 0] >> 4 * i << 4).astype(np.uint8)
            blocks[..., 49 + 2 * i] = blocks[..., 49 + 2 * i] & 15 | high
    return blocks


def matrix(type_name: str, *shape: int, seed: int = 0) -> Weight:
    """A weight of this type: random values quantised, or where nothing quantises, random blocks."""
    type, rng = GGMLType[type_name], np.random.default_rng(seed)
    values = rng.standard_normal(shape).astype(np.float32) / np.float32(np.sqrt(shape[-1]))
    if type.dtype is not None:
        data = values.astype(type.dtype)
    elif type in QUANTISABLE:
        data = quantize(values, type)
    else:
        data = random_weight_blocks(type, rng, *shape[:-1], shape[-1] // type.block_size).reshape(*shape[:-1], -1)
    return Weight(f"{type_name}{shape}", type, shape, data)


def values_of(weight: Weight) -> np.ndarray:
    """A weight's values in f64."""
    if weight.type.dtype is not None:
        return weight.data.astype(np.float64)
    return dequantize(weight.data, weight.type).astype(np.float64)


@dataclass(frozen=True)
class Case:
    """call(ops) must agree with expected() within an NMSE of bound."""

    name: str
    call: Callable
    expected: Callable
    bound: float = EXACT


FLOATS = ("F32", "F16", "BF16")
BLOCKS = tuple(type.name for type in GGMLType if type.dtype is None and type.name != "BF16")


def linear_case(type_name: str, rows: tuple, width: int, out: int, bias: bool = False) -> Case:
    weight, x = matrix(type_name, out, width), normal(1, *rows, width)
    b = normal(2, out) if bias else None
    return Case(
        f"linear {type_name} x{(*rows, width)} w({out}, {width}){' bias' * bias}",
        lambda ops: ops.linear(x, weight, b),
        lambda: x.astype(np.float64) @ values_of(weight).T + (b if bias else 0),
        EXACT if type_name in FLOATS else QUANTISED_ROWS,
    )


def linear_cases():
    for type_name in FLOATS:
        yield linear_case(type_name, (1,), 64, 33, bias=True)
        yield linear_case(type_name, (5,), 20, 3)  # a width that is no multiple of 8
        yield linear_case(type_name, (2, 3), 256, 50)
        yield linear_case(type_name, (1,), 5, 1)
    for type_name in BLOCKS:
        yield linear_case(type_name, (1,), 512, 45, bias=True)
        yield linear_case(type_name, (3,), 768, 18)
        yield linear_case(type_name, (20, 2), 256, 17)
        size = GGMLType[type_name].block_size
        if size < 256:  # the last 256 values of a row need not be full
            yield linear_case(type_name, (1,), size, 200)
            yield linear_case(type_name, (3,), 256 - size, 21)
            yield linear_case(type_name, (40,), 256 + size, 3)


def scaled_case() -> Case:
    plain = matrix("Q8_0", 40, 64)
    weight = Weight(plain.name, plain.type, plain.shape, plain.data, np.array([0.5], np.float32))
    x, bias = normal(3, 4, 64), normal(4, 40)
    return Case(
        "linear, a weight with a factor",
        lambda ops: ops.linear(x, weight, bias),
        lambda: x.astype(np.float64) @ values_of(plain).T * 0.5 + bias,
        QUANTISED_ROWS,
    )


def many_case() -> Case:
    weights = [matrix(t, n, 256, seed=n) for t, n in (("Q4_0", 20), ("Q6_K", 9), ("F16", 5), ("Q3_K", 6))]
    x, bias = normal(5, 3, 256), normal(6, 9)
    return Case(
        "linear_many of mixed types",
        lambda ops: np.concatenate(ops.linear_many(x, weights, [None, bias, None, None]), axis=1),
        lambda: np.concatenate(
            [x @ values_of(w).T + (bias if n == 9 else 0) for w, n in zip(weights, (20, 9, 5, 6), strict=True)], axis=1
        ),
        QUANTISED_ROWS,
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def erf(x):
    return np.array([math.erf(value) for value in x.flat]).reshape(x.shape)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gated_case(type_name: str, kind: str, rows: int) -> Case:
    gate, up, x = matrix(type_name, 40, 256, seed=1), matrix(type_name, 40, 256, seed=2), normal(7, rows, 256)

    def expected():
        g, u = x @ values_of(gate).T, x @ values_of(up).T
        return (g * sigmoid(g) if kind == "silu" else gelu(g)) * u

    return Case(
        f"ffn_gated {type_name} {kind} {rows}",
        lambda ops: ops.ffn_gated(x, gate, up, kind),
        expected,
        EXACT if type_name == "F32" else 3 * QUANTISED_ROWS,
    )


def experts_case(type_name: str, rows: int, shared: bool, factors: bool = False) -> Case:
    plain = matrix(type_name, 5, 24, 256)
    scale = np.linspace(0.5, 2, 5).astype(np.float32) if factors else None
    weight = Weight(plain.name, plain.type, plain.shape, plain.data, scale)
    x = normal(8, rows, 1 if shared else 3, 256)
    ids = np.stack([np.random.default_rng(9 + t).permutation(5)[:3] for t in range(rows)])

    def expected():
        w = values_of(plain) * (1 if scale is None else scale[:, None, None])
        return np.einsum("tud,tuod->tuo", np.broadcast_to(x, (rows, 3, 256)).astype(np.float64), w[ids])

    return Case(
        f"linear_experts {type_name} {rows} rows, {'one x for all' if shared else 'an x each'}{' factors' * factors}",
        lambda ops: ops.linear_experts(x, weight, ids),
        expected,
        EXACT if type_name == "F32" else QUANTISED_ROWS,
    )


def norm_cases():
    for shape, scale in (((1, 64), 1.0), ((3, 4, 24), 100.0), ((2, 20), 1e-3), ((300, 8), 1.0)):
        x, w, b = normal(10, *shape, scale=scale), normal(11, shape[-1]), normal(12, shape[-1])
        x64 = x.astype(np.float64)

        def rms(x64=x64, w=w):
            return x64 / np.sqrt((x64**2).mean(-1, keepdims=True) + 1e-5) * w

        def layer(x64=x64, w=w, b=b):
            centred = x64 - x64.mean(-1, keepdims=True)
            return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w + b

        yield Case(f"rms_norm {shape}", lambda ops, x=x, w=w: ops.rms_norm(x, w, 1e-5), rms)
        yield Case(
            f"rms_norm {shape} without weight", lambda ops, x=x: ops.rms_norm(x, None, 1e-5), lambda r=rms: r(w=1)
        )
        yield Case(f"layer_norm {shape}", lambda ops, x=x, w=w, b=b: ops.layer_norm(x, w, b, 1e-5), layer)
        yield Case(
            f"layer_norm {shape} without bias",
            lambda ops, x=x, w=w: ops.layer_norm(x, w, None, 1e-5),
            lambda f=layer: f(b=0),
        )
    zeros = np.zeros((2, 16), np.float32)
    yield Case("rms_norm of zeros", lambda ops: ops.rms_norm(zeros, None, 1e-6), lambda: zeros)


def elementwise_cases():
    edges = np.array([-1e4, -100, -90, -20, -1e-6, -0.0, 0, 1e-30, 1e-6, 1, 20, 88, 100, 1e4, 3, -3], np.float32)
    for name, x in (("", normal(13, 7, 9, scale=3)), (" of 5", normal(14, 5)), (" at the edges", edges)):
        x64 = x.astype(np.float64)
        negative = np.exp(-np.abs(x64))  # cannot overflow
        s = np.where(x64 >= 0, 1 / (1 + negative), negative / (1 + negative))
        yield Case(f"silu{name}", lambda ops, x=x: ops.silu(x), lambda x64=x64, s=s: x64 * s)
        yield Case(f"sigmoid{name}", lambda ops, x=x: ops.sigmoid(x), lambda s=s: s)
        yield Case(f"gelu{name}", lambda ops, x=x: ops.gelu(x), lambda x64=x64: gelu(x64))
        yield Case(
            f"gelu_erf{name}", lambda ops, x=x: ops.gelu_erf(x), lambda x64=x64: x64 * (1 + erf(x64 / 2**0.5)) / 2
        )
        yield Case(f"tanh{name}", lambda ops, x=x: ops.tanh(x), lambda x64=x64: np.tanh(x64))
        yield Case(f"softcap{name}", lambda ops, x=x: ops.softcap(x, 3.5), lambda x64=x64: 3.5 * np.tanh(x64 / 3.5))
    scores = normal(15, 4, 6, scale=30)
    shifted = np.exp(scores.astype(np.float64) - scores.max(-1, keepdims=True))
    yield Case("softmax", lambda ops: ops.softmax(scores), lambda: shifted / shifted.sum(-1, keepdims=True))
    x = normal(16, 6, 5)
    best = np.array([sorted(range(5), key=lambda i, row=row: (-row[i], i))[:2] for row in x])
    yield Case("top_k", lambda ops: ops.top_k(x, 2), lambda: best)
    yield Case(
        "take_along", lambda ops: ops.take_along(x, best), lambda: [[x[t, i] for i in best[t]] for t in range(6)]
    )
    yield Case("sum", lambda ops: ops.sum(x, 0), lambda: x.astype(np.float64).sum(0)[None])
    yield Case("clamp_min", lambda ops: ops.clamp_min(x, 0.25), lambda: np.where(x < 0.25, 0.25, x))
    yield Case("take_rows", lambda ops: ops.take_rows(x, np.array([4, 0, 4])), lambda: x[[4, 0, 4]])


def largest_cases():
    """Many values that are equal, infinite or missing; rows of one value; few rows of a large vocabulary."""
    x = normal(19, 4, 7)
    x[1, 2:5], x[2], x[3, [1, 4, 6]] = 0.5, -np.inf, (np.nan, np.inf, np.nan)
    yield from (largest_case("7", x, k) for k in (1, 3, 7, 40))

    x = np.round(normal(20, 6, 1000, scale=3))  # some twenty values, and both zeros
    x[1, ::3], x[2, 5:], x[4, 500:] = -np.inf, -np.inf, np.inf
    x[3, [11, 900]] = np.nan
    x[5] = -1e-40  # a value that arithmetic may take for zero
    x[5, [7, 70]] = 0, 1e-40
    yield from (largest_case("1000", x, k) for k in (1, 40, 256, 1000))

    x = np.full((2, 3000), 0.25, np.float32)  # some that differ, then more that are equal than are compared at once
    x[0, ::5], x[1, 2000:] = np.arange(600), 0.25 + np.arange(1000) * 2.0**-20
    yield from (largest_case("3000", x, k) for k in (40, 700, 1024))

    x = normal(21, 4, 151_936, scale=4)
    x[1] = np.sort(x[1])
    x[2, :] = 1.5  # all equal
    x[3] = np.where(x[3] > 16, x[3], np.round(x[3]))
    yield from (largest_case("151936", x, k) for k in (1, 40, 256))


def largest_case(name: str, x: np.ndarray, k: int) -> Case:
    def call(ops):
        values, ids = ops.largest(x, k)
        assert (values.dtype, ids.dtype) == (np.float32, np.int32)
        return told(values, ids)

    def expected():
        ids = np.array([sorted(range(len(row)), key=lambda i: (row[i] == row[i], -row[i], i))[:k] for row in x])
        return told(np.take_along_axis(x, ids, axis=1), ids)

    def told(values, ids):
        """What no bound can blur: bits as numbers."""
        return np.stack([values.view(np.uint32), ids]).astype(np.float64)

    return Case(f"largest {k} of {name}", call, expected, 0.0)


def embed_cases():
    ids = np.array([3, 0, 9, 3], np.int32)
    for type_name in (*FLOATS, *BLOCKS):
        weight = matrix(type_name, 10, 256)
        yield Case(f"embed {type_name}", lambda ops, w=weight: ops.embed(w, ids), lambda w=weight: values_of(w)[ids])


def rope_cases():
    for size, dim, heads in ((64, 64, 3), (64, 32, 2), (24, 16, 1), (12, 8, 2)):
        x, turn = normal(17, 5, heads, size), normal(18, 5, dim // 2, scale=3)
        for neox in (False, True):

            def expected(x=x, turn=turn, dim=dim, neox=neox):
                y = x.astype(np.float64)
                first = np.arange(dim // 2) if neox else np.arange(0, dim, 2)
                second = first + (dim // 2 if neox else 1)
                z = (x[..., first] + 1j * x[..., second]) * np.exp(1j * turn.astype(np.float64))[:, None]
                y[..., first], y[..., second] = z.real, z.imag
                return y

            yield Case(
                f"rope {dim} of {size}, {heads} heads{' neox' * neox}",
                lambda ops, x=x, turn=turn, neox=neox: ops.rope(x, (np.cos(turn), np.sin(turn)), neox),
                expected,
            )


CASES = [
    *linear_cases(),
    scaled_case(),
    many_case(),
    *(
        gated_case(t, kind, rows)
        for t in ("F32", "Q8_0", "Q4_K", "Q2_K")
        for kind in ("silu", "gelu")
        for rows in (1, 5)
    ),
    *(
        experts_case(t, rows, shared)
        for t in ("F32", "Q4_0", "Q6_K", "Q3_K")
        for rows in (1, 6)
        for shared in (True, False)
    ),
    experts_case("Q8_0", 4, True, factors=True),
    *norm_cases(),
    *elementwise_cases(),
    *largest_cases(),
    *embed_cases(),
    *rope_cases(),
]
