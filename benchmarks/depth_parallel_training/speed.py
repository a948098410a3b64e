"""Measure how fast Sideways, back-propagation and GPipe train one chain on one and two devices.

    python benchmarks/depth_parallel_training/speed.py            # about 6 minutes on 2 cores
    python benchmarks/depth_parallel_training/speed.py overlap    # one question: overlap, speed
    python benchmarks/depth_parallel_training/speed.py --small    # shows that it runs

Each setting of threads and devices is a fresh process that waits for its turn. All settings take
turns within one run, one clip at a time; the tables report medians. Results go to
results/QUESTION.json, tables to README.md.
"""

import argparse
import contextlib
import pathlib
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from reporting import Rows, environment, markdown, save, take_turns  # noqa: E402
from torch_gpipe import torch_version, torch_worker  # noqa: E402
from workers import Setting, Worker, tensorflow_worker  # noqa: E402

METHODS = ("Sideways", "back-propagation", "GPipe")
SUBNETWORKS = 2
ONE = "one thread"
LOGICAL = "two logical devices"
PROCESSES = "two processes"
SETTINGS = {
    ONE: Setting(inter=1, intra=1, processes=1),
    LOGICAL: Setting(inter=2, intra=1, processes=1),
    PROCESSES: Setting(inter=1, intra=1, processes=2),
}
PLACEMENTS = ((1, ONE), (SUBNETWORKS, ONE), (SUBNETWORKS, LOGICAL), (SUBNETWORKS, PROCESSES))
"""Number of subnetworks D, and where they run: the columns of the table."""
TORCH = "PyTorch GPipe"
TORCH_STAGES = {(1, ONE): 1, (SUBNETWORKS, PROCESSES): SUBNETWORKS}
REPEATED = 4 / 3
"""Work of GPipe over that of Sideways. A backward pass counts as two forward passes, and GPipe
computes each forward pass twice: (1 + 2 + 1) / (1 + 2)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", nargs="?", choices=sorted(QUESTIONS))
    parser.add_argument("--small", action="store_true", help="tiny sizes; writes nothing")
    arguments = parser.parse_args()
    for question in [arguments.question] if arguments.question else sorted(QUESTIONS):
        print(f"{question} ...", flush=True)
        started = time.time()
        for name, rows in QUESTIONS[question](arguments.small).items():
            print(markdown(rows))
            if not arguments.small:
                command = f"python benchmarks/depth_parallel_training/speed.py {question}"
                details = environment(started, torch=torch_version(), command=command)
                save(HERE, name, {"rows": rows, "environment": details})


# --- questions ----------------------------------------------------------------------------------


def overlap(small: bool) -> dict[str, Rows]:
    """Time two independent chains of matrix products, on one device and on two."""
    settings = [
        (LOGICAL, Setting(1, 1, processes=1)),
        (LOGICAL, Setting(2, 1, processes=1)),
        (LOGICAL, Setting(1, 2, processes=1)),
        (PROCESSES, Setting(1, 1, processes=2)),
    ]
    devices = {"one chain": [0], "same device": [0, 0], "two devices": [0, 1]}
    with running({key: tensorflow_worker(key[1]) for key in settings}) as workers:
        runners = {
            (key, name): workers[key].runner(job="products", on=on)
            for key in settings
            for name, on in devices.items()
        }
        medians = median_seconds(runners, rounds=2 if small else 15)
    rows = []
    for key in settings:
        one, same, two = (medians[key, name] for name in devices)
        rows.append(
            {
                "devices": key[0],
                "inter-op threads, each process": key[1].inter,
                "intra-op threads, each process": key[1].intra,
                "one chain, ms": milliseconds(one),
                "two chains on one device, ms": milliseconds(same),
                "two chains on two devices, ms": milliseconds(two),
                "overlap on one device": f"{2 - same / one:.2f}",
                "overlap on two devices": f"{2 - two / one:.2f}",
            }
        )
    return {"overlap": rows}


def speed(small: bool) -> dict[str, Rows]:
    """Time an update on a clip, and compare it with what the schedules predict."""
    lengths = (4,) if small else (4, 8, 16, 32)
    sizes = {"width": 0.25, "batch": 1} if small else {"width": 1.0, "batch": 4}
    workers = {name: tensorflow_worker(setting) for name, setting in SETTINGS.items()}
    torch_workers = {place: torch_worker(stages) for place, stages in TORCH_STAGES.items()}
    installed = {place: worker for place, worker in torch_workers.items() if worker}
    with running({**workers, **installed}):
        runners = {
            (frames, method, place): workers[place[1]].runner(
                job="training",
                method=method,
                subnetworks=place[0],
                placed=place[1] != ONE,
                frames=frames,
                **sizes,
            )
            for frames in lengths
            for method in METHODS
            for place in PLACEMENTS
        }
        runners |= {
            (frames, TORCH, place): worker.runner(frames=frames, **sizes)
            for frames in lengths
            for place, worker in installed.items()
        }
        medians = median_seconds(runners, rounds=1 if small else 5)
        theory = workers[ONE].ask(
            job="theory", width=sizes["width"], subnetworks=SUBNETWORKS, frames=lengths
        )
    boundaries, largest = ", ".join(theory["boundaries"]), theory["largest"]
    print(f"Cut at {boundaries}. The largest subnetwork has {largest:.3f} of the work.")
    schedules = dict(zip(lengths, theory["over_gpipe"], strict=True))
    return {
        "speed": speed_table(medians, lengths, sizes["batch"], largest),
        "ratio": ratio_table(medians, schedules, largest),
    }


QUESTIONS = {"overlap": overlap, "speed": speed}


# --- tables -------------------------------------------------------------------------------------


def speed_table(
    medians: dict[Any, float], lengths: tuple[int, ...], batch: int, largest: float
) -> Rows:
    """Return one row per length of clip and method, with one column per placement.

    Args:
        medians: Seconds of an update, by number of frames, method and placement.
        lengths: Frames per clip.
        batch: Clips per update.
        largest: Share of the work in the largest subnetwork.
    """
    rows = []
    for frames in lengths:
        bounds = {
            "Sideways": 1 / largest,
            "back-propagation": 1.0,
            "GPipe": frames / (1 + (frames - 1) * largest),
        }
        for method in (*METHODS, TORCH):
            seconds = {place: medians.get((frames, method, place)) for place in PLACEMENTS}
            parallel = seconds[SUBNETWORKS, PROCESSES]
            alone = seconds[SUBNETWORKS, ONE] or seconds[1, ONE]
            rows.append(
                {
                    "M": frames,
                    "method": method,
                    **{
                        f"D = {place[0]}, {place[1]}, ms": cell(seconds[place], method, place)
                        for place in PLACEMENTS
                    },
                    f"{PROCESSES}, steps/s": f"{frames / parallel:.1f}" if parallel else "",
                    f"{PROCESSES}, frames/s": f"{batch * frames / parallel:.1f}"
                    if parallel
                    else "",
                    "gain over one thread": f"{alone / parallel:.2f}" if parallel else "",
                    "bound": f"{bounds[method]:.2f}" if method in bounds else "",
                }
            )
    return rows


def ratio_table(medians: dict[Any, float], schedules: dict[int, float], largest: float) -> Rows:
    """Return how many frames Sideways trains on per frame of GPipe, in theory and measured.

    Args:
        medians: As for `speed_table`.
        schedules: The ratio for equal subnetworks, by number of frames.
        largest: As for `speed_table`.
    """
    rows = []
    for frames, equal in schedules.items():
        unequal = (1 + (frames - 1) * largest) / (frames * largest)
        measured = {
            place: medians[frames, "GPipe", place] / medians[frames, "Sideways", place]
            for place in PLACEMENTS
        }
        rows.append(
            {
                "M": frames,
                "equal subnetworks, (M + D - 1) / M": f"{equal:.2f}",
                "with the real share s": f"{unequal:.2f}",
                "and forward passes repeated": f"{unequal * REPEATED:.2f}",
                f"measured, {PROCESSES}": f"{measured[SUBNETWORKS, PROCESSES]:.2f}",
                f"measured, {LOGICAL}": f"{measured[SUBNETWORKS, LOGICAL]:.2f}",
                f"measured, {ONE}": f"{measured[SUBNETWORKS, ONE]:.2f}",
            }
        )
    return rows


def cell(seconds: float | None, method: str, place: tuple[int, str]) -> str:
    """Return milliseconds, or why there are none."""
    missing = "PyTorch is not installed" if method == TORCH and place in TORCH_STAGES else ""
    return milliseconds(seconds) if seconds else missing


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f}"


# --- tools --------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(workers: dict[Any, Worker]) -> Iterator[dict[Any, Worker]]:
    """Close the workers at the end of the block."""
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


def median_seconds(runners: dict[Any, Any], rounds: int) -> dict[Any, float]:
    """Return the median seconds of each runner. The first turn, which traces, does not count."""
    seconds = take_turns(runners, steps=1, rounds=rounds)
    return {key: statistics.median(values) for key, values in seconds.items()}


if __name__ == "__main__":
    main()
