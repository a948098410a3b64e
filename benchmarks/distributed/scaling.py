"""Measure computation against input on one and two workers, and extrapolate to many.

    python benchmarks/distributed/scaling.py              # minutes; leave 2 cores to it
    python benchmarks/distributed/scaling.py compute_io   # one question: see QUESTIONS
    python benchmarks/distributed/scaling.py --small      # shows that it runs

*Temporal Shift Module*, section 7.2 and 7.3: I3D and TSM by computation, input and gradients, data
parallel. A worker is a process of one thread on a core of its own (`training_step.py`), which also
reads and decodes its videos. Rows and columns that say "extrapolated" are not measured: they come
from `mpvn.report.scaling`, fitted to one and two workers. Results go to results/, tables to
README.md.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "input")]
from local_devices import free_ports  # noqa: E402
from reporting import Rows, environment, markdown, save  # noqa: E402
from training_step import Work  # noqa: E402
from videos import KINDS, encode  # noqa: E402

from mpvn.files import write_atomically  # noqa: E402
from mpvn.plan.simulation import Link  # noqa: E402
from mpvn.report.scaling import (  # noqa: E402
    WORKERS,
    Scaling,
    Step,
    fit,
    fit_hidden,
    fit_link,
    scaling_figure,
    scaling_rows,
)

FRAMES = {"i3d_resnet50_3x3x3": 16, "i3d_resnet50_3x1x1": 32, "tsm_resnet50": 8}
"""Frames of a clip in the paper's table 10, by network."""

PRINTED = {
    "i3d_resnet50_3x3x3": ("40", "47.0"),
    "i3d_resnet50_3x1x1": ("33", "29.3"),
    "tsm_resnet50": ("33", "24.3"),
}
"""Billions of multiply-adds of a clip and millions of parameters in the paper's tables 2 and 10."""

NETWORKS = {
    "1 GB/s": Link(20e-6, 1e-9),
    "10 GB/s": Link(5e-6, 1e-10),
}
"""Given networks, not measured ones."""

MEASURED = "as measured"
TSM = "tsm_resnet50"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", nargs="?", choices=sorted(QUESTIONS))
    parser.add_argument("--small", action="store_true", help="tiny sizes; writes nothing")
    options = parser.parse_args()
    for table in [options.table] if options.table else QUESTIONS:
        print(f"{table} ...", flush=True)
        started = time.time()
        rows, details, figure = QUESTIONS[table](options.small)
        print(markdown(rows))
        if options.small:
            print(details)
            continue
        details["command"] = f"python benchmarks/distributed/scaling.py {table}"
        save(HERE, table, {"rows": rows, "environment": environment(started, **details)})
        if figure:
            write_atomically(HERE / f"{table}.svg", figure)


Answer = tuple[Rows, dict[str, Any], str | None]
"""Rows of a table, what is said below it, and a figure."""


def compute_io(small: bool) -> Answer:
    """Return what the whole networks compute, read and send: *TSM*, table 10. Nothing is timed."""
    from keras_layers.pure_call import without_values
    from mpvn.models import PUBLISHED

    side = 64 if small else 224
    rows = []
    for name, frames in FRAMES.items():
        published = PUBLISHED[name]
        with without_values():
            model = published.build((side, side, 3), classes=400)
        plan = published.plan(model)
        multiply_adds = sum(plan.step_costs) * frames / plan.period
        parameters = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        size = frames * side * side * 3
        rows.append(
            {
                "network": name,
                "frames": frames,
                "G multiply-adds": f"{multiply_adds / 1e9:.1f}",
                "paper, G": PRINTED[name][0],
                "M parameters": f"{parameters / 1e6:.1f}",
                "paper, M": PRINTED[name][1],
                "MB of gradients": f"{4 * parameters / 1e6:.0f}",
                "MB of input": f"{size / 1e6:.2f}",
                "multiply-adds a byte of input": f"{multiply_adds / size:,.0f}",
            }
        )
    return rows, {"counted": "not timed"}, None


def input_profile(small: bool) -> Answer:
    """Return times of steps with and without input, on one worker."""
    rows = []
    for name in FRAMES:
        seconds = measured(name, 1, small)
        work = work_of(name, small)
        rows.append(
            {
                "network": name,
                "frames": work.frames,
                "forward, ms": _ms(seconds["forward"]),
                "step, ms": _ms(seconds["step"]),
                "input alone, ms": _ms(seconds["input"]),
                "step with input, ms": _ms(seconds["step with input"]),
                "input hidden": f"{hidden(seconds):.0%}",
                "computation / input": f"{seconds['step'] / seconds['input']:.2f}",
                "clips/s": f"{work.clips / seconds['step with input']:.2f}",
            }
        )
    return rows, _setting(work_of(TSM, small)), None


