"""The package as a whole: what it exports, and that it leaves others alone."""

import ast
import email
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from public_names import modules

import fatelib

ROOT = Path(__file__).parent.parent


def test_public_names_exist():
    for name in fatelib.__all__:
        assert getattr(fatelib, name) is not None


def test_every_module_is_there_after_one_import():
    """In a process of its own: here others have imported them."""
    names = [module.__name__.removeprefix("fatelib.") for module in modules()[1:]]
    assert {"agreement", "distances", "figures", "plot", "sweep", "widgets"} <= {*names}
    code = f"""
import fatelib
assert not {{*{names}}} - {{*dir(fatelib)}}
for name in {names}:
    assert getattr(fatelib, name).__name__ == "fatelib." + name
assert fatelib.phase_diagram is fatelib.linear.diagram.phase_diagram
for name in ("nonsense", "_nonsense", "__wrapped__", "distances.nonsense"):
    assert not hasattr(fatelib, name)
"""
    # Old packages warn of one another.
    variables = os.environ | {"PYTHONWARNINGS": "error,default::DeprecationWarning"}
    subprocess.run([sys.executable, "-c", code], check=True, env=variables)


def test_what_is_not_there_is_named():
    with pytest.raises(AttributeError, match=r"^module 'fatelib' has no attribute 'nonsense'$"):
        fatelib.nonsense  # noqa: B018


@pytest.mark.parametrize(
    ("file", "pattern"),
    [("CITATION.cff", r"^version: (.*)$"), ("book/cite.md", r"version = \{(.*)\}")],
)
def test_one_version_everywhere(file, pattern):
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.findall(pattern, text, re.MULTILINE) == [fatelib.__version__]


def test_importing_changes_no_setting_and_draws_nothing():
    code = """
import sys, jax
before = dict(jax.config.values)
import fatelib
assert dict(jax.config.values) == before
assert "matplotlib.pyplot" not in sys.modules, "pyplot loads when it is first needed"
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


# Each takes as long to import as the rest of fatelib, or is an extra, and most calls need none.
LATE = ["IPython", "anywidget", "diffrax", "ipywidgets", "matplotlib", "scipy.stats", "zarr"]


@pytest.mark.parametrize("name", ["fatelib", "fatelib.cli"])
def test_importing_loads_only_what_every_user_needs(name):
    code = f"import sys, {name}; print(*(m for m in {LATE} if m in sys.modules))"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout.strip() == ""


def test_what_is_late_exists():
    pytest.importorskip("anywidget")
    code = "import " + ", ".join(LATE)
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_import_is_a_dependency():
    """What fatelib imports at run time is declared, or comes with the interpreter."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = project["dependencies"] + extras["widgets"] + extras["examples"]
    declared = {re.split(r"[^\w]", requirement)[0] for requirement in requirements}
    imported = set()
    for path in Path(fatelib.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.partition(".")[0])
    assert imported - set(sys.stdlib_module_names) - {"fatelib"} <= declared


def build(source, target, folder):
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, check=True, cwd=source, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Files of the wheel that is built from the checkout, and of the one from its archive."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("built")
    with tarfile.open(build(ROOT, "sdist", folder / "sdist")) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    found = []
    for name, source in {"here": ROOT, "there": unpacked}.items():
        with zipfile.ZipFile(build(source, "wheel", folder / name)) as wheel:
            found.append({file: wheel.read(file) for file in wheel.namelist()})
    return found


def test_the_source_distribution_builds_the_same_wheel(wheels):
    here, there = wheels
    assert here == there


def test_the_wheel_holds_the_package_and_nothing_else(wheels):
    package = {file for file in wheels[0] if ".dist-info/" not in file}
    assert "fatelib/py.typed" in package
    assert all(file.startswith("fatelib/") for file in package)
    assert {Path(file).suffix for file in package} == {".py", ".typed", ".mplstyle", ".js", ".css"}


def test_metadata_is_complete(wheels):
    (text,) = (text for file, text in wheels[0].items() if file.endswith(".dist-info/METADATA"))
    found = email.message_from_bytes(text)
    assert found["Version"] == fatelib.__version__
    assert found["License-Expression"] == "MIT"
    assert found.get_all("License-File") == ["LICENSE"]
    assert found["Description-Content-Type"] == "text/markdown"
    assert found["Requires-Python"] == ">=3.11"
    assert set(found.get_all("Provides-Extra")) == {"widgets", "examples", "book", "test"}
    assert "Typing :: Typed" in found.get_all("Classifier")
    assert any(url.startswith("Paper, ") for url in found.get_all("Project-URL"))


@pytest.mark.slow
def test_the_examples_of_the_readme_run(tmp_path, monkeypatch, capsys):
    """Each on its own, and each prints what stands below it."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    parts = re.split(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    examples = list(zip(parts[1::2], parts[2::2], strict=True))
    assert len(examples) == 4
    for example, below in examples:
        exec(compile(example, "README.md", "exec"), {})
        shown = re.search(r"^```text\n(.*?)^```$", below, re.MULTILINE | re.DOTALL)
        assert capsys.readouterr().out == shown[1]
    for picture in ("report.png", "diagram.png"):
        assert (tmp_path / picture).stat().st_size > 0


def test_the_readme_begins_with_the_library_and_goes_on_to_the_book():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    kinds = [kind for kind, _ in blocks]
    assert kinds == ["sh", *["python", "text"] * 4]
    commands = [line.partition("#")[0].strip() for line in blocks[0][1].splitlines()]
    assert commands == ["pip install .", "make book", "make test"]
    assert text.index("## The book") > text.rindex("```")
