"""Runs a command that uses a cluster, and runs it again after a fault.

    loop:
        wait until the workers answer; a spare takes the place of one that does not
        start the command in a process of its own, which goes on where the last one was
        every quarter of a second, until it ends:
            a worker is gone, or hangs; or the process says nothing for the deadline:
                kill it, with all that it has started

The supervisor imports no TensorFlow, so it starts at once and cannot hang with it. The process says
by `supervised.py` that it is alive. Whoever dies, all begin afresh: a server serves one chief, and
a run resumes exactly from its last checkpoint. If the supervisor dies, its process ends, too, and
the same command resumes the run.
"""

import contextlib
import dataclasses
import json
import math
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from mpvn.cluster.cluster_file import Cluster
from mpvn.cluster.connect import WAIT, missing_worker
from mpvn.cluster.supervised import VARIABLE, Orders
from mpvn.cluster.watch import INTERVAL, Watch
from mpvn.signals import on_stop

DEADLINE = 60.0
"""Seconds after which a process that has not finished a batch or frame is taken for hanging."""

LONG = 10
"""How many deadlines it may take to start, to trace functions, and to write large files."""

_PATIENCE = {"beat": 1.0, "long": float(LONG), "waits": math.inf}  # deadlines to what comes next

RESTARTS = 5
"""Restarts without progress after which the command is given up."""

RETURN = 600.0
"""Seconds in which lost workers must return after a fault."""

INTERRUPTED = 130
GIVEN_UP = 1
_MISTAKE = 2
_FINAL = (0, _MISTAKE, INTERRUPTED, 141)  # exit codes of a command that ends as it should

_AFTER = 1.0  # seconds in which the workers notice that their chief is gone


class GivenUp(Exception):
    """A command that fails again and again, or whose workers do not return."""


class Supervisor:
    """Runs a command under supervision.

    Args:
        cluster: the addresses.
        command: the arguments of the process.
        deadline: seconds after which a process that has not finished a batch or frame hangs.
        what: what happens after a fault, such as `"training resumes from batch {kept}"`.
        say: is called with a line about each event.
        restarts: restarts without progress after which the command is given up.
    """

    def __init__(
        self,
        cluster: Cluster,
        command: Sequence[str],
        what: str,
        say: Callable[[str], None],
        deadline: float = DEADLINE,
        restarts: int = RESTARTS,
    ) -> None:
        self._cluster, self._command = cluster, command
        self._what, self._say = what, say
        self._deadline, self._most = deadline, restarts
        self._workers = [*cluster.workers]
        self._kept: int | None = None
        self._restarts = 0
        self._child: _Child | None = None
        self._stopped = False

    def run(self) -> int:
        """Run the command to its end, and return its exit code.

        Raises:
            ConnectionError: at the start, a worker is missing.
            GivenUp: it failed too often, or a worker was lost for good.
            KeyboardInterrupt: a signal asked to stop while no process ran.
        """
        vain, before, servers = 0, _Fault(""), self._cluster.servers
        with on_stop(self._stop), Watch(servers, self._deadline) as watch:
            while True:
                self._wait_for_workers(watch)
                kept = self._kept
                orders = Orders(0, os.getpid(), tuple(self._workers), kept, self._restarts)
                with _Child(self._command, orders) as child:
                    self._child = child
                    end = self._supervise(child, watch)
                self._child = None
                if isinstance(end, int):
                    return end
                if self._stopped:
                    self._say(f"stopped ({end.what}); run again to resume")
                    return INTERRUPTED
                vain = 1 if self._kept != kept else vain + 1
                if vain > self._most or (vain > 1 and end.is_like(before)):
                    raise GivenUp(self._why_given_up(end, vain))
                again = "it starts again" if self._kept is None else self._what
                self._say(f"{end.what}; {again.format(kept=self._kept)}")
                self._restarts, before = self._restarts + 1, end
                time.sleep(_AFTER)

    def _stop(self, number: int, frame: object) -> None:
        """Hand a signal on, to a process that can leave a checkpoint."""
        child, self._stopped = self._child, True
        if child is None:
            raise KeyboardInterrupt
        if child.is_here:
            child.signal(number)
        else:
            child.kill()

    def _wait_for_workers(self, watch: Watch) -> None:
        """Return when all workers answer. Spares take the places of those that do not."""
        first = not self._restarts
        start, said = time.monotonic(), first
        while True:
            watch.look(self._cluster.servers)
            missing = {*self._workers} - {*watch.answering(self._workers)}
            if not missing:
                return
            waited = time.monotonic() - start
            if waited > WAIT:
                free = [each for each in self._cluster.servers if each not in self._workers]
                self._replace(missing, watch.answering(free))
                if first and {*self._workers} & missing:
                    task = min(map(self._workers.index, {*self._workers} & missing))
                    raise ConnectionError(missing_worker(task, self._workers[task], WAIT))
            if waited > RETURN:
                raise GivenUp(
                    f"Expected {', '.join(sorted(missing))} to answer again within {RETURN:g} s "
                    "after a fault. Received: no answer. Start mpvn worker there, and run the same "
                    "command again"
                )
            if not said and waited > _AFTER:
                self._say(f"waiting for {', '.join(sorted(missing))}")
                said = True
            time.sleep(INTERVAL)

    def _replace(self, missing: set[str], spares: list[str]) -> None:
        for task, address in enumerate(self._workers):
            if address in missing and spares:
                self._workers[task] = spares.pop(0)
                self._say(f"worker {task} at {address}: {self._workers[task]} takes its place")

    def _supervise(self, child: "_Child", watch: Watch) -> "int | _Fault":
        """Watch a process to its end. Return its exit code, or the fault that ends it."""
        uses_workers, looked = False, time.monotonic()
        while True:
            child.wait(max(0.0, looked + INTERVAL - time.monotonic()))
            looked = time.monotonic()  # a server that hangs takes an interval to look at
            self._kept = child.kept if child.kept is not None else self._kept
            code = child.code
            if code is not None or child.error:
                return self._end(child, code, watch)
            if child.uses_workers:
                if not uses_workers:
                    watch.begin(self._workers)
                uses_workers = True
                watch.look(self._workers)
                if lost := watch.lost(self._workers):
                    return _Fault(lost)
            if child.silence > self._deadline * child.patience:
                return _Fault(f"the process has not finished a step for {child.silence:.1f} s")

    def _end(self, child: "_Child", code: int | None, watch: Watch) -> "int | _Fault":
        """Return what a process ended with: an exit code that stays, or a fault."""
        is_late = self._restarts and not child.uses_workers  # a worker may be missing again
        if code in _FINAL and not (code == _MISTAKE and is_late):
            return code
        if code not in (None, _MISTAKE):  # a chief that has ended takes the servers with it
            return _Fault(f"the process ended with {_named(code)}")
        if not child.uses_workers:
            watch.begin(self._workers)
        for _ in range(4):  # its error may be that a worker is gone
            watch.look(self._workers)
            if lost := watch.lost(self._workers):
                return _Fault(lost)
            time.sleep(INTERVAL)
        if code is not None:
            return code
        last = child.error.strip().splitlines()[-1]
        return _Fault(f"the process ended with an error ({last[:200]})", child.error)

    def _why_given_up(self, end: "_Fault", vain: int) -> str:
        times = "once more" if vain == 2 else f"{vain} times"
        where = "" if self._kept is None else f" after {self._kept} were kept"
        return (
            f"{end.error or end.what}\nExpected progress between two faults. Received: a fault "
            f"{times}{where}, without any. Mend the cause, or raise --deadline if steps take so "
            "long, and run the same command again"
        )


