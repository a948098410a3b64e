"""What the benchmarks share: questions, taking turns, the machine in words, tables, and where they
go."""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

THREADS = {"intra": 2, "inter": 2}


def ask(script: str, doc: str, questions: Mapping[str, Callable[[bool], Any]]) -> None:
    """The command line of a benchmark that asks questions, each in a fresh process.

    Results go to results/QUESTION.json beside the script, tables to README.md between the markers.

    Args:
        script, doc: `__file__` and `__doc__` of the script.
        questions: by name, what gives the rows of a table; its argument asks for tiny sizes.
    """
    here = pathlib.Path(script).parent
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("question", nargs="?", choices=sorted(questions))
    parser.add_argument("--small", action="store_true", help="tiny sizes; writes nothing")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        print(json.dumps(_answer(f"benchmarks/{here.name}/run.py", asked, questions)))
        return
    for question in [asked.question] if asked.question else questions:
        command = [sys.executable, script, question, "--here"]
        command += ["--small"] if asked.small else []
        print(f"{question} ...", flush=True)
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        result = json.loads(run.stdout.splitlines()[-1])
        print(markdown(result["rows"]))
        if not asked.small:
            target = here / "results" / f"{question}.json"
            target.parent.mkdir(exist_ok=True)
            target.write_text(json.dumps(result, indent=1) + "\n")
            insert_table(here / "README.md", question, result)


def _answer(script: str, asked: argparse.Namespace, questions: Mapping) -> dict[str, Any]:
    """Rows of one question, with the environment they were measured in."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS["intra"])
    tf.config.threading.set_inter_op_parallelism_threads(THREADS["inter"])
    started = time.time()
    rows = questions[asked.question](asked.small)
    about = environment(started, threads=THREADS, command=f"python {script} {asked.question}")
    return {"rows": rows, "environment": about}


def take_turns(
    runners: dict[str, Callable[[], Any]], steps: int, rounds: int
) -> dict[str, list[float]]:
    """Seconds of `steps` calls of each runner, in turns, after one turn that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(rounds + 1):
        for name, run in runners.items():
            taken = timed(run, steps)
            if turn:
                seconds[name].append(taken)
    return seconds


def timed(call: Callable[[], Any], times: int) -> float:
    """Seconds of `times` calls."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - start


def environment(started: float, **about: Any) -> dict[str, Any]:
    """In what something was measured; `started` by `time.time()`."""
    import keras
    import tensorflow as tf

    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime(started)),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        **about,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "seconds": round(time.time() - started),
    }


def cpu_name() -> str:
    """Model name of the processor."""
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def markdown(rows: list[dict[str, Any]]) -> str:
    """`rows` as a Markdown table."""
    head = "| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0])
    return "\n".join([head, *("| " + " | ".join(map(str, r.values())) + " |" for r in rows)])


def insert_table(readme: pathlib.Path, name: str, result: dict[str, Any]) -> None:
    """Puts rows and environment of `result` between the markers of `name` in a README."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = readme.read_text().split(begin)
    after = rest.split(end)[1]
    about = ", ".join(
        f"{key} {value}"
        if not isinstance(value, dict)
        else ", ".join(f"{inner} {number}" for inner, number in value.items())
        for key, value in result["environment"].items()
    )
    table = f"\n\n{markdown(result['rows'])}\n\n{about}\n\n"
    readme.write_text(f"{before}{begin}{table}{end}{after}")
