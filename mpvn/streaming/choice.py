"""Which runtime runs the steps of a stream: the network itself, or a compiled form of it."""

import dataclasses
import importlib.util
from typing import Any, NamedTuple

import tensorflow as tf

from mpvn.machine import usable_cores
from mpvn.network import VideoNetwork

RUNTIMES = ("auto", "openvino", "tensorflow", "network")

_NAMES = {"openvino": "OpenVINO", "tensorflow": "TensorFlow, compiled", "network": "TensorFlow"}


class Running(NamedTuple):
    """What runs a network.

    Attributes:
        network: the network, or its compiled form.
        text: what it is, with precision and threads.
        remark: why it is not what is usually faster; empty if there is nothing to say.
    """

    network: Any
    text: str
    remark: str = ""


@dataclasses.dataclass(frozen=True)
class RuntimeChoice:
    """Which runtime runs a network, and how.

    Attributes:
        runtime: `"network"`: the network's own functions, which follow all changes of its layers
            and weights. `"tensorflow"`, `"openvino"`: see `VideoNetwork.compile_inference`.
            `"auto"`: OpenVINO if it is installed and the network stays on the CPU; what it cannot
            run, TensorFlow does.
        precision: as in `compile_inference`.
        threads: as in `compile_inference`.
        units: as in `compile_inference`.

    Raises:
        ValueError: an unknown runtime, or a setting that the network's own functions do not have.
    """

    runtime: str = "network"
    precision: str = "float32"
    threads: int | None = None
    units: str | None = None

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise ValueError(
                f"Invalid runtime. Expected one of {RUNTIMES}. Received: {self.runtime!r}."
            )
        if self.runtime == "network" and (self.precision, self.threads) != ("float32", None):
            raise ValueError(
                "Invalid runtime. A network's own functions have the precision and the threads of "
                "the process. Expected a compiled runtime beside precision and threads. Received: "
                f"runtime='network', precision={self.precision!r}, threads={self.threads}. Use "
                "runtime='auto'."
            )

    def run(self, network: VideoNetwork, streams: int = 1) -> Running:
        """Return what runs a network.

        Args:
            network: a causal network.
            streams: number of streams in a batch.

        Raises:
            ImportError: the runtime is not installed.
            ValueError: no runtime of the choice can run the network so.
        """
        if self.runtime != "auto":
            return self._compiled(self.runtime, network, streams)
        refused: list[str] = []
        for runtime in _preferred(network):
            try:
                running = self._compiled(runtime, network, streams)
            except (ValueError, ImportError) as error:
                refused.append(f"{_NAMES[runtime]} cannot run it ({error})")
            else:
                return running._replace(remark="; ".join(refused))
        if (self.precision, self.threads) == ("float32", None):
            running = self._compiled("network", network, streams)
            return running._replace(remark="; ".join(refused))
        raise ValueError(". ".join(refused))

    def _compiled(self, runtime: str, network: VideoNetwork, streams: int) -> Running:
        if runtime == "network":
            return Running(network, f"{_NAMES[runtime]}, {_threads(None)}")
        compiled = network.compile_inference(
            runtime, self.precision, self.threads, streams, self.units
        )
        text = f"{_NAMES[runtime]}, {self.precision}, {_threads(self.threads)}"
        return Running(compiled, text)


def _preferred(network: VideoNetwork) -> list[str]:
    """Return the compiled runtimes of `"auto"`, the best one first."""
    on_cpu = not any(network.plan.devices) and not tf.config.list_physical_devices("GPU")
    installed = importlib.util.find_spec("openvino") is not None
    return ["openvino", "tensorflow"] if on_cpu and installed else ["tensorflow"]


def _threads(threads: int | None) -> str:
    set_before = tf.config.threading.get_intra_op_parallelism_threads()
    count = threads or set_before or usable_cores()
    return f"{count} thread{'s' * (count > 1)}"
