"""Processes that time what they are told to, so that different numbers of threads can take turns.

Threads are chosen before TensorFlow starts, once for a process. So each setting is a process that
waits, a line of JSON on its input being an order, and a line on its output the answer. Two devices
of a thread each are two processes, a cluster: the second serves, the first has the Python program.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from chain import clip_and_targets, frame_model, trainer

MATRIX, LINKS = 384, 60
"""Side of the matrices of a chain of products, and its length."""


WARM_UP = 2
"""Updates before the first that is asked for, which trace and make what is made late."""


class Setting(NamedTuple):
    """How TensorFlow is started.

    Attributes:
        inter: threads that run operations.
        intra: threads that one operation may use.
        processes: 1, with two logical devices in it; or 2, with these threads each.
    """

    inter: int
    intra: int
    processes: int


class Worker:
    """Processes that answer orders, each given to all of them."""

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

    def ask(self, **order: Any) -> Any:
        """The answer of the first process, once all have answered."""
        for process in self._processes:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        lines = [process.stdout.readline() for process in self._processes]
        if not all(lines):
            raise RuntimeError(f"a process ended at the order {order}; see its message above")
        return json.loads(lines[0])

    def runner(self, **order: Any) -> Callable[[], Any]:
        """A call that has the order carried out, for `take_turns`."""
        return lambda: self.ask(**order)

    def close(self) -> None:
        """Ends the processes: they have no more orders."""
        for process in self._processes:
            process.stdin.close()
        for process in self._processes:
            process.wait()


def tensorflow_worker(setting: Setting) -> Worker:
    """A worker that runs TensorFlow so."""
    return Worker([[__file__, json.dumps(setting)]])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def answer(carry_out: Callable[[dict[str, Any]], Any]) -> None:
    """Answers the orders on standard input until it ends."""
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), flush=True)


# --- in the process -------------------------------------------------------------------------


def main() -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    setting, *addresses = json.loads(sys.argv[1]), *sys.argv[2:]
    if addresses:
        serve(Setting(*setting), addresses)
    else:
        answer(Orders(Setting(*setting)))


class Orders:
    """What a TensorFlow process does when asked."""

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
            self._served = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            self._served.stdout.readline()  # it is up
            cluster = tf.train.ClusterSpec({"worker": addresses})
            tf.config.experimental_connect_to_cluster(cluster, job_name="worker", task_index=0)
        self._kept: dict[str, Callable[[], Any]] = {}

    def __call__(self, order: dict[str, Any]) -> Any:
        """Carries out the order `what` with the rest as arguments, made once and kept."""
        if order.get("what") == "theory":
            return theory(**{key: value for key, value in order.items() if key != "what"})
        key = json.dumps(order)
        if key not in self._kept:
            made = {"products": self.products, "training": self.training}[order.pop("what")]
            self._kept[key] = made(**order)
        return self._kept[key]()

    def products(self, on: list[int]) -> Callable[[], None]:
        """Independent chains of matrix products, each on the device of that number."""
        import tensorflow as tf

        matrix = tf.random.stateless_normal((MATRIX, MATRIX), seed=(0, 0))

        def chain(x: tf.Tensor, device: str) -> tf.Tensor:
            with tf.device(device):
                for _ in range(LINKS):
                    x = tf.tanh(x @ x)
                return x

        @tf.function(autograph=False)
        def chains(x):  # of different matrices, or they were one to the optimizer
            return [chain(x * (1.0 + n), self.devices[device]) for n, device in enumerate(on)]

        return lambda: [result.numpy() for result in chains(matrix)] and None

    def training(
        self, method: str, subnetworks: int, placed: bool, width: float, batch: int, frames: int
    ) -> Callable[[], float]:
        """An update on one clip; gives the loss."""
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
    """What plan and schedules say of the network."""
    import mpvn
    from mpvn.sideways.schedule import gpipe, sideways

    plan = mpvn.Plan(frame_model(width), subnetworks, partition="balanced")
    return {
        "cut": plan.boundaries,
        "dearest": plan.balance_bound,
        "over_gpipe": [
            sideways(subnetworks, m).throughput_over(gpipe(subnetworks, m)) for m in frames
        ],
    }


def serve(setting: Setting, addresses: list[str]) -> None:
    """The second device, until the first process ends."""
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto(
        inter_op_parallelism_threads=setting.inter, intra_op_parallelism_threads=setting.intra
    )
    server = tf.distribute.Server(
        {"worker": addresses}, job_name="worker", task_index=1, config=config
    )
    print(server.target, flush=True)
    sys.stdin.read()
    os._exit(0)  # servers have no other end


if __name__ == "__main__":
    main()
