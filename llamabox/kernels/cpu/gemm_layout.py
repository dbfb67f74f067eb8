"""What lies where in the scratch of the many-row products of block types, and how much of it they need.

A tile is ROWS weight rows unpacked, a lane for each row. Of every group of every unit it has, in order,
    8 vectors   the integers, values 4s .. 4s + 3 of the group in the s-th
    1 vector    the scales, f32
    1 vector    the minimums, f32                            (of types that have them, as what follows)
    2 vectors   the sub-scales of both halves, i32
    2 vectors   the sub-minimums of both halves, i32
A panel is COLUMNS quantised rows side by side, PANEL_UNIT bytes for each unit of each row:
    0-255 integers and 256-287 scales as the rows have them (layout.py);
    288-319 and 320-351: -offset times the sums of first and of second halves, i32 a group; for types without
    sub-scales those of whole groups, in the first place;
    352-383: the sums of groups times their scales, f32; of types with sub-minimums instead
    352-383 and 384-415: the sums of first and of second halves, i32
"""

from llamabox.kernels.cpu.features import FEATURES

# Weight rows in a tile, activation rows in a panel: what 32 registers of 64 bytes hold, or 16 of 32 bytes.
ROWS, COLUMNS = (16, 8) if FEATURES.avx512 else (8, 4)
VECTOR = 4 * ROWS  # bytes
PANEL_UNIT = 416
CENTRES, SUMS = 288, 352  # in a unit of a panel
PLANE = 32 * ROWS  # 32 bytes of each row, before they are turned into 8 vectors: one lane a row
PLANES = 14
TALLY = COLUMNS * VECTOR  # bytes of accumulators: one a column
STEP = COLUMNS * PANEL_UNIT  # bytes of a unit of a panel

TILES, TILES_BYTES = 4, 384 << 10 if FEATURES.avx512 else 192 << 10  # of a task
TASKS_A_THREAD = 2

# Types whose tiles have more than integers and scales: what formats.py describes.
MINIMUMS = {"Q4_1", "Q5_1", "Q2_K", "Q4_K", "Q5_K"}
SUBSCALES = {"Q2_K", "Q3_K", "Q6_K", "IQ2_XS", "IQ2_S", "IQ1_M", "NVFP4"}
SUBMINIMUMS = {"Q2_K"}


def group_bytes(name: str) -> int:
    """Bytes of a group of a tile of a type."""
    return VECTOR * (9 + (name in MINIMUMS) + 2 * (name in SUBSCALES) + 2 * (name in SUBMINIMUMS))


def batch_size(name: str, n_out: int, units: int, threads: int) -> tuple[int, int]:
    """Weight rows to unpack at a time, and the bytes of scratch a thread needs: accumulators, planes, a panel, tiles.

    Several tiles share the work on a panel, as many as fit TILES_BYTES, but each thread gets some tasks.
    """
    tile = units * 8 * group_bytes(name)
    tiles = max(1, min(TILES, TILES_BYTES // tile, n_out // (ROWS * threads * TASKS_A_THREAD)))
    return tiles * ROWS, 8 * TALLY + PLANES * PLANE + units * STEP + tiles * tile
