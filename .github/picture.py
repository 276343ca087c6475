"""Draw the picture of the README, which is the figure of the book's landing page.

Run it from the root of the repository: ``.venv/bin/python .github/picture.py``.
"""

from pathlib import Path

import jupytext
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parent.parent

figure, *_ = (
    cell.source
    for cell in jupytext.read(ROOT / "book/index.py", fmt="py:percent").cells
    if cell.cell_type == "code"
)
exec(figure)
plt.gcf().savefig(ROOT / ".github/readme.png", dpi=150)
