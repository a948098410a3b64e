"""The servers that are measured, each in processes of its own: the server, and its cameras."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
HERE = pathlib.Path(__file__).parent
_START = 120.0  # seconds

STREAMS = 64
"""Most streams at a time."""

TRITON = "TRITON_PYTHON"
"""The environment variable with the Python of an environment that has nvidia-pytriton."""


class Server(NamedTuple):
    """How a server is started and reached.

    Attributes:
        name: its name in the table.
        runs: what computes.
        sends: what cameras send.
        start: starts it, given a folder and ports of HTTP and gRPC; returns its process.
        ready: the path of HTTP that answers when it takes requests.
        kind: how cameras speak to it, a key of `load.STEPS`.
        protocol: of the address.
        is_loaded: whether it is measured under load, or bytes alone.
    """

    name: str
    runs: str
    sends: str
    start: Callable[[pathlib.Path, int, int], subprocess.Popen]
    ready: str
    kind: str = "client"
    protocol: str = "grpc"
    is_loaded: bool = True


class Running:
    """A server and its cameras.

    Args:
        server: how to start it.
        folder: with the network in all its forms, and the frames.
    """

    def __init__(self, server: Server, folder: pathlib.Path) -> None:
        self.server, self._folder = server, folder
        self._http, self._grpc = free_ports(2)
        self._process = server.start(folder, self._http, self._grpc)
        self._cameras: list[subprocess.Popen] = []

    def wait(self) -> None:
        """Wait until it takes requests, and start its cameras."""
        url, end = f"http://127.0.0.1:{self._http}{self.server.ready}", time.monotonic() + _START
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    log = log_of(self._folder, self._http).read_text()[-1000:]
                    raise RuntimeError(f"{self.server.name} did not start: {log}") from None
                time.sleep(0.2)
        self._main = self.cameras()

    def cameras(self, port: int | None = None) -> subprocess.Popen:
        """Start a process with cameras, which speak to a port."""
        own = self._grpc if self.server.protocol == "grpc" else self._http
        address = f"{self.server.protocol}://127.0.0.1:{port or own}"
        frames = self._folder / f"{self.server.sends}.npy"
        arguments = [self.server.kind, address, "network", str(frames)]
        is_triton = self.server.kind == "triton"
        python = os.environ[TRITON] if is_triton else sys.executable
        process = subprocess.Popen(
            [python, str(HERE / "load.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=None if is_triton else environment(),
        )
        self._cameras.append(process)
        if not process.stdout.readline():
            raise RuntimeError(f"The cameras of {self.server.name} did not start.")
        return process

    @property
    def port(self) -> int:
        """The port that cameras speak to."""
        return self._grpc if self.server.protocol == "grpc" else self._http

    def run(self, streams: int, seconds: float, rate: float | None) -> dict[str, Any]:
        """Return what `Cameras.run` says."""
        return ask(self._main, "run", streams, seconds, rate)

    def stop(self) -> None:
        """End all its processes."""
        for process in [*self._cameras, self._process]:
            process.terminate()
        for process in [*self._cameras, self._process]:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


def ask(process: subprocess.Popen, name: str, *arguments: Any) -> dict[str, Any]:
    """Let cameras do something, and return what they say."""
    process.stdin.write(json.dumps([name, arguments]) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("The cameras have ended.")
    return json.loads(line)


def environment() -> dict[str, str]:
    """Return the environment of processes that import mpvn from this checkout."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


# --- how each is started ------------------------------------------------------------------------


def stand_in(form: str) -> Callable[[pathlib.Path, int, int], subprocess.Popen]:
    """Return what starts the stand-in of TensorFlow Serving, given the form of the SavedModel."""

    def start(folder: pathlib.Path, http: int, grpc: int) -> subprocess.Popen:
        arguments = [str(folder / form), str(http), str(grpc)]
        return _started(
            [sys.executable, "-m", "soak.stand_in", *arguments],
            ROOT / "tests",
            log_of(folder, http),
        )

    return start


