"""What this book adds to Jupyter Book: one small Sphinx extension per file.

- `reader`: chapters are Python files; reads one as a notebook. `prepare` is what it runs first.
- `freshness`: no chapter ever shows results of an older library.
- `figures`: every figure has a caption and an alternative text.
- `pictures`: each picture in a light and a dark, a wide and a narrow variant.
- `bitmaps`: images inside figures, stored as small as they can be without loss.
- `bibliography`: author-year citations and an author-year list.
- `plain_markdown`, `notebooks`: the notebook that a reader downloads or opens in Colab.
- `accessible`: names and roles that docutils and the theme leave out.
- `path`: the core path through the book, and how long a chapter takes.
- `address`: what follows from where the book is published.
- `run_times`: the table of the status page.
- `checks`: how well theory and experiment agree, in one line here and in full on its own page.
- `folded_code`: folded code has small controls, and one for the whole page.
- `results`: the pictures of the performance page, drawn from the benchmarks' tables.
- `used_in`: the API reference names the chapters that use an entry.
"""
