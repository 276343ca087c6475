"""Draw the pictures of the README: of its first example, and of the book's landing page.

What each example prints is put below it.

Run it from the root of the repository: ``.venv/bin/python .github/picture.py``.
"""

import contextlib
import io
import os
import re
import tempfile
from pathlib import Path

import jupytext
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parent.parent

first, *others = (
    cell.source
    for cell in jupytext.read(ROOT / "book/index.py", fmt="py:percent").cells
    if cell.cell_type == "code"
)
exec(first)  # what the figure uses
exec(next(cell for cell in others if "name: fig-computed\n" in cell))
plt.gcf().savefig(ROOT / ".github/readme.png", dpi=150)

readme = (ROOT / "README.md").read_text(encoding="utf-8")
outputs = []
for example in re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL):
    names, printed = {}, io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(printed):
        os.chdir(folder)
        exec(example, names)
        os.chdir(ROOT)
    outputs.append(printed.getvalue())
    if "report" in names:
        with plt.style.context("fatelib.style"):
            names["report"].plot().figure.savefig(ROOT / ".github/diagnose.png", dpi=150)
block = re.compile(r"(?<=^```text\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
below = iter(outputs)
readme = block.sub(lambda _: next(below), readme)
(ROOT / "README.md").write_text(readme, encoding="utf-8")
