"""The TensorFlow runtime: frozen functions. Grappler folds batch norm into convolutions."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mpvn.machine import usable_cores
from mpvn.runtime.freeze import Frozen
from mpvn.runtime.graphs import computes_in_bfloat16, in_bfloat16
from mpvn.runtime.runtime import NO_BFLOAT16, Run, Runtime
from mpvn.runtime.specs import Specs


class TensorFlowRuntime(Runtime):
    """Runs units as frozen TensorFlow functions, on the plan's devices.

    Args:
        precision: `"float32"`, or `"bfloat16"` for convolutions and matrix products.
        threads: number of threads; None for what TensorFlow uses.

    Raises:
        ValueError: TensorFlow uses another number of threads, or no bfloat16 on this machine.
    """

    def __init__(self, precision: str, threads: int | None) -> None:
        self._lowers = precision == "bfloat16"
        if self._lowers and not computes_in_bfloat16():
            raise ValueError(NO_BFLOAT16.format(runtime="TensorFlow"))
        self.threads = used = (
            tf.config.threading.get_intra_op_parallelism_threads() or usable_cores()
        )
        if threads not in (None, used):
            raise ValueError(
                "TensorFlow's threads are set before it starts, for the whole process. Expected "
                f"threads=None or {used}. Received: threads={threads}. Call "
                f"tf.config.threading.set_intra_op_parallelism_threads({threads}) at the beginning "
                "of the program, before anything is built."
            )

    def compile(self, frozen: Frozen, specs: Specs) -> Run:
        function = in_bfloat16(frozen.function) if self._lowers else frozen.function
        plan, nodes = frozen.unit.plan, frozen.unit.nodes
        devices = {plan.device(plan.graph.nodes[index]) for index in nodes}
        device = devices.pop() if len(devices) == 1 else None

        def run(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            with tf.device(device):  # where the constants are, too
                return function(*values)

        return run

    def array(self, value: Any, dtype: str) -> tf.Tensor:
        return tf.cast(value, dtype)

    def hold(self, value: Any, spec: tf.TensorSpec) -> tf.Tensor:
        return value if isinstance(value, tf.Tensor) else tf.convert_to_tensor(value, spec.dtype)

    def show(self, value: tf.Tensor) -> tf.Tensor:
        return value

    def stack(self, steps: list[tf.Tensor]) -> tf.Tensor:
        return tf.stack(steps, axis=1)

    def gather(self, value: tf.Tensor, rows: list[int]) -> tf.Tensor:
        return tf.gather(value, rows)

    def scatter(self, value: tf.Tensor, rows: list[int], new: tf.Tensor) -> tf.Tensor:
        return tf.tensor_scatter_nd_update(value, [[row] for row in rows], new)

    def zeros(self, rows: int, spec: tf.TensorSpec) -> tf.Tensor:
        return tf.zeros((rows, *spec.shape[1:]), spec.dtype)
