"""Simulate the papers' tables of speed from multiply-adds alone: what the schedules allow.

    python benchmarks/distributed/bounds.py            # half a minute; nothing is measured
    python benchmarks/distributed/bounds.py --small    # shows that it runs

Time is proportional to multiply-adds and messages are free, so the gains are upper bounds of
`mpvn.plan.simulation`, the same on every machine. Results go to results/, tables to README.md.
"""

import argparse
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from local_devices import SIMULATED  # noqa: E402
from reporting import Rows, environment, markdown, save  # noqa: E402

STREAMS = {"par_densenet": (2, 4, 7, 14), "par_inception": (5, 10)}
"""The published numbers of parallel subnetworks."""

MODULES = {"simple_cnn": 6, "vgg8": 8, "vgg16": 8}
FRAMES = 64
"""Frames of a clip, as in *Sideways*, section 4.3."""

PAPER = {"simple_cnn": 8.4 / 1.7, "vgg8": 0.6 / 0.1}
"""*Sideways*, table 2: steps per second of Sideways over those of back-propagation."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="tiny sizes; writes nothing")
    small = parser.parse_args().small
    for name, question in (("stream_bounds", streams), ("training_bounds", trainings)):
        started = time.time()
        rows = question(small)
        print(markdown(rows))
        if not small:
            command = "python benchmarks/distributed/bounds.py"
            details = environment(started, simulated="from multiply-adds", command=command)
            save(HERE, name, {"rows": rows, "environment": details})


def streams(small: bool) -> Rows:
    """Return the gains of streams by number of subnetworks, with and without clocks."""
    side, width = (64, 0.125) if small else (224, 1.0)
    return [row for name in STREAMS for row in stream_rows(name, STREAMS[name], side, width)]


def stream_rows(
    name: str, numbers: Sequence[int], side: int, width: float
) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of subnetworks. Gains are over one device without clocks."""
    from mpvn.models import PUBLISHED
    from mpvn.plan.simulation import place, stream, stream_rate

    architecture = PUBLISHED[name]
    base = None
    for clocks in (False, True):
        model = architecture.build((side, side, 3), width=width, clocks=clocks)
        for number in (1, *numbers):
            costs = stream(architecture.plan(model, number))
            base = base or 1 / sum(costs.loads)
            own = range(number)
            traffic = sum(sum(message.sizes) for message in costs.messages) / costs.period
            yield {
                "network": name,
                "clocks": "yes" if clocks else "no",
                "subnetworks": number,
                "MB between subnetworks, a step": f"{traffic / 1e6:.2f}",
                **{
                    f"{count} devices": gain(stream_rate(costs, place(costs.loads, count)) / base)
                    for count in SIMULATED
                },
                "a device per subnetwork": gain(stream_rate(costs, own) / base),
                "and each step waits for all": gain(stream_rate(costs, own, chunk=1) / base),
            }


def gain(value: float) -> str:
    return f"{value:.2f}"


def trainings(small: bool) -> Rows:
    """Return the gains of training over back-propagation, which no device shortens."""
    from mpvn.models import PUBLISHED
    from mpvn.plan.simulation import place, simulate, stream, stream_rate
    from mpvn.sideways.simulation import chain, gpipe_works, sideways_stream

    side, width = (32, 0.125) if small else (112, 1.0)
    rows = []
    for name, modules in MODULES.items():
        plan = PUBLISHED[name].plan(PUBLISHED[name].build((side, side, 3), width=width), modules)
        costs, both = chain(plan), sideways_stream(stream(plan))
        alone = sum(costs.loads)
        for method in ("Sideways", "GPipe", "GPipe, forward passes repeated"):
            passes = costs.rematerialized if method.endswith("repeated") else costs
            gains = {}
            for count in (2, 4, modules):
                where = place(costs.loads, count)
                if method == "Sideways":
                    gains[count] = alone * stream_rate(both, where)
                else:
                    gains[count] = (
                        alone * FRAMES / simulate(gpipe_works(passes, where, FRAMES)).length
                    )
            rows.append(
                {
                    "network": name,
                    "method": method,
                    "modules": modules,
                    "2 devices": f"{gains[2]:.2f}",
                    "4 devices": f"{gains[4]:.2f}",
                    "a device per module": f"{gains[modules]:.2f}",
                    "paper, a V100 per module": f"{PAPER[name]:.1f}"
                    if method == "Sideways" and name in PAPER
                    else "",
                }
            )
    return rows


if __name__ == "__main__":
    main()
