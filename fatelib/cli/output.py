"""Where a command writes: its directory, and pictures and results that replace no others."""

import re
from pathlib import Path

import xarray as xr

# What the pictures of this command say of themselves: it replaces no others.
MARK = "drawn by the command fatelib"


def directory(out: str, example: str) -> Path:
    """Return the directory that --out names, which is no file of another kind."""
    from fatelib.sweep.store import local_directory

    path = local_directory("--out", out)
    # Of letters, as those of files: a name may end in sigma0.2.
    is_file = re.match(r"\.[A-Za-z]", path.suffix) and path.suffix.lower() != ".zarr"
    if not path.name or (is_file and not path.is_dir()):
        raise ValueError(
            f"--out must name a directory, for data and pictures; got {out}: type "
            f"--out {path.with_suffix(Path(example).suffix) if path.name else example}"
        )
    return path


def check_writable(out: Path) -> None:
    """Raise at once, not after hours of computation."""
    import tempfile

    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise ValueError(
            f"--out must be a directory that can be written; got {out}: {error}"
        ) from error


def check_drawn_here(picture: Path) -> None:
    """Raise where a picture would replace something else."""
    if not picture.exists():
        return
    try:
        with open(picture, "rb") as file:
            is_ours = MARK.encode() in file.read(4096)
    except OSError:
        is_ours = False
    if not is_ours:
        raise ValueError(f"{picture} is there and was not {MARK}: move it, or name another --out")


def save(data: xr.Dataset, path: Path, group: str | None = None) -> None:
    """Write a data set, with attributes that JSON can hold and the version that computed it."""
    import math

    from fatelib import __version__

    attrs = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in data.attrs.items()
    }
    data = data.assign_attrs({"fatelib": __version__, **attrs})
    data.to_zarr(path, group=group, mode="w", consolidated=False, zarr_format=2)
