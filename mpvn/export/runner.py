"""Runs static graphs over frames, and checks what a converter has made of them."""

from collections.abc import Callable, Sequence

import numpy as np

from mpvn.export.static import StaticGraph, StaticNetwork
from mpvn.runtime.verify import is_equal

Values = dict[str, np.ndarray]

Run = Callable[[StaticGraph, Sequence[np.ndarray]], Sequence[np.ndarray]]
"""Runs a graph: takes the values that it reads, and returns those that it makes."""

TOLERANCE = 1e-4
"""Mean error over the mean value, up to which what a graph makes is what TensorFlow makes."""


class Runner:
    """Streams that start together.

    Args:
        static: the network.
        run: runs its graphs.
        rows: number of streams.
    """

    def __init__(self, static: StaticNetwork, run: Run, rows: int) -> None:
        self._static = static
        self._run = run
        self._step = 0
        self._states = {
            name: np.zeros((rows, *spec.shape[1:]), spec.dtype.as_numpy_dtype)
            for name, spec in static.states.items()
        }

    def step(self, frames: Values) -> Values:
        """Run a step on a frame `[B, ...]` of each input; return the outputs `[B, ...]`."""
        graph = self._static.at(self._step)
        values = {**self._states, **frames}
        if graph.makes:
            made = self._run(graph, [values[name] for name in graph.reads])
            values |= dict(zip(graph.makes, made, strict=True))
        self._states |= {name: values[source] for name, source in graph.states.items()}
        self._step += 1
        return {name: values[source] for name, source in graph.outputs.items()}


def run_in_tensorflow(graph: StaticGraph, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run a graph as it was before it was converted."""
    return [value.numpy() for value in graph.function(*values)]


def check_files(static: StaticNetwork, run: Run, format: str, tolerance: float = TOLERANCE) -> None:
    """Check that converted graphs compute what the network computes.

    Converters have faults that raise no error, and some show only where memories are zeros, or only
    where they are not. So a stream of random frames runs until all steps of a cycle have read
    values made of frames, and each graph computes the same as in TensorFlow.

    Args:
        static: the network.
        run: runs the converted graphs.
        format: the format, for messages.
        tolerance: most mean error over the mean value.

    Raises:
        ValueError: a graph computes something else.
    """
    network = static.network
    informed = 0 if network.start == "primed" else max(network.plan.first_full_steps)
    steps = max(len(static.first), informed) + len(static.cycle)

    def compare(graph: StaticGraph, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        expected = run_in_tensorflow(graph, values)
        _compare(graph, run(graph, values), expected, format, tolerance)
        return expected

    rows = next(iter(static.frames.values())).shape[0] or 2
    runner, rng = Runner(static, compare, rows), np.random.default_rng(0)
    for _ in range(steps):
        runner.step(random_frames(static, rows, rng))


def random_frames(static: StaticNetwork, rows: int, rng: np.random.Generator) -> Values:
    """Return random frames: normal numbers, bytes for inputs that cast bytes, or 0 and 1."""
    graph = static.network.graph
    native = [graph.tensors[index].dtype for index in graph.inputs]
    frames = {}
    for (name, spec), dtype in zip(static.frames.items(), native, strict=True):
        shape, kind = (rows, *spec.shape[1:]), spec.dtype.as_numpy_dtype
        is_pixels = spec.dtype.name == "uint8" and "float" in dtype
        value = rng.integers(0, 256 if is_pixels else 2, shape)
        frames[name] = (rng.normal(size=shape) if spec.dtype.is_floating else value).astype(kind)
    return frames


def _compare(
    graph: StaticGraph,
    values: Sequence[np.ndarray],
    expected: Sequence[np.ndarray],
    format: str,
    tolerance: float,
) -> None:
    for name, value, right in zip(graph.makes, values, expected, strict=True):
        value = np.asarray(value)
        received = f"shape {value.shape}, {value.dtype}"
        if (value.shape, value.dtype) == (right.shape, right.dtype):
            if is_equal(value, right, tolerance):
                continue
            received = f"others, which differ by {error(value, right):.2g}"
        raise ValueError(
            f"The converter of {format!r} fails: what it has made of {graph.name!r} computes "
            f"{name!r} wrongly. Expected the values of TensorFlow (shape {right.shape}, "
            f"{right.dtype}). Received: {received}. Nothing was written. Use another format."
        )


def error(value: np.ndarray, expected: np.ndarray) -> float:
    """Return the mean error over the mean of what is expected."""
    difference = np.abs(value.astype(np.float64) - expected.astype(np.float64))
    return float(difference.mean() / max(np.abs(expected.astype(np.float64)).mean(), 1e-30))
