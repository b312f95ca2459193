"""What the notebooks share: finding `portcullis`, making a sweep, reading it, validating, saving a figure.

Whatever goes wrong ends the notebook with one sentence: exit code 1 as a script, an error in the cell otherwise.
"""

import atexit
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import altair as alt
import polars as pl
from PIL import Image

NOTEBOOKS = Path(__file__).resolve().parent
PROJECT = NOTEBOOKS.parent.parent

# Distinguishable by colour-blind readers: Okabe and Ito for kinds, cuts of "plasma" for sizes, from small to large.
KINDS = ["#0072B2", "#D55E00", "#555555", "#009E73"]
SIZES = ["#FDB42F", "#ED7953", "#9C179E", "#0D0887"]


def binary() -> str:
    """The path of `portcullis`: from PORTCULLIS, else the release build of this repository, else from PATH."""
    if named := os.environ.get("PORTCULLIS"):
        if not (found := shutil.which(named)):
            sys.exit(f"PORTCULLIS names {named}, which is no program.")
        return found
    built = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target")) / "release" / "portcullis"
    found = shutil.which(built) or shutil.which("portcullis")
    if not found:
        sys.exit(f"portcullis is neither {built} nor in PATH: build it with `cargo build --release --locked`.")
    return found


def data_directory(given: str | None) -> Path:
    """Where sweeps are kept: as given, else PORTCULLIS_NOTEBOOKS_DATA, else a directory that goes with the process."""
    if kept := given or os.environ.get("PORTCULLIS_NOTEBOOKS_DATA"):
        return Path(kept).resolve()
    temporary = tempfile.mkdtemp(prefix="portcullis-notebooks-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)


def figures_directory(given: str | None) -> Path:
    """Where figures are saved: as given, else the documents' own."""
    return Path(given).resolve() if given else PROJECT / "docs" / "figures"


def sweep(scenario: str, axes: dict[str, str], settings: dict[str, object], data: Path) -> Path:
    """Simulates a scenario beside the notebooks over `axes`, with `settings`; the directory of the data set.

    Each choice of settings has a directory of its own, so that a choice made before is read, not simulated again.
    """
    name = "-".join([*(str(value) for value in settings.values()), *(key.split(".")[-1] for key in axes)])
    directory = data / Path(scenario).stem / name
    command = [binary(), "sweep", str(NOTEBOOKS / scenario), "--jobs", "2", "--quiet", "--out", str(directory)]
    for key, values in axes.items():
        command += ["--axis", f"{key}={values}"]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    done = run(command)
    if done.returncode != 0:
        sys.exit(f"The sweep failed: {done.stderr.strip()}")
    return directory


def run(command: list[str]) -> subprocess.CompletedProcess:
    """Runs a command to its end, whatever it comes to."""
    try:
        return subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started: {error}.")


def validate(data: Path) -> dict:
    """What `portcullis validate` says, as one object: run once for a directory of data."""
    kept = data / "validate.json"
    if not kept.exists():
        done = run([binary(), "validate", "--json", "--quiet"])
        # 1: a row misses; which one, the rows say.
        if done.returncode not in (0, 1) or not done.stdout:
            sys.exit(f"portcullis validate failed: {done.stderr.strip()}")
        data.mkdir(parents=True, exist_ok=True)
        kept.write_text(done.stdout)
    return json.loads(kept.read_text())


def read(directory: Path, table: str) -> pl.DataFrame:
    """A table of all points of a data set; `point` and the axes are columns."""
    return pl.read_parquet(directory / "point=*" / f"{table}.parquet", hive_partitioning=True)


def save(chart: alt.TopLevelMixin, path: Path) -> None:
    """Saves a chart as PNG, at twice its size in pixels; no browser is needed.

    128 colours are enough for lines and letters, and a fifth of the bytes.
    """
    full = io.BytesIO()
    chart.save(full, format="png", scale_factor=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(full).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def look(chart: alt.TopLevelMixin) -> alt.TopLevelMixin:
    """The look that all figures have."""
    return (
        chart.configure(font="DejaVu Sans", background="white")
        .configure_view(stroke="#999999")
        .configure_axis(labelFontSize=12, titleFontSize=12, titleFontWeight="normal", gridColor="#e4e4e4")
        .configure_axisY(minExtent=56)
        .configure_legend(labelFontSize=12, titleFontSize=12, titleFontWeight="normal", symbolSize=90, symbolOpacity=1)
        .configure_title(fontSize=14, subtitleFontSize=12, subtitleColor="#444444", anchor="start", offset=10)
    )


def report(claims: dict[str, bool]) -> str:
    """The claims as a list in Markdown, each with whether it holds."""
    return "\n".join(f"- {'holds' if holds else '**fails**'}: {claim}" for claim, holds in claims.items())
