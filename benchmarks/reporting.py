"""Helpers of all benchmarks: the command line, fresh processes, turns, and the READMEs' tables."""

import argparse
import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

THREADS = {"intra": 2, "inter": 2}
"""TensorFlow threads of a measured process; see `limit_threads`."""

Rows = list[dict[str, Any]]
"""Rows of a table: the cell by the name of the column."""


def run_questions(
    script: str,
    doc: str,
    questions: Mapping[str, Callable[[bool], Rows]],
    packages: Sequence[str] = (),
    threads: Sequence[int] = (THREADS["intra"],),
) -> None:
    """Run the command line of a benchmark that answers questions, each in a fresh process.

    With several thread counts, each has a process of its own, and its rows follow one another.

    Args:
        script: `__file__` of the benchmark.
        doc: Its `__doc__`. The first line becomes the help text.
        questions: Functions that return the rows of a table, by name. Their argument is True for
            tiny sizes.
        packages: Packages whose versions are part of the results, as far as they are installed.
        threads: Thread counts to measure.
    """
    folder = pathlib.Path(script).parent
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("question", nargs="?", choices=sorted(questions))
    parser.add_argument("--small", action="store_true", help="tiny sizes; writes nothing")
    parser.add_argument("--here", type=int, metavar="THREADS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        command = f"python benchmarks/{folder.name}/run.py {options.question}"
        limit_threads(options.here)
        question = questions[options.question]
        print(json.dumps(_answer(question, options.small, command, versions(packages))))
        return
    for question in [options.question] if options.question else questions:
        print(f"{question} ...", flush=True)
        small = ["--small"] if options.small else []
        result = _joined(
            {
                count: run_in_fresh_process(script, question, "--here", str(count), *small)
                for count in threads
            }
        )
        print(markdown(result["rows"]))
        if not options.small:
            save(folder, question, result)


def _answer(
    question: Callable[[bool], Rows], small: bool, command: str, versions: dict[str, str]
) -> dict[str, Any]:
    started = time.time()
    rows = question(small)
    details = environment(started, **versions, threads=THREADS, command=command)
    return {"rows": rows, "environment": details}


def _joined(results: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    """Return results by thread counts as one; several counts become a column of the rows."""
    last = [*results.values()][-1]
    if len(results) == 1:
        return last
    details = last["environment"]
    del details["threads"]
    details["seconds"] = sum(result["environment"]["seconds"] for result in results.values())
    rows = [{"threads": n, **row} for n, result in results.items() for row in result["rows"]]
    return {"rows": rows, "environment": details}


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


# --- measuring ----------------------------------------------------------------------------------


def limit_threads(count: int = THREADS["intra"]) -> None:
    """Limit TensorFlow's threads, before it does anything else in this process; set `THREADS`."""
    THREADS.update(intra=count, inter=count)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS["intra"])
    tf.config.threading.set_inter_op_parallelism_threads(THREADS["inter"])


def run_in_fresh_process(script: str, *arguments: str) -> Any:
    """Run a Python script, and return the JSON in the last line of its output."""
    command = [sys.executable, script, *arguments]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def take_turns(
    runners: dict[str, Callable[[], Any]], steps: int, rounds: int
) -> dict[str, list[float]]:
    """Time the runners in turns, so that a busy moment of the machine affects all of them.

    Args:
        runners: What to time, by name.
        steps: Calls per turn.
        rounds: Turns of each runner, after a first turn that is not counted.

    Returns:
        Seconds of each turn, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(rounds + 1):
        for name, run in runners.items():
            duration = timed(run, steps)
            if turn:
                seconds[name].append(duration)
    return seconds


def timed(call: Callable[[], Any], times: int) -> float:
    """Return the seconds that `times` calls take."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - start


def resident_peak() -> float:
    """Return the peak resident memory of this process so far, in MiB.

    As `mpvn.machine.peak_memory`, without an import that would add to what is measured.
    """
    if sys.platform == "linux":  # Its `getrusage` also counts the process that started this one.
        status = pathlib.Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS: bytes


def environment(started: float, **details: Any) -> dict[str, Any]:
    """Return date, machine, versions and duration of a measurement that began at `started`."""
    import keras
    import tensorflow as tf

    from mpvn.machine import cpu_name, usable_cores

    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime(started)),
        "cpu": cpu_name(),
        "cores": usable_cores(),
        **details,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "seconds": round(time.time() - started),
    }


# --- tables -------------------------------------------------------------------------------------


def markdown(rows: Rows) -> str:
    """Return `rows` as a Markdown table."""
    head = "| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0])
    return "\n".join([head, *("| " + " | ".join(map(str, r.values())) + " |" for r in rows)])


def save(folder: pathlib.Path, name: str, result: dict[str, Any]) -> None:
    """Write a result to results/NAME.json, and its table into README.md.

    Args:
        folder: Folder of the benchmark.
        name: Name of the result, and of its markers in the README.
        result: `"rows"` and `"environment"`.
    """
    target = folder / "results" / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n")
    insert_table(folder / "README.md", name, result)


def insert_table(readme: pathlib.Path, name: str, result: dict[str, Any]) -> None:
    """Put the rows and the environment of a result between the markers `name` of a README."""
    details = ", ".join(
        f"{key} {value}"
        if not isinstance(value, dict)
        else ", ".join(f"{inner} {number}" for inner, number in value.items())
        for key, value in result["environment"].items()
    )
    insert_text(readme, name, f"{markdown(result['rows'])}\n\n{details}")


def insert_text(readme: pathlib.Path, name: str, text: str) -> None:
    """Replace the text between `<!-- NAME -->` and `<!-- end of NAME -->` in a README."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = readme.read_text().split(begin)
    after = rest.split(end)[1]
    readme.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