def scaling(small: bool) -> Answer:
    """Return one to 1,536 workers of TSM: measured, fitted and extrapolated, and the figure."""
    models = {name: fitted(name, small) for name in FRAMES}
    steps = {
        name: {n: measured(name, n, small)["step with input"] for n in (1, 2)} for name in models
    }
    rows = scaling_rows(models[TSM], steps[TSM])
    details = _setting(work_of(TSM, small)) | {"assumptions": " ".join(models[TSM].assumptions)}
    two = measured(TSM, 2, small)
    details["MB sent by both in a step"] = f"{two['loopback'] / 1e6:.2f}"
    details["MB of gradients"] = f"{two['gradients'] / 1e6:.2f}"
    return rows, details, scaling_figure(models, steps)


def scaling_by_network(small: bool) -> Answer:
    """Return efficiencies, all extrapolated: networks between workers, and hidden input or not."""
    rows = []
    for name in FRAMES:
        model = fitted(name, small)
        for label, link in {MEASURED: model.link, **NETWORKS}.items():
            for share in (model.step.hidden, 1.0):
                step = dataclasses.replace(model.step, hidden=share)
                changed = Scaling(step, link, model.overlap, model.wait)
                rows.append(
                    {"network": name, "between workers": label, "input hidden": f"{share:.0%}"}
                    | {
                        f"extrapolated, {n}": f"{changed.efficiency(n):.3f}"
                        for n in WORKERS
                        if n > 2
                    }
                )
    given = {
        label: f"{1e-9 / link.per_byte:g} GB/s, {1e6 * link.latency:g} us a hop"
        for label, link in NETWORKS.items()
    }
    return rows, _setting(work_of(TSM, small)) | {"given": given}, None


QUESTIONS = {
    "compute_io": compute_io,
    "input_profile": input_profile,
    "scaling": scaling,
    "scaling_by_network": scaling_by_network,
}


# --- measuring ----------------------------------------------------------------------------------


def work_of(name: str, small: bool) -> Work:
    """Return what a worker does, without its videos and addresses."""
    if small:
        return Work(name, 0.125, 32, 4, 1, [], 1, [])
    return Work(name, 0.25, 112, FRAMES[name], 4, [], 9, [])


@functools.cache
def measured(name: str, workers: int, small: bool) -> dict[str, Any]:
    """Return what the first of `workers` workers measures; see `training_step.measure`."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        videos = encode(pathlib.Path(folder, "videos"), KINDS["320x240 H.264"], 4, 80)
        addresses = [f"localhost:{port}" for port in free_ports(workers)]
        work = dataclasses.replace(work_of(name, small), videos=videos, addresses=addresses)
        processes = []
        for task in range(workers):
            text = json.dumps(dataclasses.asdict(dataclasses.replace(work, task=task)))
            command = [sys.executable, str(HERE / "training_step.py"), text]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        output = processes[0].communicate()[0]
        if any(process.wait() for process in processes):
            raise RuntimeError(f"A worker of {name} failed. See its message above.")
    return json.loads(output.splitlines()[-1])


def hidden(seconds: dict[str, Any]) -> float:
    """Return the share of the input that one worker hides."""
    return fit_hidden(seconds["step"], seconds["input"], seconds["step with input"])


def fitted(name: str, small: bool) -> Scaling:
    """Return the model of a network, fitted to one and two workers."""
    one, two = (measured(name, workers, small) for workers in (1, 2))
    step = Step(
        work_of(name, small).clips,
        one["step"],
        max(0.0, one["step"] - one["forward"]),
        one["input"],
        one["gradients"],
        hidden(one),
    )
    link = fit_link({int(size): seconds for size, seconds in two["messages"].items()})
    return fit(step, link, two["step"])


def _setting(work: Work) -> dict[str, Any]:
    return {
        "width": work.width,
        "frames of": f"{work.size}x{work.size}",
        "clips of a worker": work.clips,
        "threads of a worker": 1,
    }


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}"


if __name__ == "__main__":
    main()