@dataclasses.dataclass(frozen=True)
class _Fault:
    """Why a process was ended, or ended itself.

    Attributes:
        what: in words.
        error: the stack trace of its exception, if there was one.
    """

    what: str
    error: str = ""

    def is_like(self, other: "_Fault") -> bool:
        """Return whether both are the same error of the process, which is then no accident."""
        return bool(self.error) and self.what == other.what


class _Child:
    """The process of a command, in a session of its own: signals come from the supervisor alone.

    Use it in a `with` block, at whose end it is killed with all that it has started.

    Attributes:
        is_here: whether it handles signals.
        uses_workers: whether it has connected to them.
        patience: how many deadlines its next step may take.
        kept: the number that it has kept last.
        error: the stack trace of the exception that ends it, if any.
    """

    def __init__(self, command: Sequence[str], orders: Orders) -> None:
        self.is_here = self.uses_workers = False
        self.patience = _PATIENCE["long"]
        self.kept: int | None = None
        self.error = ""
        self._heard, self._last = b"", time.monotonic()
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        with theirs:
            orders = dataclasses.replace(orders, socket=theirs.fileno())
            self._process = subprocess.Popen(
                command,
                env={**os.environ, VARIABLE: orders.to_json()},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *raised: object) -> None:
        self.kill()
        self._process.wait()
        self._socket.close()

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    @property
    def silence(self) -> float:
        """Seconds since it was heard last."""
        return time.monotonic() - self._last

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it, and what it has started."""
        if self._process.returncode is None:  # else the number may be that of another process
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, seconds: float) -> None:
        """Wait for a time, or until it ends; then hear what it has said."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while received := self._socket.recv(2**16):
                *lines, self._heard = (self._heard + received).split(b"\n")
                for line in lines:
                    self._hear(*json.loads(line))

    def _hear(self, kind: str, value: Any) -> None:
        self._last = time.monotonic()
        if kind == "here":
            self.is_here = True
        elif kind == "connected":
            self.uses_workers = True
        elif kind in _PATIENCE:
            self.patience = _PATIENCE[kind]
        elif kind == "kept":
            self.kept = value
        elif kind == "fault":
            self.error = value


def _named(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
