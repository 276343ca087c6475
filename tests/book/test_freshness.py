import pytest
from _extensions.freshness import results_digest


@pytest.fixture
def tree(tmp_path):
    for path, text in {
        "fatelib/__init__.py": "x = 1\n",
        "fatelib/linear/network.py": "y = 2\n",
        "fatelib/explore.js": "0\n",
        "book/data/relu.csv": "1\n",
        "book/chapter.py": "# %%\n",
        "requirements.txt": "jax==1\n",
        "README.md": "hello\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "path",
    [
        "fatelib/__init__.py",
        "fatelib/linear/network.py",
        "fatelib/explore.js",
        "fatelib/new.py",
        "book/data/relu.csv",
        "requirements.txt",
    ],
)
def test_a_change_of_what_results_depend_on_changes_the_digest(tree, path):
    before = results_digest(tree)
    with open(tree / path, "a") as file:
        file.write("# changed\n")
    assert results_digest(tree) != before


def test_a_file_that_moves_changes_the_digest(tree):
    before = results_digest(tree)
    (tree / "fatelib/linear/network.py").rename(tree / "fatelib/network.py")
    assert results_digest(tree) != before


@pytest.mark.parametrize("path", ["README.md", "book/chapter.py", "fatelib/__pycache__/x.pyc"])
def test_nothing_else_does(tree, path):
    before = results_digest(tree)
    (tree / path).parent.mkdir(exist_ok=True)
    with open(tree / path, "a") as file:
        file.write("# changed\n")
    assert results_digest(tree) == before


def test_versions_and_settings_are_part_of_it(tree, monkeypatch):
    before = results_digest(tree)
    monkeypatch.setenv("FATELIB_REPOSITORY", "https://github.com/owner/name")
    monkeypatch.setenv("FATELIB_REQUIRE_BROWSER", "1")
    assert results_digest(tree) == before
    monkeypatch.setenv("JAX_ENABLE_X64", "not what it was")
    with_setting = results_digest(tree)
    assert with_setting != before
    monkeypatch.setenv("XLA_FLAGS", "--xla_not_what_it_was")
    before, with_setting = with_setting, results_digest(tree)
    assert with_setting != before
    monkeypatch.setattr("_extensions.freshness.version", lambda name: "0.0")
    assert results_digest(tree) != with_setting
