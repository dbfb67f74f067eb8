"""The numba kernels of the `cpu` backend.

cache.py       where compiled kernels are kept
features.py    which instructions the CPU has: the one place that asks
simd/          vector values for numba functions, one LLVM vector each
halves.py      f16 and bf16 in memory
atomics.py     what threads share
formats*.py    each GGUF block type once: bytes -> integers, scales, minimums
unpacking.py   lanes spread and widened, for them
tables.py      constants that they look up
activation.py  rows of f32 quantised to 8 bits, in the order the products want
integer.py     block weights times quantised rows: one row (decode) and many (prefill)
floats.py      F32, F16 and BF16 weights times f32 rows
attention.py   streaming softmax over KV blocks
attending.py   jobs for it, and how a step is cut into them
tiles.py       its inner loops: scores and weighted values, held in registers
cache_types.py how each type of the KV cache is read and written
elementwise.py norms, rope, activations
fused.py       norms and activations whose results are quantised at once
vector_math.py exp and what follows from it
described.py   objects whose attributes are constants inside kernels
unit.py        256 values of a weight row times 256 activations
arithmetic.py  + - * /, rows taken
attending.py   jobs for attention
products.py    jobs for products with weights
program.py     what runs jobs, phase after phase, on all threads
threads.py     the threads
runner.py      programs written and run from Python
plan.py        a whole step as programs: lowering.py (with lowered_products.py, lowered_rows.py) makes jobs of its ops,
               schedule.py puts them in order, arena.py finds their memory
"""
