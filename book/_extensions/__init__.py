"""What this book adds to Jupyter Book: one small Sphinx extension per file.

- `reader`: chapters are Python files; reads one as a notebook.
- `freshness`: no chapter ever shows results of an older library.
- `figures`: every figure has a caption and an alternative text.
- `bibliography`: an author-year list without labels.
- `plain_markdown`, `notebooks`: the notebook that a reader downloads or opens in Colab.
"""
