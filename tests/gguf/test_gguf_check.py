"""check_tensors: the first value that is not finite is named."""

import numpy as np
import pytest

import llamabox
from llamabox.gguf import GGMLType, GGUFError, GGUFWriter, check_tensors, open_gguf, quantize


def write(path, values, type):
    writer = GGUFWriter(path, "llama")
    writer.add_tensor("good", np.ones((2, 32), np.float32))
    if type in (GGMLType.F32, GGMLType.F16):
        writer.add_tensor("blk.0.odd", values.astype(np.float16 if type == GGMLType.F16 else np.float32))
    else:
        writer.add_tensor("blk.0.odd", values, type)
    writer.write()
    return open_gguf(path)


@pytest.mark.parametrize("type", [GGMLType.F32, GGMLType.F16, GGMLType.Q8_0, GGMLType.Q4_0])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(tmp_path, type, bad):
    values = np.ones((5000, 64), np.float32)
    stored = quantize(values, type) if type not in (GGMLType.F32, GGMLType.F16) else values
    check_tensors(write(tmp_path / "good.gguf", stored, type))
    if stored is values:
        values[4321, 40] = bad
    else:
        stored[4321, :2] = np.frombuffer(np.float16(bad).tobytes(), np.uint8)  # the scale of a block
    file = write(tmp_path / "bad.gguf", stored, type)
    with pytest.raises(GGUFError, match="bad.gguf: tensor 'blk.0.odd': found a value that is not finite in row 4321"):
        check_tensors(file)


def test_loading_checks_when_asked(tmp_path):
    write(tmp_path / "x.gguf", np.full((2, 32), np.nan, np.float32), GGMLType.F32)
    with pytest.raises(GGUFError, match="not finite in row 0"):
        llamabox.load(tmp_path / "x.gguf", check_tensors=True)
