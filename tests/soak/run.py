"""The soak: callers in processes, one restart of the server, and what is judged at the end."""

import collections
import dataclasses
import json
import pathlib
import pickle
import statistics
import subprocess
import sys
import time
from typing import Any

from soak.lives import Told, wrong_answers
from soak.load import LEFT, Load
from soak.servers import TESTS, ServerProcess
from soak.target import Fault, Target

PROCESSES = 2

SLACK = 1.0
"""Seconds of the clocks' and threads' imprecision."""


@dataclasses.dataclass
class Report:
    """What a soak has found.

    Attributes:
        faults: what must not happen; empty, if all is well.
        events: counts of what happened.
        checked: number of answers that were compared with the network alone.
        lives: number of lives of streams.
        told: number of restarts that streams were told, by the reason.
        memory: resident MiB of the server, as it went on after the restart.
        handles: number of its open files, then.
        metrics: of the server itself, at the end.
    """

    faults: list[str]
    events: dict[str, int]
    checked: int
    lives: int
    told: dict[str, int]
    memory: list[float] = dataclasses.field(default_factory=list)
    handles: list[int] = dataclasses.field(default_factory=list)
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def growth(self) -> float:
        """MiB by which the server has grown after it was warm: the last tenth over the third."""
        tenth = max(1, len(self.memory) // 10)
        warm = statistics.median(self.memory[2 * tenth : 3 * tenth])
        return statistics.median(self.memory[-tenth:]) - warm


def soak(
    server: ServerProcess, network: Any, folder: pathlib.Path, seconds: float, **load: Any
) -> Report:
    """Run callers against a server that is restarted in the middle.

    Args:
        server: the server; it is started and stopped here.
        network: what it serves.
        folder: for files.
        seconds: how long; the restart is after a third.
        load: options of `Callers`.
    """
    callers = [
        Callers(server.target, folder / f"load_{number}.pickle", 1000 * number, **load)
        for number in range(PROCESSES)
    ]
    try:
        server.start()
        until = time.time() + seconds
        for each in callers:
            each.begin(until)
        time.sleep(seconds / 3)
        away = [time.time()]
        code = server.stop()
        time.sleep(1)
        server.start()
        away.append(time.time())
        memory, handles = watch(server, until)
        found = [each.end() for each in callers]
        metrics = server.metrics()
        codes = [code, server.stop()]
    finally:
        server.kill()
        for each in callers:
            each.kill()
    report = judge(found, network, [(away[0], away[1])], server.target.idle)
    report.memory, report.handles, report.metrics = memory, handles, metrics
    report.faults += [f"The server ended with code {code}." for code in codes if code]
    if server.target.is_ours:
        report.faults += [f"log: {each}" for each in server.traces()]
    return report


class Callers:
    """A process with callers.

    Args:
        target: the server.
        path: the file for what they see.
        seed: of all that is random.
        actors: number of streams at a time.
        abusers: number of threads with garbage.
        interval: mean seconds between two calls of a stream.
    """

    def __init__(
        self,
        target: Target,
        path: pathlib.Path,
        seed: int,
        actors: int = 32,
        abusers: int = 2,
        interval: float = 0.5,
    ) -> None:
        known = json.dumps(dataclasses.asdict(target))
        arguments = (known, seed, actors, abusers, interval, path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "soak", *map(str, arguments)],
            cwd=TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._path, self._until = path, 0.0

    def begin(self, until: float) -> None:
        """Let them call until a time."""
        self._until = until
        if not self._process.stdout.readline():
            raise RuntimeError("The callers did not start.")
        self._process.stdin.write(f"{until}\n")
        self._process.stdin.flush()

    def end(self) -> Load:
        """Wait for what they have seen."""
        code = self._process.wait(max(0.0, self._until - time.time()) + LEFT + 60)
        self._close()
        if code:
            raise RuntimeError(f"The callers ended with code {code}.")
        return pickle.loads(self._path.read_bytes())

    def kill(self) -> None:
        """End them."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        self._close()

    def _close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()


def watch(server: ServerProcess, until: float) -> tuple[list[float], list[int]]:
    """Return memory and open files of a server, each second until a time."""
    memory, handles = [], []
    while time.time() < until:
        time.sleep(1)
        memory.append(round(server.resident(), 1))
        handles.append(server.handles())
    return memory, handles


def judge(loads: list[Load], network: Any, away: list[tuple[float, float]], idle: float) -> Report:
    """Return what callers have seen, and what of it is wrong.

    Args:
        loads: what each process has seen.
        network: what the server has.
        away: when the server was away: since, until.
        idle: seconds after which a stream may lose its slot.
    """
    events: collections.Counter[str] = collections.Counter()
    told: collections.Counter[str] = collections.Counter()
    faults = []
    for load in loads:
        events.update(load.events)
        for fault in load.faults:
            if is_excused(fault, away):
                events["errors while the server was away"] += 1
            else:
                faults.append(fault.text)
        for each in load.told:
            why = reason(each, away, idle)
            told[why] += 1
            if why == "unknown":
                faults.append(f"{each.protocol} {each.stream}: begun anew without a reason")
    lives = [life for load in loads for life in load.lives]
    faults += wrong_answers(network, lives)
    checked = sum(x is not None for life in lives if life.is_certain for x in life.outputs)
    return Report(faults, dict(sorted(events.items())), checked, len(lives), dict(told))


def is_excused(fault: Fault, away: list[tuple[float, float]]) -> bool:
    """Return whether what happened is due to a server that was away."""
    return fault.since is not None and any(
        fault.since <= until + SLACK and fault.end >= since - SLACK for since, until in away
    )


def reason(told: Told, away: list[tuple[float, float]], idle: float) -> str:
    """Return why a stream may have been begun anew."""
    if any(told.since <= until and told.now >= since for since, until in away):
        return "restart of the server"
    return "idle" if told.now - told.since >= idle else "unknown"
