"""What lies where in the memory that kernels and the jobs for them share: programs, and rows quantised to 8 bits.

Attention: attention_layout.py. Products of many rows: gemm_layout.py, gemm_floats_layout.py.
"""

# A program is an array of JOB int64 a job:
#     0  address of the kernel;  1  tasks;  2  1 when it ends its phase;  3-  args
JOB = 40
ARGS = 3  # where a job's arguments begin

# The state that threads share while programs run, one field a cache line (byte offsets).
TICKET, DONE, PHASE, STOP, STATE_BYTES = 0, 64, 128, 192, 256

# A unit of activations, 8 groups of 32 values:
#     0-255    integers, transposed: values 4s .. 4s + 3 of group 0, of group 1, ... of group 7 in the s-th 32 bytes
#     256-287  scales, f32 a group
#     288-319  sums of integers, i16 for 16 values
#     320-575  the integers again, by pairs of groups j and j + 4: the first 16 values of both, the last 16 of both
#     576-607  sums of integers times the scale, f32 a group
X_UNIT, X_PAIRS, X_SUMS = 608, 320, 576
