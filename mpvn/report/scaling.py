"""How fast data parallel training is on many workers: a model that is fitted to one and two.

*Temporal Shift Module*, section 7, names three bottlenecks: computation, the input, and the network
between the workers. Here a step of `n` workers takes

    all_reduce = 2 (n - 1) * (latency + gradients / n / bandwidth)                a ring
    exposed    = all_reduce - overlap * min(all_reduce, backward)
    busy       = computation + exposed + wait                                     wait: if n > 1
    step       = busy + input - hidden * min(busy, input)

and the efficiency is `step(1) / step(n)`: the clips a second of `n` workers, divided by `n` times
those of one. `overlap` and `hidden` are between 0 and 1.

What it does not model: workers that are slower than others at times (the wait of two workers is
taken for all numbers), a network or a storage that gets slower the more workers share it, several
workers on one host, and all-reduces in another shape than a ring, such as trees, whose latency
grows with the logarithm of the number. It is an extrapolation from two workers, not a measurement.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from mpvn.plan.simulation import Link, ring_all_reduce_time
from mpvn.report.plots import Point, lines_figure

WORKERS = (1, 2, 8, 32, 128, 384, 768, 1536)
"""Numbers of workers in tables and figures; *Temporal Shift Module* trains on up to 1,536 GPUs."""


@dataclasses.dataclass(frozen=True)
class Step:
    """A training step of one worker alone.

    Attributes:
        clips: clips of the batch.
        computation: seconds without the input.
        backward: seconds of the computation in which gradients may travel already.
        input: seconds in which the input makes a batch.
        gradients: bytes of the gradients.
        hidden: share of the input, or of the computation if this is shorter, during which the other
            goes on as well: 1 if the input has processor cores of its own.
    """

    clips: int
    computation: float
    backward: float
    input: float
    gradients: int
    hidden: float = 1.0

    def __post_init__(self) -> None:
        faults = []
        if self.clips < 1 or not self.computation > 0:
            faults.append("at least one clip and some computation")
        if not 0 <= self.backward <= self.computation:
            faults.append("a backward pass between 0 and the computation")
        if not self.input >= 0 or not self.gradients >= 0:
            faults.append("input and gradients of 0 or more")
        if not 0 <= self.hidden <= 1:
            faults.append("a hidden share between 0 and 1")
        if faults:
            expected = "; ".join(faults)
            raise ValueError(f"Cannot describe a step. Expected {expected}. Received: {self}.")


@dataclasses.dataclass(frozen=True)
class Scaling:
    """The model of this module.

    Attributes:
        step: a step of one worker.
        link: the network between the workers, in seconds and bytes.
        overlap: share of the all-reduce that the backward pass can hide, as far as it is as long.
        wait: seconds that a step of several workers takes besides.
    """

    step: Step
    link: Link
    overlap: float = 0.0
    wait: float = 0.0

    def all_reduce(self, workers: int) -> float:
        """Return the seconds of the all-reduce."""
        return ring_all_reduce_time(self.step.gradients, workers, self.link)

    def exposed(self, workers: int) -> float:
        """Return the seconds of the all-reduce that no backward pass hides."""
        travels = self.all_reduce(workers)
        return travels - self.overlap * min(travels, self.step.backward)

    def seconds(self, workers: int) -> float:
        """Return the seconds of a step, with the input."""
        wait = self.wait if workers > 1 else 0.0
        return _with_input(self.step, self.step.computation + self.exposed(workers) + wait)

    def rate(self, workers: int) -> float:
        """Return the clips a second of all workers together."""
        return workers * self.step.clips / self.seconds(workers)

    def efficiency(self, workers: int) -> float:
        """Return the share of the clips a second that `workers` times those of one would be."""
        return self.seconds(1) / self.seconds(workers)

    @property
    def assumptions(self) -> list[str]:
        """What the extrapolation assumes, in sentences."""
        step, link = self.step, self.link
        bandwidth = f"{1e-9 / link.per_byte:.3g} GB/s" if link.per_byte else "any bandwidth"
        return [
            f"Each worker computes a step of {step.clips} clips in {_ms(step.computation)}, however"
            f" many there are, and its input makes them in {_ms(step.input)}, of which"
            f" {step.hidden:.0%} can be hidden.",
            f"Gradients of {step.gradients / 1e6:.2f} MB are summed in a ring of"
            f" {bandwidth} and {1e6 * link.latency:.3g} us a hop.",
            f"{self.overlap:.0%} of what the backward pass of {_ms(step.backward)} can hide is"
            f" hidden, and {_ms(self.wait)} are lost besides: as for two workers.",
            "The network and the storage of the videos do not get slower by many workers.",
        ]


def fit_link(seconds: Mapping[int, float]) -> Link:
    """Return the network in which two workers sum tensors in these times.

    Args:
        seconds: seconds of the all-reduce of the smallest and the largest tensor that was
            measured, by bytes. Those between are not used.

    Raises:
        ValueError: there are not two sizes, or the larger tensor took no longer.
    """
    small, large = min(seconds, default=0), max(seconds, default=0)
    if small == large or not seconds[large] > seconds[small]:
        raise ValueError(
            "Cannot fit a network. Expected two sizes, and a larger tensor that takes longer. "
            f"Received: {dict(seconds)}. Measure a larger one."
        )
    per_byte = (seconds[large] - seconds[small]) / (large - small)  # two workers: all bytes once
    return Link(max(0.0, seconds[small] - small * per_byte) / 2, per_byte)


def fit_hidden(computation: float, making: float, together: float) -> float:
    """Return the share of the input that is hidden behind the computation, or the reverse.

    Args:
        computation: seconds of a step without the input.
        making: seconds in which the input makes a batch, when nothing else runs.
        together: seconds of a step with the input.
    """
    shorter = min(computation, making)
    return min(1.0, max(0.0, (computation + making - together) / shorter)) if shorter else 1.0


def fit(step: Step, link: Link, two: float) -> Scaling:
    """Return the model in which a step of two workers without the input takes `two` seconds.

    What two workers take longer than one, and the all-reduce does not explain, is the wait. If they
    take less longer than the all-reduce, it overlaps with the backward pass; with an overlap of 1
    the model may still be slower than measured.
    """
    longer = max(0.0, two - step.computation)
    travels = ring_all_reduce_time(step.gradients, 2, link)
    hideable = min(travels, step.backward)
    overlap = min(1.0, max(0.0, (travels - longer) / hideable)) if hideable else 0.0
    return Scaling(step, link, overlap, max(0.0, longer - travels))


def scaling_rows(
    scaling: Scaling, measured: Mapping[int, float], workers: Sequence[int] = WORKERS
) -> list[dict[str, Any]]:
    """Return the rows of a table: measured ones beside those of the model.

    Args:
        scaling: the model.
        measured: seconds of a step with the input, by number of workers.
        workers: numbers of workers.

    Returns:
        By column: a row whose `source` is "measured" has the efficiency of measured steps alone.
    """
    rows = []
    for number in workers:
        seconds, one = scaling.seconds(number), scaling.seconds(1)
        source = "extrapolated" if number > max(measured, default=0) else "fitted"
        rows.append(_row(scaling, number, seconds, one, source))
        if number in measured and 1 in measured:
            rows.append(_row(scaling, number, measured[number], measured[1], "measured"))
    return rows


def scaling_figure(
    scalings: Mapping[str, Scaling],
    measured: Mapping[str, Mapping[int, float]],
    workers: Sequence[int] = WORKERS,
) -> str:
    """Return SVG: by how much many workers are faster than one, by the model, beside the ideal.

    Args:
        scalings: models by name.
        measured: for each name, seconds of a step with the input by number of workers, with 1.
        workers: numbers of workers.

    Raises:
        ValueError: measured steps lack those of one worker, or a value cannot be drawn.
    """
    lines = {"ideal": [_point(number, number) for number in workers]}
    for name, scaling in scalings.items():
        lines[f"{name}, extrapolated"] = [
            _point(number, number * scaling.efficiency(number)) for number in workers
        ]
    for name, steps in measured.items():
        if 1 not in steps:
            raise ValueError(
                f"{name}: expected a measured step of 1 worker, to compare others with. "
                f"Received: steps of {', '.join(map(str, steps)) or 'none'}."
            )
        lines[f"{name}, measured"] = [
            _point(number, number * steps[1] / seconds) for number, seconds in sorted(steps.items())
        ]
    return lines_figure(lines, "workers", "times as fast as one", log_x=True, log_y=True)


def _with_input(step: Step, busy: float) -> float:
    return busy + step.input - step.hidden * min(busy, step.input)


def _row(scaling: Scaling, workers: int, seconds: float, one: float, source: str) -> dict[str, Any]:
    modeled = source != "measured"
    return {
        "workers": workers,
        "source": source,
        "clips an update": workers * scaling.step.clips,
        "all-reduce, ms": f"{1e3 * scaling.all_reduce(workers):.1f}" if modeled else "",
        "not hidden, ms": f"{1e3 * scaling.exposed(workers):.1f}" if modeled else "",
        "step, ms": f"{1e3 * seconds:.1f}",
        "clips/s": f"{workers * scaling.step.clips / seconds:.1f}",
        "efficiency": f"{one / seconds:.3f}",
    }


def _point(x: float, y: float) -> Point:
    return Point(x, y, y, y)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"
