"""The `cpu` backend: kernels, and the jobs that call them.

A file is one or the other. A file of kernels imports numba, often by way of simd/. No other file imports one of these:
jobs name a kernel, `kernel("integer", "one_row", "Q4_0")`, and numba and the kernel's file are imported only when the
cache lacks its machine code. What both must know, where things lie in memory, is in *layout.py.

Jobs, and what runs them: no numba
    kernel.py       a kernel by its name
    cache.py        where machine code is kept
    machine_code.py how it is made and loaded
    features.py     which instructions the CPU has: the one place that asks
    *layout.py      where things lie in the memory that kernels and jobs share
    products.py     jobs for products with weights
    attending.py    jobs for attention, and how a step is cut into them
    *_jobs.py       jobs for the kernels of the file of that name
    runner.py       programs written and run from Python
    threads.py      the threads that run them
    plan.py         a whole step as programs: lowering.py (with lowered_products.py, lowered_rows.py) makes jobs of its
                    ops, schedule.py puts them in order, arena.py finds their memory

Kernels: numba
    program.py      what runs jobs, phase after phase, on all threads
    integer.py      block weights times one quantised row (decode)
    gemm_few.py     times 2 to 4
    gemm.py         times many (prefill), with gemm_format.py, gemm_lanes.py, gemm_pack.py
    floats.py       F32, F16 and BF16 weights times one f32 row; gemm_floats.py: times many
    attention.py    streaming softmax over KV blocks
    tiles.py        its inner loops: scores and weighted values, held in registers
    cache_types.py  how each type of the KV cache is read and written
    activation.py   rows of f32 quantised to 8 bits, in the order the products want
    elementwise.py  norms, rope, activations
    fused.py        norms and activations whose results are quantised at once
    arithmetic.py   + - * /, rows taken
  what they are made of
    simd/           vector values for numba functions, one LLVM vector each
    unit.py         256 values of a weight row times 256 activations
    formats*.py     each GGUF block type once: bytes -> integers, scales, minimums
    unpacking.py    lanes spread and widened, for them
    tables.py       constants that they look up
    halves.py       f16 and bf16 in memory
    vector_math.py  exp and what follows from it
    described.py    objects whose attributes are constants inside kernels
    atomics.py      what threads share
"""
