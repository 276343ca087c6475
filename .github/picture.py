"""Draw the pictures of the README: of its first example, and of the book's landing page.

What the example prints is put below it.

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

figure, *_ = (
    cell.source
    for cell in jupytext.read(ROOT / "book/index.py", fmt="py:percent").cells
    if cell.cell_type == "code"
)
exec(figure)
plt.gcf().savefig(ROOT / ".github/readme.png", dpi=150)

readme = (ROOT / "README.md").read_text(encoding="utf-8")
example = re.search(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)[1]
names, printed = {}, io.StringIO()
with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(printed):
    os.chdir(folder)
    exec(example, names)
    os.chdir(ROOT)
with plt.style.context("fatelib.style"):
    names["report"].plot().figure.savefig(ROOT / ".github/diagnose.png", dpi=150)
block = re.compile(r"(?<=^```text\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
readme = block.sub(lambda _: printed.getvalue(), readme, count=1)
(ROOT / "README.md").write_text(readme, encoding="utf-8")
