"""What the ffmpeg program shows: the frames of a file, their times, and other rates."""

import json
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from schedule import Reading, Schedule, number_in


def clock_tick(path: pathlib.Path) -> Fraction:
    """Return a tick of the clock of a file's first video stream, in seconds."""
    return Fraction(_stream(path)["time_base"])


def read_by_program(path: pathlib.Path, shown: Schedule, rates: Sequence[Fraction]) -> Reading:
    """Read a file with the ffmpeg program.

    No frame is dropped or repeated (`-fps_mode passthrough`). The filter `fps` with `round=up` has
    the same definition as `VideoReader(path, fps=rate)`: the newest frame at n / rate. It compares
    times exactly, so they are first made earlier by half a tick, if the clock of the file rounds.
    """
    stream = _stream(path)
    rounding = int(shown.rounding(Fraction(stream["time_base"])) / 2 * 10**6) + 2
    early = f"settb=1/1000000,setpts=PTS-STARTPTS-{rounding}"
    filters = ["showinfo", *(f"{early},fps={rate}:round=up" for rate in rates)]
    split = f"[0:v:0]split={len(filters)}" + "".join(f"[in{i}]" for i in range(len(filters)))
    branches = [f"[in{i}]{each},format=gray[out{i}]" for i, each in enumerate(filters)]
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-i", str(path)]
    command += ["-filter_complex", ";".join([split, *branches])]
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder) / str(i) for i in range(len(filters))]
        for i, file in enumerate(files):
            command += [
                "-map",
                f"[out{i}]",
                "-fps_mode",
                "passthrough",
                "-f",
                "rawvideo",
                str(file),
            ]
        log = subprocess.run(command, capture_output=True, check=True, text=True).stderr
        size = stream["height"], stream["width"]
        numbers, *at_rates = [_numbers(file, size) for file in files]
    base = Fraction(re.search(r"config in time_base: (\S+),", log)[1])
    ticks = [int(pts) for pts in re.findall(r"Parsed_showinfo\S* @ \S+ n: *\d+ pts: *(-?\d+)", log)]
    seconds = [(pts - ticks[0]) * base for pts in ticks]
    return Reading(numbers, seconds, dict(zip(rates, at_rates, strict=True)))


def _stream(path: pathlib.Path) -> dict[str, Any]:
    wanted = "-select_streams v:0 -show_entries stream=time_base,width,height -of json"
    command = ["ffprobe", "-v", "error", *wanted.split(), str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"][0]


def _numbers(file: pathlib.Path, size: tuple[int, int]) -> list[int]:
    pictures = np.fromfile(file, np.uint8).reshape(-1, *size)
    return [number_in(pixels) for pixels in pictures]