def mpvn_serve(runtime: str) -> Callable[[pathlib.Path, int, int], subprocess.Popen]:
    """Return what starts `mpvn serve`, given the runtime."""

    def start(folder: pathlib.Path, http: int, grpc: int) -> subprocess.Popen:
        command = [sys.executable, "-m", "mpvn.cli", "serve", str(folder / "network.keras")]
        command += ["--name", "network", "--port", str(http), "--grpc-port", str(grpc)]
        command += ["--runtime", runtime, "--streams", str(2 * STREAMS)]
        return _started(command, ROOT, log_of(folder, http))

    return start


def triton(folder: pathlib.Path, http: int, grpc: int) -> subprocess.Popen:
    """Start Triton with its Python backend.

    The wrapper of nvidia-pytriton has no sequence batcher. So this starts its `tritonserver` on a
    model repository. The stub of the backend embeds the Python of the environment, and gets the
    packages of this one.
    """
    python = pathlib.Path(os.environ[TRITON])
    (packages,) = python.parents[1].glob("lib/python3.*/site-packages")
    server = packages / "pytriton" / "tritonserver"
    backends, version = folder / "backends", packages.parent.name.removeprefix("python")
    shutil.copytree(server / "backends", backends)
    stub = "triton_python_backend_stub"
    shutil.copy(server / "python_backend_stubs" / version / stub, backends / "python" / stub)
    model = folder / "triton" / "network"
    (model / "1").mkdir(parents=True)
    shutil.copy(HERE / "triton_model.py", model / "1" / "model.py")
    (model / "config.pbtxt").write_text(triton_config(folder))
    own = [each for each in sys.path if each.endswith("site-packages")]
    env = {
        **os.environ,
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *own]),
    }
    command = [str(server / "bin" / "tritonserver"), "--model-repository", str(folder / "triton")]
    command += ["--backend-directory", str(backends), "--cache-directory", str(server / "caches")]
    command += ["--allow-metrics=false", "--http-address=127.0.0.1", "--grpc-address=127.0.0.1"]
    command += [f"--http-port={http}", f"--grpc-port={grpc}"]
    return _started(command, ROOT, log_of(folder, http), env)


def triton_config(folder: pathlib.Path) -> str:
    """Return the configuration of the model: sequences go to one instance, the oldest first."""
    shapes = json.loads((folder / "shapes.json").read_text())
    frame, output = (", ".join(map(str, shapes[name])) for name in ("frame", "output"))
    return f"""
name: "network"
backend: "python"
max_batch_size: 8
input [{{ name: "frame", data_type: TYPE_FP32, dims: [{frame}] }}]
output [{{ name: "output", data_type: TYPE_FP32, dims: [{output}] }}]
instance_group [{{ kind: KIND_CPU, count: 1 }}]
parameters {{ key: "network" value: {{ string_value: "{folder / "network.keras"}" }} }}
sequence_batching {{
  max_sequence_idle_microseconds: 3600000000
  oldest {{ max_candidate_sequences: {2 * STREAMS} }}
  control_input [
    {{ name: "START", control [{{ kind: CONTROL_SEQUENCE_START, int32_false_true: [0, 1] }}] }},
    {{ name: "CORRID", control [{{ kind: CONTROL_SEQUENCE_CORRID, data_type: TYPE_UINT64 }}] }}
  ]
}}
"""


def log_of(folder: pathlib.Path, port: int) -> pathlib.Path:
    """Return the file for what a server writes, by its port of HTTP."""
    return folder / f"server_{port}.log"


def _started(
    command: list[str], place: pathlib.Path, log: pathlib.Path, env: dict[str, str] | None = None
) -> subprocess.Popen:
    with log.open("w") as file:
        return subprocess.Popen(
            command, cwd=place, stdout=file, stderr=file, env=env or environment()
        )
