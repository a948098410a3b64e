"""A worker of a cluster: it keeps a server of TensorFlow alive, a fresh one for each chief.

    every quarter of a second, start a new server if
        the server has ended, or has not answered for the deadline
        the chief was there, and is gone or has not answered for the deadline

A server keeps the variables of its chief, and a chief that has lost a server cannot continue with
another one. So all processes begin together: if one dies, the others start again, and a run resumes
from its last checkpoint.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO

from mpvn.cluster.cluster_file import Cluster
from mpvn.cluster.connect import ENDS, check_address
from mpvn.cluster.ping import Ping
from mpvn.cluster.versions import VERSIONS_VARIABLE, versions_of_this
from mpvn.cluster.watch import DEADLINE, INTERVAL

START = 120.0
"""Seconds in which a server must start: it imports TensorFlow first."""

_SERVER = pathlib.Path(__file__).with_name("server.py")


class Worker:
    """Keeps the server of a task alive. Use it in a `with` block, at whose end the server ends.

    Args:
        cluster: the addresses.
        task: which of `cluster.servers` is ours.
        threads: threads of a computation; None for TensorFlow's choice.
        deadline: seconds without an answer after which a server or chief is considered hung.
        say: is called with a line about each event.

    Raises:
        ValueError: there is no such task.
        ConnectionError: its address is not one of this host, or in use.
    """

    def __init__(
        self,
        cluster: Cluster,
        task: int,
        threads: int | None = None,
        deadline: float = DEADLINE,
        say: Callable[[str], None] = print,
    ) -> None:
        address = cluster.server(task)
        check_address(address, f"worker {task}", ENDS)
        self._task, self._deadline, self._say = task, deadline, say
        addresses = json.dumps(cluster.servers)
        # -P: the folder of the program is no place to import from.
        self._command = [
            *(sys.executable, "-P", str(_SERVER)),
            *(addresses, str(task), str(threads or 0)),
        ]
        self._chief, self._own = Ping(cluster.chief), Ping(address)
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        self._chief.close()
        self._own.close()

    def run(self) -> None:
        """Serve one chief after the other, until an exception such as Ctrl-C.

        Raises:
            ConnectionError: the server cannot start.
        """
        while True:
            with tempfile.TemporaryFile() as messages:
                reason = self._watch(self._start(messages))
                self._say(f"worker {self._task}: {reason}; the server starts again")
                self._stop()

    def _start(self, messages: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a server, and return it when it answers."""
        quiet = {"TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")}
        server = self._server = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=messages,
            env={**os.environ, **quiet, VERSIONS_VARIABLE: versions_of_this()},
            start_new_session=True,  # Ctrl-C reaches the worker alone, which ends the server
        )
        end = time.monotonic() + START
        while not self._own.answers(INTERVAL):
            if server.poll() is not None or time.monotonic() > end:
                messages.seek(0)
                lines = messages.read().decode(errors="replace").strip().splitlines()
                raise ConnectionError(
                    f"Worker {self._task}: the server of TensorFlow did not start. Expected it to "
                    f"answer at {self._own.address}. Received: {lines[-1] if lines else 'nothing'}"
                )
            time.sleep(INTERVAL)
        self._say(f"worker {self._task} serves at {self._own.address}")
        return server

    def _watch(self, server: subprocess.Popen[bytes]) -> str:
        """Return why the server must be replaced, as soon as it must."""
        had_chief = False
        own_answer = chief_answer = time.monotonic()
        while True:
            time.sleep(INTERVAL)
            if server.poll() is not None:
                return f"the server ended with code {server.returncode}"
            if self._own.answers(INTERVAL):
                own_answer = time.monotonic()
            elif time.monotonic() - own_answer > self._deadline:
                return f"the server did not answer for {self._deadline:g} s"
            if self._chief.answers(INTERVAL):
                if not had_chief:
                    self._say(f"worker {self._task}: the chief at {self._chief.address} is here")
                had_chief, chief_answer = True, time.monotonic()
            elif had_chief and self._chief.refused:
                return "the chief is gone"
            elif had_chief and time.monotonic() - chief_answer > self._deadline:
                return f"the chief did not answer for {self._deadline:g} s"

    def _stop(self) -> None:
        """End the server at once, whatever it does."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            if self._server.stdin is not None:
                self._server.stdin.close()
            self._server = None
