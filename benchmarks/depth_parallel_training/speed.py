"""How fast Sideways, back-propagation and GPipe train the same chain on one and on two devices.

    python benchmarks/depth_parallel_training/speed.py            # about 6 minutes on 2 cores
    python benchmarks/depth_parallel_training/speed.py overlap    # one question: overlap, speed
    python benchmarks/depth_parallel_training/speed.py --small    # shows that it runs

Every setting of threads and devices is a fresh process that waits for its turn; all ways take turns
within one run, a clip at a time, and medians are reported. Results go to results/QUESTION.json,
tables to README.md between the markers.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from reporting import environment, insert_table, markdown, take_turns  # noqa: E402
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
WAYS = ((1, ONE), (SUBNETWORKS, ONE), (SUBNETWORKS, LOGICAL), (SUBNETWORKS, PROCESSES))
TORCH = "GPipe of PyTorch"
TORCH_STAGES = {(1, ONE): 1, (SUBNETWORKS, PROCESSES): SUBNETWORKS}
REPEATED = 4 / 3
"""Work of GPipe over that of Sideways: forward, backward and forward again, to 1 + 2 units."""


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
                about = environment(started, torch=torch_version(), command=command)
                result = {"rows": rows, "environment": about}
                target = HERE / "results" / f"{name}.json"
                target.parent.mkdir(exist_ok=True)
                target.write_text(json.dumps(result, indent=1) + "\n")
                insert_table(HERE / "README.md", name, result)


# --- questions ------------------------------------------------------------------------------


def overlap(small: bool) -> dict[str, list[dict[str, Any]]]:
    """Two independent chains of matrix products, on one device and on two."""
    settings = {
        "two logical devices": (
            Setting(1, 1, processes=1),
            Setting(2, 1, processes=1),
            Setting(1, 2, processes=1),
        ),
        "two processes": (Setting(1, 1, processes=2),),
    }
    flat = [(name, setting) for name, those in settings.items() for setting in those]
    placements = {"one": [0], "same": [0, 0], "two": [0, 1]}
    with running({key: tensorflow_worker(key[1]) for key in flat}) as workers:
        ways = {
            (key, name): workers[key].runner(what="products", on=on)
            for key in flat
            for name, on in placements.items()
        }
        medians = in_turns(ways, rounds=2 if small else 15)
    rows = []
    for key in flat:
        one, same, two = (medians[key, name] for name in placements)
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


def speed(small: bool) -> dict[str, list[dict[str, Any]]]:
    """Time of an update by a clip, and what of it the schedules foretell."""
    lengths = (4,) if small else (4, 8, 16, 32)
    sizes = {"width": 0.25, "batch": 1} if small else {"width": 1.0, "batch": 4}
    workers = {name: tensorflow_worker(setting) for name, setting in SETTINGS.items()}
    torch_workers = {way: torch_worker(stages) for way, stages in TORCH_STAGES.items()}
    present = {way: worker for way, worker in torch_workers.items() if worker}
    with running({**workers, **present}):
        ways = {
            (frames, method, way): workers[way[1]].runner(
                what="training",
                method=method,
                subnetworks=way[0],
                placed=way[1] != ONE,
                frames=frames,
                **sizes,
            )
            for frames in lengths
            for method in METHODS
            for way in WAYS
        }
        ways |= {
            (frames, TORCH, way): worker.runner(frames=frames, **sizes)
            for frames in lengths
            for way, worker in present.items()
        }
        medians = in_turns(ways, rounds=1 if small else 5)
        plan = workers[ONE].ask(
            what="theory", width=sizes["width"], subnetworks=SUBNETWORKS, frames=lengths
        )
    print(f"cut at {', '.join(plan['cut'])}; the dearest has {plan['dearest']:.3f} of the work")
    schedules = dict(zip(lengths, plan["over_gpipe"], strict=True))
    return {
        "speed": speed_table(medians, lengths, sizes["batch"], plan["dearest"]),
        "ratio": ratio_table(medians, schedules, plan["dearest"]),
    }


QUESTIONS = {"overlap": overlap, "speed": speed}


# --- tables ---------------------------------------------------------------------------------


def speed_table(
    medians: dict[Any, float], lengths: tuple[int, ...], batch: int, dearest: float
) -> list[dict[str, Any]]:
    """A row for each length of clip and method, a column for each way to run it."""
    rows = []
    for frames in lengths:
        bounds = {
            "Sideways": 1 / dearest,
            "back-propagation": 1.0,
            "GPipe": frames / (1 + (frames - 1) * dearest),
        }
        for method in (*METHODS, TORCH):
            own = {way: medians.get((frames, method, way)) for way in WAYS}
            best = own[SUBNETWORKS, PROCESSES]
            alone = own[SUBNETWORKS, ONE] or own[1, ONE]
            rows.append(
                {
                    "M": frames,
                    "method": method,
                    **{f"D = {way[0]}, {way[1]}, ms": cell(own[way], method, way) for way in WAYS},
                    f"{PROCESSES}, steps/s": f"{frames / best:.1f}" if best else "",
                    f"{PROCESSES}, frames/s": f"{batch * frames / best:.1f}" if best else "",
                    "gain over one thread": f"{alone / best:.2f}" if best else "",
                    "bound": f"{bounds[method]:.2f}" if method in bounds else "",
                }
            )
    return rows


def ratio_table(
    medians: dict[Any, float], schedules: dict[int, float], dearest: float
) -> list[dict[str, Any]]:
    """How many frames Sideways trains on for each of GPipe's, in theory and measured."""
    rows = []
    for frames, equal in schedules.items():
        unequal = (1 + (frames - 1) * dearest) / (frames * dearest)
        measured = {
            way: medians[frames, "GPipe", way] / medians[frames, "Sideways", way] for way in WAYS
        }
        rows.append(
            {
                "M": frames,
                "schedule, (M + D - 1) / M": f"{equal:.2f}",
                "by the dearest subnetwork": f"{unequal:.2f}",
                "and forward passes repeated": f"{unequal * REPEATED:.2f}",
                f"measured, {PROCESSES}": f"{measured[SUBNETWORKS, PROCESSES]:.2f}",
                f"measured, {LOGICAL}": f"{measured[SUBNETWORKS, LOGICAL]:.2f}",
                f"measured, {ONE}": f"{measured[SUBNETWORKS, ONE]:.2f}",
            }
        )
    return rows


def cell(seconds: float | None, method: str, way: tuple[int, str]) -> str:
    """Milliseconds, or why there are none."""
    absent = "PyTorch is not installed" if method == TORCH and way in TORCH_STAGES else ""
    return milliseconds(seconds) if seconds else absent


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f}"


# --- tools ----------------------------------------------------------------------------------


@contextlib.contextmanager
def running(workers: dict[Any, Worker]) -> Iterator[dict[Any, Worker]]:
    """`workers`, ended at the end."""
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


def in_turns(ways: dict[Any, Any], rounds: int) -> dict[Any, float]:
    """The median seconds of each way; the first turn, which builds and traces, is not counted."""
    seconds = take_turns(ways, steps=1, rounds=rounds)
    return {way: statistics.median(values) for way, values in seconds.items()}


if __name__ == "__main__":
    main()
