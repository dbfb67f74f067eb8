"""`python -m llamabox`: the same as the `llamabox` script."""

import sys

from llamabox.cli.main import main

sys.exit(main())
