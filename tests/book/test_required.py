"""What becomes of tests that drive a browser where there is none, and how CI comes to one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DRIVES = "tests/book/test_explorer.py::test_menu_for_text"


@pytest.mark.slow
@pytest.mark.parametrize("required", [False, True])
def test_where_there_is_no_browser(required, tmp_path):
    environment = {"PATH": "", "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path), "HOME": str(tmp_path)}
    if required:
        environment["FATELIB_REQUIRE_BROWSER"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", DRIVES]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    lines = run.stdout.splitlines()
    if required:
        assert run.returncode == 1, run.stdout
        assert "1 error" in lines[-1]
        assert "FATELIB_REQUIRE_BROWSER is set, but: no Chromium" in run.stdout
    else:
        assert run.returncode == 0, run.stdout
        assert "1 skipped" in lines[-2]
        assert lines[-1].startswith("Skipped: 1 with no Chromium (Debian: apt-get install chromium")


@pytest.fixture
def run(tmp_path):
    """Run `.ci/run` where there are only these programs; returns status and output."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "bin").mkdir()
    for name in ("bash", "dirname", "env", "touch", "chmod"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))

    def start(**programs):
        for name, script in programs.items():
            file = tmp_path / "bin" / name.replace("_", "-")
            file.write_text(f"#!{shutil.which('bash')}\n{script}\n")
            file.chmod(0o755)
        command, variables = ["bash", ".ci/run"], {"PATH": str(tmp_path / "bin")}
        done = subprocess.run(
            command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout.splitlines()

    return start


MAKE = "echo make $1, required $FATELIB_REQUIRE_BROWSER; test $1 = book || exit {}"
BOOK, TEST, REQUIRED = (
    f"make {what}" for what in ("book, required", "test, required", "test, required 1")
)


def test_a_browser_that_is_there(run):
    status, printed = run(make=MAKE.format(0), chromium="", id="echo 0", apt_get="echo apt-get")
    assert (status, printed) == (0, [BOOK, REQUIRED])
    assert run(make=MAKE.format(2))[0] == 2


@pytest.mark.parametrize(("user", "sudo"), [(0, "exit 1"), (1000, "shift; $*")])
def test_a_browser_that_can_be_installed(user, sudo, run):
    put = "case $* in *install*chromium) cd ${0%/*}; touch chromium; chmod +x chromium;; esac"
    status, printed = run(
        make=MAKE.format(0), id=f"echo {user}", sudo=sudo, apt_get=f"echo $DEBIAN_FRONTEND; {put}"
    )
    assert (status, printed) == (0, [BOOK, "noninteractive", "noninteractive", REQUIRED])


@pytest.mark.parametrize("status", [0, 2])
@pytest.mark.parametrize(
    "programs",
    [
        {"id": "echo 0", "apt_get": "exit 100"},  # no network
        {"id": "echo 0"},  # not Debian
        {"id": "echo 1000", "sudo": "exit 1", "apt_get": "exit 100"},
        {"id": "echo 1000"},
    ],
)
def test_no_browser_and_none_to_be_had(programs, status, run):
    """The last line says so; the status is that of the tests."""
    code, printed = run(make=MAKE.format(status), **programs)
    assert (code, printed[:2]) == (status, [BOOK, TEST])
    assert printed[2:] == [printed[-1]]
    assert printed[-1].startswith("BROWSER TESTS DID NOT RUN: ")
