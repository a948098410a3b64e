"""Processes that time updates on request, so that settings of threads and devices can take turns.

TensorFlow's threads are set before it starts, once per process. Therefore each setting is a process
that waits: one line of JSON on its standard input is a request, one line on its standard output is
the answer. Two devices with one thread each are two processes in a cluster: the first runs the
Python program, the second is a server.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from chain import clip_and_targets, frame_model, trainer

MATRIX_SIZE, CHAIN_LENGTH = 384, 60
"""Side of the matrices in a chain of matrix products, and the number of products."""

WARM_UP = 2
"""Updates that are not timed: they trace, and create variables that are created late."""


class Setting(NamedTuple):
    """How TensorFlow is started.

    Attributes:
        inter: Threads that run operations.
        intra: Threads that one operation may use.
        processes: 1, with two logical devices; or 2, each with these threads.
    """

    inter: int
    intra: int
    processes: int


class Worker:
    """Processes that all receive the same requests."""

    def __init__(self, commands: list[list[str]]) -> None:
        self._processes = [
            subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for command in commands
        ]

    def ask(self, **request: Any) -> Any:
        """Send a request, wait for all processes, and return the answer of the first."""
        for process in self._processes:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        lines = [process.stdout.readline() for process in self._processes]
        if not all(lines):
            raise RuntimeError(f"A process ended on the request {request}. See its message above.")
        return json.loads(lines[0])

    def runner(self, **request: Any) -> Callable[[], Any]:
        """Return a function that sends this request, for `take_turns`."""
        return lambda: self.ask(**request)

    def close(self) -> None:
        """End the processes, by closing their standard input."""
        for process in self._processes:
            process.stdin.close()
        for process in self._processes:
            process.wait()


def tensorflow_worker(setting: Setting) -> Worker:
    """Return a worker that runs TensorFlow with this setting."""
    return Worker([[__file__, json.dumps(setting)]])


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def answer_requests(handle: Callable[[dict[str, Any]], Any]) -> None:
    """Answer the requests on standard input until it is closed."""
    for line in sys.stdin:
        print(json.dumps(handle(json.loads(line))), flush=True)


# --- in the process -----------------------------------------------------------------------------


def main() -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    setting, *addresses = json.loads(sys.argv[1]), *sys.argv[2:]
    if addresses:
        serve_second_device(Setting(*setting), addresses)
    else:
        answer_requests(Handler(Setting(*setting)))


class Handler:
    """Handles the requests to a TensorFlow process."""

    def __init__(self, setting: Setting) -> None:
        import tensorflow as tf

        tf.config.threading.set_inter_op_parallelism_threads(setting.inter)
        tf.config.threading.set_intra_op_parallelism_threads(setting.intra)
        if setting.processes == 1:
            self.devices = ["/CPU:0", "/CPU:1"]
            (cpu,) = tf.config.list_physical_devices("CPU")
            logical = [tf.config.LogicalDeviceConfiguration()] * 2
            tf.config.set_logical_device_configuration(cpu, logical)
        else:
            self.devices = [f"/job:worker/task:{task}/device:CPU:0" for task in range(2)]
            addresses = [f"localhost:{free_port()}" for _ in range(2)]
            command = [sys.executable, __file__, json.dumps(setting), *addresses]
            self._server = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            self._server.stdout.readline()  # The server is up.
            cluster = tf.train.ClusterSpec({"worker": addresses})
            tf.config.experimental_connect_to_cluster(cluster, job_name="worker", task_index=0)
        self._runners: dict[str, Callable[[], Any]] = {}

    def __call__(self, request: dict[str, Any]) -> Any:
        """Run the job that the request names; the rest of the request are its arguments.

        What a job runs is built once per request and kept.
        """
        key = json.dumps(request)
        job = request.pop("job")
        if job == "theory":
            return theory(**request)
        if key not in self._runners:
            build = {"products": self.products, "training": self.training}[job]
            self._runners[key] = build(**request)
        return self._runners[key]()

    def products(self, on: list[int]) -> Callable[[], None]:
        """Return a function that runs independent chains of matrix products.

        Args:
            on: Number of the device of each chain.
        """
        import tensorflow as tf

        matrix = tf.random.stateless_normal((MATRIX_SIZE, MATRIX_SIZE), seed=(0, 0))

        def chain(x: tf.Tensor, device: str) -> tf.Tensor:
            with tf.device(device):
                for _ in range(CHAIN_LENGTH):
                    x = tf.tanh(x @ x)
                return x

        @tf.function(autograph=False)
        def chains(x):  # With equal matrices, the graph optimizer would merge the chains.
            return [chain(x * (1.0 + n), self.devices[device]) for n, device in enumerate(on)]

        return lambda: [result.numpy() for result in chains(matrix)] and None

    def training(
        self, method: str, subnetworks: int, placed: bool, width: float, batch: int, frames: int
    ) -> Callable[[], float]:
        """Return a function that updates a network on one clip and returns the loss.

        Args:
            method: See `chain.trainer`.
            subnetworks: Into how many the network is cut.
            placed: Whether the subnetworks are on several devices.
            width, batch, frames: Sizes of network and clip.
        """
        import tensorflow as tf

        import mpvn

        model = frame_model(width)
        devices = self.devices if placed else None
        plan = mpvn.Plan(model, subnetworks, partition="balanced", devices=devices)
        trained = trainer(method, mpvn.VideoNetwork(model, plan))
        clip, targets = map(tf.constant, clip_and_targets(batch, frames))
        for _ in range(WARM_UP):
            trained.train_on_batch(clip, targets)
        return lambda: float(trained.train_on_batch(clip, targets))


def theory(width: float, subnetworks: int, frames: list[int]) -> dict[str, Any]:
    """Return what the plan and the schedules predict.

    Returns:
        `"boundaries"`: where the network is cut. `"largest"`: share of the multiply-adds in the
        largest subnetwork. `"over_gpipe"`: throughput of Sideways over that of GPipe for equal
        subnetworks, by length of clip.
    """
    import mpvn
    from mpvn.sideways.schedule import gpipe, sideways

    plan = mpvn.Plan(frame_model(width), subnetworks, partition="balanced")
    return {
        "boundaries": plan.boundaries,
        "largest": plan.balance_bound,
        "over_gpipe": [
            sideways(subnetworks, m).throughput_over(gpipe(subnetworks, m)) for m in frames
        ],
    }


def serve_second_device(setting: Setting, addresses: list[str]) -> None:
    """Run the server of the second device until the first process ends."""
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto(
        inter_op_parallelism_threads=setting.inter, intra_op_parallelism_threads=setting.intra
    )
    server = tf.distribute.Server(
        {"worker": addresses}, job_name="worker", task_index=1, config=config
    )
    print(server.target, flush=True)
    sys.stdin.read()
    os._exit(0)  # TensorFlow servers cannot be stopped otherwise.


if __name__ == "__main__":
    main()
