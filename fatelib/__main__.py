"""``python -m fatelib`` is the command ``fatelib``."""

import sys

from fatelib.cli import main

if __name__ == "__main__":
    sys.exit(main())
