"""``python -m fatelib`` is the command ``fatelib``."""

import sys

from fatelib.cli import main

sys.exit(main())
