"""The pages of notation, formulas and advice: complete, true to the chapters, and linked."""

import re
from pathlib import Path
from pydoc import locate

import pytest
import yaml
from _extensions.reader import read

import fatelib

BOOK = Path(__file__).parents[2] / "book"
ROW = re.compile(r"^\| (?P<symbol>.+?) \| (?P<meaning>.+?) \|")
DROPDOWN = re.compile(r"^:::\{dropdown\} Notation.*?\n(.*?)^:::$", re.MULTILINE | re.DOTALL)
LABEL = re.compile(r"^\((sheet-[a-z0-9-]+)\)=$", re.MULTILINE)
ROLE = re.compile(r"\{(doc|ref|py:func|py:class)\}`(?:[^`<]*<)?~?([^`<>]+)>?`")

# Public functions of the theory that have no formula of their own, and why.
NO_FORMULA: dict[str, str] = {}


def text_of(page):
    """The Markdown of a page or of a chapter, without its code."""
    path = next(BOOK / f"{page}{end}" for end in (".md", ".py") if (BOOK / f"{page}{end}").exists())
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return source
    cells = read(source).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def chapters():
    """Every page that the contents list, but the reference of the library."""
    contents = yaml.safe_load((BOOK.parent / "_toc.yml").read_text(encoding="utf-8"))
    files = [entry["file"] for part in contents["parts"] for entry in part["chapters"]]
    return [file.removeprefix("book/") for file in files if "/api/" not in file]


def rows(text):
    """Symbols and what they mean, in the tables of a text."""
    found = [ROW.match(line) for line in text.splitlines()]
    found = [(row["symbol"], row["meaning"]) for row in found if row and "---" not in row["symbol"]]
    return [row for row in found if row[0] != "symbol"]


def cards():
    """The formulas of the sheet: label -> text, from its heading to the next label."""
    pieces = LABEL.split(text_of("formulas"))[1:]
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def test_a_symbol_is_on_the_page_once():
    symbols = [
        symbol
        for cell, _ in rows(text_of("notation"))
        for symbol in re.findall(r"\$([^$]+)\$", cell)
    ]
    assert len(symbols) > 60
    assert sorted(symbols) == sorted(set(symbols))


def test_what_a_chapter_says_of_a_symbol_is_what_the_page_says():
    page, seen = set(rows(text_of("notation"))), 0
    for chapter in chapters():
        for table in DROPDOWN.findall(text_of(chapter)):
            assert "{doc}`notation`" in table, chapter
            assert set(rows(table)) <= page, (chapter, set(rows(table)) - page)
            seen += len(rows(table))
    assert seen > 5


def test_the_ridge_alone_is_called_lambda_and_the_scale_of_fine_tuning_kappa():
    with_kappa = {name for name in chapters() if r"\kappa" in text_of(name)}
    linear = {"fine-tuning", "finite-source", "steps-and-batches", "errata", "index"}
    linear |= {"classification"}
    assert with_kappa <= linear | {"when-does-transfer-help", "notation", "formulas"}
    for chapter in chapters():
        assert not re.search(r"(?<!\\tilde)\\lambda_(?!\*)", text_of(chapter)), chapter


@pytest.mark.parametrize("name", sorted(fatelib.theory.__all__))
def test_every_closed_form_is_on_the_sheet(name):
    on_sheet = f"~fatelib.theory.{name}`" in text_of("formulas")
    assert on_sheet != (name in NO_FORMULA), name


def test_a_formula_has_an_equation_its_source_and_its_value():
    for label, card in cards().items():
        assert "$$" in card, label
        assert re.search(r"\{doc\}`[a-z-]+`", card), f"{label} leads to no chapter"
        if "{py:func}`~fatelib.theory." in card:
            assert "{glue:text}" in card, f"{label} prints no value"


def test_every_printed_value_was_compared():
    source = (BOOK / "formulas.py").read_text(encoding="utf-8")
    printed = set(re.findall(r"\{glue:text\}`([a-z0-9-]+)(?::[^`]*)?`", source))
    compared = set(re.findall(r'same\(\s*f?"([a-z0-9{}-]+)"', source))
    depths = {name for name in compared if "{" in name}  # of a loop over depths
    compared -= depths
    compared |= {name.format(depth=depth) for name in depths for depth in (2, 3)}
    assert printed == compared, printed ^ compared


@pytest.mark.parametrize("page", ["formulas", "notation", "what-to-do"])
def test_links_lead_somewhere(page):
    labels, pages = set(cards()), set(chapters())
    links = ROLE.findall(text_of(page))
    assert len(links) > 12
    for kind, target in links:
        if kind == "doc":
            there = target in pages or (BOOK / f"{target}.rst").exists()
            assert there, f"{page}: {target}"
        elif kind == "ref":
            assert target in labels, f"{page}: {target}"
        else:
            assert locate(target), f"{page}: {target}"


def test_each_case_of_the_advice_is_supported():
    table = [line for line in text_of("what-to-do").splitlines() if line.startswith("| **")]
    assert 8 <= len(table) <= 12
    for line in table:
        case, advice, why = line.strip("| ").split(" | ")
        assert case.startswith("**")
        assert advice
        assert "{doc}`" in why, case


@pytest.mark.slow
@pytest.mark.browser
def test_the_sheet_fits_a_phone_and_four_pages_of_paper(site, visit):
    page, problems = visit(site / "book" / "formulas.html")
    assert page.locator("#formula-sheet svg.sketch").count() >= len(cards()) - 4
    page.emulate_media(media="print")
    assert page.pdf(format="A4").count(b"/Type /Page\n") <= 4
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 390, "height": 844})
    cut = page.locator("#formula-sheet mjx-container[display]").evaluate_all(
        "all => all.filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.innerText)"
    )
    assert cut == problems == []
