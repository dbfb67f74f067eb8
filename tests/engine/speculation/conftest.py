"""What the tests of speculation share: the fakes of the engine's tests, and a run of several requests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
