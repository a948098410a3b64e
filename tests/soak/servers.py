"""Servers under test, each in a process of its own that can be stopped and started again."""

import pathlib
import signal
import socket
import subprocess
import sys
import urllib.request

from soak.target import Target

_START = 120.0  # seconds
_STOP = 30.0
TESTS = pathlib.Path(__file__).parents[1]


class ServerProcess:
    """A server in a process.

    Args:
        command: starts it, and prints a line when it listens.
        target: how it is reached.
        log: the file that it writes errors to.

    Attributes:
        target: the argument.
    """

    def __init__(self, command: list[str], target: Target, log: pathlib.Path) -> None:
        self.target = target
        self._command, self._log = command, log
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=TESTS
            )
        if not self._process.stdout.readline():
            raise RuntimeError(f"The server did not start: {self._log.read_text()[-2000:]}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it by a signal; return its exit code."""
        self._process.send_signal(number)
        try:
            return self._end()
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def kill(self) -> None:
        """Kill it, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._end()

    def _end(self) -> int:
        """Wait until it has ended; return its exit code."""
        code = self._process.wait(_STOP)
        self._process.stdout.close()
        return code

    def resident(self) -> float:
        """Return its resident memory in MiB."""
        return resident(self._process.pid)

    def handles(self) -> int:
        """Return the number of its open files and sockets."""
        return len([*pathlib.Path(f"/proc/{self._process.pid}/fd").iterdir()])

    def traces(self) -> list[str]:
        """Return the errors that it has logged with their stacks; strangers must cause none."""
        lines = self._log.read_text().splitlines()
        return [
            " | ".join(lines[max(0, number - 1) : number + 30])
            for number, line in enumerate(lines)
            if any(word in line for word in ("Traceback", "never retrieved", "Error in"))
        ]

    def metrics(self) -> dict[str, float]:
        """Return what Prometheus reads, by name and labels; nothing of the stand-in."""
        if not self.target.is_ours:
            return {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.target.http_port}/metrics")
        request.add_header("Authorization", f"Bearer {self.target.token}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


def resident(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 2**10
    raise RuntimeError(f"Process {pid} has ended.")


def mpvn_serve(
    model: pathlib.Path, folder: pathlib.Path, streams: int, idle: float
) -> ServerProcess:
    """Return `mpvn serve` for a `.keras` file."""
    http_port, grpc_port = free_ports(2)
    target = Target(http_port, grpc_port, "soaked", "let-me-in", streams, idle, True)
    (folder / "token").write_text(target.token)
    command = [sys.executable, "-m", "mpvn.cli", "serve", str(model), "--name", target.model]
    command += ["--port", str(http_port), "--grpc-port", str(grpc_port)]
    command += ["--streams", str(streams), "--idle", str(idle), "--batch", "4"]
    command += ["--token-file", str(folder / "token"), "--max-body", str(MOST_BYTES)]
    command += ["--max-frame", str(MOST_PIXELS)]
    return ServerProcess(command, target, folder / "serve.log")


def stand_in(root: pathlib.Path, folder: pathlib.Path, streams: int, idle: float) -> ServerProcess:
    """Return the stand-in of TensorFlow Serving for a folder with a model `soaked`."""
    http_port, grpc_port = free_ports(2)
    target = Target(http_port, grpc_port, "soaked", None, streams, idle, False)
    command = [sys.executable, "-m", "soak.stand_in", str(root), str(http_port), str(grpc_port)]
    return ServerProcess(command, target, folder / "stand_in.log")


MOST_BYTES = 1 << 20
MOST_PIXELS = 1 << 18


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
