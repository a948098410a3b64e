"""Compare the frames and times that mpvn reads with the ffmpeg program and with the truth.

    apt-get install ffmpeg                        # for comparison
    python benchmarks/frame_times/run.py          # about 3 minutes on 2 cores
    python benchmarks/frame_times/run.py phone    # only files with this in their name

The ffmpeg program makes the files. Every frame carries its number, and its time is known from the
schedule that the file was made from. Without a name, the result goes to results/files.json, the
table to README.md. The exit code is 1 if a file is read wrong, or if the ffmpeg program shows
something else than the truth and no remark says why.
"""

import argparse
import importlib.metadata
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from fractions import Fraction
from typing import Any

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from edited import edited_recordings  # noqa: E402
from program import clock_tick, read_by_program  # noqa: E402
from reading import read_stream, wrong_in_set  # noqa: E402
from recordings import LIMITS, Recording, even_recordings  # noqa: E402
from reporting import Rows, environment, markdown, save  # noqa: E402
from schedule import Schedule  # noqa: E402
from unusual import unusual_recordings  # noqa: E402

from mpvn.data.sets.files import FileVideo  # noqa: E402

OTHER_RATES = (Fraction(10), Fraction(25), Fraction(30))
STREAM = ("wrong frames", "wrong times", "wrong at a rate")
DATA_SET, RATE, MESSAGE = "wrong in a data set", "rate", "message"
PROGRAM = ("ffmpeg: frames", "ffmpeg: times", "ffmpeg: at a rate")
REMARK = "why ffmpeg differs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", default="", help="only files with this in their name")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="keep the files here")
    options = parser.parse_args()
    for program in ("ffmpeg", "ffprobe"):
        if shutil.which(program) is None:
            parser.error(f"expected the program {program}. Received: none. Install ffmpeg.")
    started = time.time()
    recordings = [*even_recordings(), *unusual_recordings(), *edited_recordings()]
    chosen = [recording for recording in recordings if options.name in recording.name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or pathlib.Path(temporary)
        folder.mkdir(exist_ok=True)
        rows = [compare(recording, folder) for recording in chosen]
    wrong = [row["file"] for row in rows if is_wrong(row)]
    rows.append(total(rows))
    print(markdown(rows))
    print(f"{len(wrong)} of {len(chosen)} files are wrong or unexplained: {' '.join(wrong)}")
    if not options.name:
        save(HERE, "files", {"rows": rows, "environment": versions(started)})
    sys.exit(1 if wrong else 0)


def compare(recording: Recording, folder: pathlib.Path) -> dict[str, Any]:
    """Make a file, read it by mpvn and by the ffmpeg program, and return a row of the table."""
    path, shown = folder / recording.name, recording.shown
    recording.make(path)
    tick = clock_tick(path)
    rates = tuple(dict.fromkeys((shown.rate or Fraction(30), *OTHER_RATES)))
    program = read_by_program(path, shown, rates)
    return {
        "file": recording.name,
        "frames": len(shown),
        **read_by_mpvn(path, shown, rates, tick),
        **dict(zip(PROGRAM, shown.mistakes(program, tick), strict=True)),
        REMARK: recording.remark,
    }


def read_by_mpvn(
    path: pathlib.Path, shown: Schedule, rates: tuple[Fraction, ...], tick: Fraction
) -> dict[str, Any]:
    """Read an undamaged file: each error or warning is a mistake, and is in the row."""
    mistakes: dict[str, Any] = dict.fromkeys((*STREAM, DATA_SET), len(shown))
    mistakes |= {RATE: "", MESSAGE: ""}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            reading, frames = read_stream(path, rates)
            mistakes |= dict(zip(STREAM, shown.mistakes(reading, tick), strict=True))
            mistakes[DATA_SET] = wrong_in_set(path, shown, frames, rates, tick)
            mistakes[RATE] = described(FileVideo(path).timeline.rate, shown.rates(tick))
        except Exception as error:  # A reader that fails is a row of the table, too.
            mistakes[MESSAGE] = f"{type(error).__name__}: {error}"
    if caught and not mistakes[MESSAGE]:
        mistakes[MESSAGE] = str(caught[0].message)
    mistakes[MESSAGE] = mistakes[MESSAGE].replace(f"{path.parent}/", "").replace("|", "/")
    return mistakes


def described(rate: Fraction, right: tuple[Fraction, Fraction]) -> str:
    """Return a rate as text, and the right ones if it is not among them."""
    text = str(rate) if rate.denominator in (1, 2, 1001) else f"{float(rate):.2f}"
    lowest, highest = right
    return text if lowest <= rate <= highest else f"{text}, not {float(highest):.2f}"


# --- the table ----------------------------------------------------------------------------------


def is_wrong(row: dict[str, Any]) -> bool:
    """Return whether mpvn is wrong, or the ffmpeg program differs without a remark."""
    program = [row[name] for name in PROGRAM]
    by_mpvn = any(row[name] for name in (*STREAM, DATA_SET, MESSAGE)) or "not" in row[RATE]
    if row["file"] in LIMITS:
        by_mpvn = [row[name] for name in STREAM] != program
    return by_mpvn or (any(program) and not row[REMARK])


def total(rows: Rows) -> dict[str, Any]:
    """Return the last row: sums of the numbers."""
    sums = {
        name: sum(row[name] for row in rows) if isinstance(value, int) else ""
        for name, value in rows[0].items()
    }
    return sums | {"file": f"total of {len(rows)} files"}


def versions(started: float) -> dict[str, Any]:
    first = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout
    return environment(
        started,
        av=importlib.metadata.version("av"),
        ffmpeg=first.split()[2],
        command="python benchmarks/frame_times/run.py",
    )


if __name__ == "__main__":
    main()
