"""Measure the papers' tables of speed on two cores, and simulate more devices from what they cost.

    python benchmarks/distributed/tables.py                 # all four tables
    python benchmarks/distributed/tables.py par_inception   # one: see QUESTIONS
    python benchmarks/distributed/tables.py --small         # shows that it runs

Devices are processes of one thread on a core of their own (`local_devices.py`). Columns that say
"simulated" are not measured: `mpvn.plan.simulation` computes them from the measured time of each
layer, scaled so that one device takes what it was measured to take, and from the measured link
between two devices. Results go to results/TABLE.json, tables to README.md.
"""

import importlib
import os
import pathlib
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from local_devices import Setup, local_devices, measure_link, table_arguments  # noqa: E402
from reporting import environment, markdown, save  # noqa: E402

QUESTIONS = {
    "par_densenet": "stream_tables",
    "par_inception": "stream_tables",
    "sideways": "training_tables",
    "skip_sideways": "training_tables",
}
"""The module of each table, which is imported when devices are connected."""


def main() -> None:
    arguments = table_arguments(__file__, __doc__, QUESTIONS)
    if arguments is None:
        return
    print(f"{arguments.table} ...", flush=True)
    started = time.time()
    with local_devices(2) as devices:
        link = measure_link(devices, rounds=3 if arguments.small else 15)
        module, table = importlib.import_module(QUESTIONS[arguments.table]), arguments.table
        rows = getattr(module, table)(Setup(devices, arguments.small, **link))
    print(markdown(rows))
    details = {
        "latency of a message": f"{1e6 * link['latency']:.0f} us",
        "GB/s between devices": f"{1e-9 / link['per_byte']:.2f}"
        if link["per_byte"]
        else "no limit",
        "call": f"{1e3 * link['call']:.1f} ms",
        "command": f"python benchmarks/distributed/tables.py {arguments.table}",
    }
    if arguments.small:
        print(details)
    else:
        result = {"rows": rows, "environment": environment(started, **details)}
        save(HERE, arguments.table, result)


if __name__ == "__main__":
    main()
