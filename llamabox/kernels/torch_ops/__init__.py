"""What ops_torch.py is made of: block types, cache types and attention in torch's own operations.

Everything runs on every device that torch has, so it keeps to what all of them can:
- no float64 (MPS has none): sums that need it are made on the host, as RoPE's angles are
- no uint16, uint32 or uint64: 16-bit fields are put together as int32
- bytes are viewed as int8, int32, float16, bfloat16 or float32, from contiguous memory
- indices are int64; a uint8 tensor as an index would be a mask
- nothing asks the device for a value (.item(), .tolist(), boolean indexing, nonzero), but where a docstring says so
- no torch.compile: it needs a C++ compiler, or Triton, on the user's machine
"""
