"""Every link of the site and of its notebooks leads somewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat

CANONICAL = re.compile(r'<link rel="canonical" href="(.+)book/index\.html"')


class Page(HTMLParser):
    """What a page links to, and the places in it that can be linked to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.places |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        self.links |= {attributes[key] for key in ("href", "src") if attributes.get(key)}


def test_every_local_link_leads_somewhere(site):
    pages = {path.resolve(): Page(path) for path in (site / "book").rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = Path(path.parent, unquote(parts.path)).resolve() if parts.path else path
            there = target.is_file() and (
                not parts.fragment or target not in pages or parts.fragment in pages[target].places
            )
            if not there:
                broken.append(f"{path.name}: {link}")
    assert not broken


def test_every_link_of_a_notebook_leads_somewhere(site):
    published = CANONICAL.search((site / "book/index.html").read_text(encoding="utf-8"))
    home = published[1] if published else None
    pages, broken = {}, []
    for path in (site / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type != "markdown":
                continue
            for link in re.findall(r"\]\(([^()\s]+)\)", cell.source):
                if home and link.startswith(home):
                    name, _, place = link.removeprefix(home).partition("#")
                    if name not in pages and (site / name).is_file():
                        pages[name] = Page(site / name)
                    there = name in pages and (not place or place in pages[name].places)
                else:  # without an address chapters link to the notebook beside them
                    beside = home is None and (path.parent / link).is_file()
                    there = link.startswith("https://") or beside
                if not there:
                    broken.append(f"{path.name}: {link}")
    assert not broken
