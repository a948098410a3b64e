"""Which runtime runs the steps of a stream: the network itself, or a compiled form of it."""

import dataclasses
from typing import Any, NamedTuple

import tensorflow as tf

from mpvn.machine import usable_cores
from mpvn.network import VideoNetwork
from mpvn.runtime.choose import candidates, keep_choice, kept_choice
from mpvn.runtime.create import Settings, check_positive

RUNTIMES = ("auto", "openvino", "tensorflow", "network")

_NAMES = {"openvino": "OpenVINO", "tensorflow": "TensorFlow, compiled", "network": "TensorFlow"}

_UNREAD = 0.1  # share of the work on values that nobody reads: patterns leave out all of it


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
            `"auto"`: what `mpvn benchmark` or `compile_inference(runtime="auto")` has found fastest
            on this machine; if neither was called, OpenVINO if it is installed and the network
            stays on the CPU. What that cannot run, TensorFlow does. It measures nothing itself.
        precision: as in `compile_inference`.
        threads: as in `compile_inference`.
        units: as in `compile_inference`.
        calibration: as in `compile_inference`.
        parallel: as in `compile_inference`.
        buffer: number of frames that a stream computes in one call; None or 1 for one by one.
            `"auto"` takes the runtime that is fastest one by one.

    Raises:
        ValueError: an unknown runtime, or a setting that the network's own functions do not have.
    """

    runtime: str = "network"
    precision: str = "float32"
    threads: int | None = None
    units: str | None = None
    calibration: Any = None
    parallel: bool | None = None
    buffer: int | None = None

    def __post_init__(self) -> None:
        check_positive("buffer", self.buffer, "or None")
        if self.buffer == 1:
            object.__setattr__(self, "buffer", None)
        if self.runtime not in RUNTIMES:
            raise ValueError(
                f"Invalid runtime. Expected one of {RUNTIMES}. Received: {self.runtime!r}."
            )
        given = self.precision, self.threads, self.units, self.parallel, self.buffer
        if self.runtime == "network" and given != ("float32", None, None, None, None):
            raise ValueError(
                "Invalid runtime. A network's own functions have the precision and the threads of "
                "the process, no units and no buffer. Expected a compiled runtime beside "
                "precision, threads, units, parallel and buffer. Received: runtime='network', "
                f"precision={self.precision!r}, threads={self.threads}, units={self.units!r}, "
                f"parallel={self.parallel}, buffer={self.buffer}. Use runtime='auto'."
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
        ways = self.ways(network, streams) if self.runtime == "auto" else [self]
        refused: list[str] = []
        for way in ways:
            try:
                return Running(*way._start(network, streams), "; ".join(refused))
            except (ValueError, ImportError) as error:
                if len(ways) == 1:
                    raise
                refused.append(f"{_NAMES[way.runtime]} cannot run it ({error})")
        raise ValueError(". ".join(refused))

    def ways(self, network: VideoNetwork, streams: int = 1) -> list["RuntimeChoice"]:
        """Return what `"auto"` tries in turn, the best first."""
        if self.precision == "int8":  # of one runtime, and calibrated once
            return [dataclasses.replace(self, runtime="openvino")]
        plan, start = network.plan, network.start
        settings = Settings(
            "auto", self.precision, self.threads, streams, self.units, parallel=self.parallel
        )
        kept = kept_choice(plan, start, settings)
        best_units = "pattern" if plan.unread_share > _UNREAD else "block"
        by_rule = sorted(
            candidates(plan, start, settings),
            key=lambda way: (way.runtime != "openvino", way.parallel, way.units != best_units),
        )
        ways = dict.fromkeys([kept, *by_rule] if kept else by_rule)
        if self.buffer is not None:  # the fastest units of steps are not those of a clip
            runtimes = dict.fromkeys(way.runtime for way in ways)
            return [dataclasses.replace(self, runtime=runtime) for runtime in runtimes]
        choices = [
            dataclasses.replace(self, runtime=x.runtime, units=x.units, parallel=x.parallel)
            for x in ways
        ]
        if (self.precision, self.threads, self.parallel) == ("float32", None, None):
            choices.append(RuntimeChoice())
        return choices

    def keep(self, network: VideoNetwork, streams: int = 1) -> None:
        """Keep this choice as the one that `"auto"` takes for a network; see `ways`."""
        fastest = Settings(
            self.runtime, self.precision, self.threads, streams, self.units, parallel=self.parallel
        )
        settings = fastest._replace(runtime="auto", units=None, parallel=None)
        keep_choice(network.plan, network.start, settings, fastest)

    def _start(self, network: VideoNetwork, streams: int) -> tuple[Any, str]:
        """Return what runs a network, and what it is."""
        if self.runtime == "network":
            set_before = tf.config.threading.get_intra_op_parallelism_threads()
            return network, f"{_NAMES[self.runtime]}, {_threads(set_before or usable_cores())}"
        settings = {key: value for key, value in vars(self).items() if key != "buffer"}
        compiled = network.compile_inference(batch=streams, clip=self.buffer, **settings)
        by = f" by {self.units}" if self.units else ""
        by += " in parallel" if self.parallel else ""
        return (
            compiled,
            f"{_NAMES[self.runtime]}{by}, {self.precision}, {_threads(compiled.threads)}"
            + f", {self.buffer} frames in one call" * bool(self.buffer),
        )


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"
