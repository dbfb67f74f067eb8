"""The numba kernels of the `cpu` backend.

cache.py       where compiled kernels are kept
features.py    which instructions the CPU has: the one place that asks
simd.py        vector values for numba functions, one LLVM vector each
formats.py     each GGUF block type once: bytes -> integers, scales, minimums
activation.py  rows of f32 quantised to 8 bits, in the order the products want
integer.py     block weights times quantised rows: one row (decode) and many (prefill)
floats.py      F32, F16 and BF16 weights times f32 rows
attention.py   streaming softmax over KV blocks
elementwise.py norms, rope, gated activations, row gathers
program.py     runs a list of jobs, phase after phase, on all threads
"""
