"""Schedules of training, as data: which frame each subnetwork works on when, forward or backward.

Three ways to train a chain of D subnetworks, each on its own device, on M frames (figure 1 of the
supplement of *Skip-Sideways*, CVPR 2021; *GPipe*, NeurIPS 2019, section 2.3; *Sideways*, CVPR 2020,
section 3). Here D = 3 and M = 4. `f2` is the forward pass of frame 2, `b2` the backward pass of the
gradient of frame 2's loss, a dot is idle:

    back-propagation: a frame is forward and backward before the next may enter
    unit                       5             10             15             20
    subnetwork 0  f1  .  .  .  . b1 f2  .  .  .  . b2 f3  .  .  .  . b3 f4  .  .  .  . b4
    subnetwork 1   . f1  .  . b1  .  . f2  .  . b2  .  . f3  .  . b3  .  . f4  .  . b4  .
    subnetwork 2   .  . f1 b1  .  .  .  . f2 b2  .  .  .  . f3 b3  .  .  .  . f4 b4  .  .

    GPipe: all frames forward one after another, then backward in reverse order
    unit                       5             10
    subnetwork 0  f1 f2 f3 f4  .  .  .  . b4 b3 b2 b1
    subnetwork 1   . f1 f2 f3 f4  .  . b4 b3 b2 b1  .
    subnetwork 2   .  . f1 f2 f3 f4 b4 b3 b2 b1  .  .

    Sideways: at every step one frame forward and one gradient backward
    unit                       5             10             15
    subnetwork 0  f1  . f2  . f3  . f4  .  . b1  . b2  . b3  . b4
    subnetwork 1   .  . f1  . f2  . f3 b1 f4 b2  . b3  . b4  .  .
    subnetwork 2   .  .  .  . f1 b1 f2 b2 f3 b3 f4 b4  .  .  .  .

Each forward pass and each backward pass takes one unit of time, and a step of Sideways takes two.
Frames and units are counted from 1; subnetworks, as in a plan, from 0.

Where Sideways is idle, the frames before and after these M run: in a stream it is never idle. A
clip of M frames alone ends with step M, unit 2 M; the gradients that would come later are masked.

What it does not model: a backward pass really costs about two forward passes, and three if the
forward pass is repeated for it. Subnetworks count as equally expensive, and sending as free.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from keras_layers.sideways_rules import first_learning_steps

TICK = 5
"""Units between the numbers on the time axis of a drawing."""


class Pass(NamedTuple):
    """The work of a subnetwork in a unit: a frame forward, or the gradient of its loss backward."""

    frame: int
    backward: bool

    def __str__(self) -> str:
        return f"{'b' if self.backward else 'f'}{self.frame}"


@dataclasses.dataclass(frozen=True)
class TrainingSchedule:
    """The passes of M frames, forward and backward, through each of D subnetworks.

    Attributes:
        name: the name of the schedule.
        cells: `[D][length]`, the pass of a subnetwork in a unit; None if it is idle.
        period: units after which, in an endless stream, the next M frames start.
    """

    name: str
    cells: tuple[tuple[Pass | None, ...], ...]
    period: int

    @property
    def subnetworks(self) -> int:
        """The number D of subnetworks."""
        return len(self.cells)

    @property
    def frames(self) -> int:
        """The number M of frames."""
        return max(cell.frame for cell in self.cells[0] if cell)

    @property
    def length(self) -> int:
        """Units from the first forward pass to the last backward pass."""
        return len(self.cells[0])

    @property
    def bubble_fraction(self) -> float:
        """Share of the units of all subnetworks that are idle.

        Back-propagation: 1 - 1 / D. GPipe: (D - 1) / (M + D - 1). Sideways, from the first frame's
        entry to the last gradient's exit: (2 D - 2) / (M + 2 D - 2), which tends to 0 as M grows.
        """
        return sum(row.count(None) for row in self.cells) / (self.subnetworks * self.length)

    @property
    def units_per_frame(self) -> float:
        """Units per frame in an endless stream."""
        return self.period / self.frames

    @property
    def stream_bubble(self) -> float:
        """Idle share in an endless stream: 0 for Sideways, `bubble_fraction` for the others."""
        return 1 - 2 / self.units_per_frame

    def passes(self) -> Iterator[tuple[int, Pass]]:
        """Yield every pass with its subnetwork, unit by unit: the order in which they run."""
        for unit in zip(*self.cells, strict=True):
            for subnetwork, cell in enumerate(unit):
                if cell:
                    yield subnetwork, cell

    def throughput_over(self, other: "TrainingSchedule") -> float:
        """Return the throughput in frames of an endless stream, divided by that of `other`.

        Sideways over GPipe: (M + D - 1) / M.
        """
        return other.units_per_frame / self.units_per_frame

    def grid(self, width: int | None = None) -> str:
        """Draw the schedule: a row per subnetwork, a column per unit; see the module's docstring.

        Args:
            width: maximum characters in a line, as long as a unit fits. Longer schedules continue
                in another block below. None: one block.
        """
        names = [f"subnetwork {index} " for index in range(self.subnetworks)]
        left, cell_width = len(names[-1]), len(str(self.frames)) + 2
        most = self.length if width is None else max(1, (width - left) // cell_width)
        block_length = math.ceil(self.length / math.ceil(self.length / most))  # blocks alike
        blocks = []
        for first in range(0, self.length, block_length):
            units = range(first + 1, min(first + block_length, self.length) + 1)
            ticks = "".join(f"{'' if unit % TICK else unit:>{cell_width}}" for unit in units)
            lines = [f"{'unit':<{left}}{ticks}".rstrip()]
            for name, row in zip(names, self.cells, strict=True):
                cells = "".join(f"{row[unit - 1] or '.'!s:>{cell_width}}" for unit in units)
                lines.append(f"{name:<{left}}{cells}")
            blocks.append("\n".join(lines))
        return "\n\n".join(blocks)


def back_propagation(subnetworks: int, frames: int) -> TrainingSchedule:
    """Return the schedule of one frame after another, forward then backward: 2 D units a frame.

    Raises:
        ValueError: a number is not a positive integer.
    """
    _check(subnetworks, frames)
    return _schedule(
        "back-propagation",
        subnetworks,
        frames,
        forward=lambda s, f: 2 * subnetworks * f + s,
        backward=lambda s, f: 2 * subnetworks * (f + 1) - 1 - s,
        period=2 * subnetworks * frames,
    )


def gpipe(subnetworks: int, frames: int) -> TrainingSchedule:
    """Return the schedule of M micro-batches, all forward then all backward: 2 (M + D - 1) units.

    An endless stream is cut into such batches: weights change only between them, when the pipeline
    is empty.

    Raises:
        ValueError: a number is not a positive integer.
    """
    _check(subnetworks, frames)
    length = 2 * (frames + subnetworks - 1)
    return _schedule(
        "GPipe",
        subnetworks,
        frames,
        forward=lambda s, f: f + s,
        backward=lambda s, f: length - 1 - (f + s),  # the forward passes, time reversed
        period=length,
    )


def sideways(subnetworks: int, frames: int) -> TrainingSchedule:
    """Return the schedule in which every subnetwork takes a frame and a gradient at each step.

    At step t, counted from 1, subnetwork i = 1 .. D holds frame t - i + 1, and receives the
    gradient of the loss of frame t - (2 D - 1 - i), the first at step 2 D - i. It multiplies it
    with the Jacobian at the frame that it holds; only for the last subnetwork these two frames are
    the same. The last gradient leaves after M + 2 D - 2 steps.

    Raises:
        ValueError: a number is not a positive integer.
    """
    _check(subnetworks, frames)
    first_steps = first_learning_steps(subnetworks)
    return _schedule(
        "Sideways",
        subnetworks,
        frames,
        forward=lambda s, f: 2 * (f + s),
        backward=lambda s, f: 2 * (f + first_steps[s]) + 1,
        period=2 * frames,
    )


def training_schedules(
    subnetworks: int, frames: int
) -> tuple[TrainingSchedule, TrainingSchedule, TrainingSchedule]:
    """Return the schedules of back-propagation, GPipe and Sideways.

    Args:
        subnetworks: the number D of subnetworks.
        frames: the number M of frames; GPipe's micro-batches.

    Raises:
        ValueError: a number is not a positive integer.

    Example:
        >>> for schedule in training_schedules(subnetworks=3, frames=4):
        ...     print(schedule.name, schedule.length, schedule.units_per_frame)
        back-propagation 24 6.0
        GPipe 12 3.0
        Sideways 16 2.0
    """
    return (
        back_propagation(subnetworks, frames),
        gpipe(subnetworks, frames),
        sideways(subnetworks, frames),
    )


def _check(subnetworks: int, frames: int) -> None:
    for number in (subnetworks, frames):
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ValueError(
                "Invalid size of a training schedule. Expected integers of at least 1. "
                f"Received: subnetworks={subnetworks!r}, frames={frames!r}"
            )


def _schedule(
    name: str,
    subnetworks: int,
    frames: int,
    forward: Callable[[int, int], int],
    backward: Callable[[int, int], int],
    period: int,
) -> TrainingSchedule:
    """Return the schedule with passes in the units `forward(s, f)` and `backward(s, f)`.

    Subnetworks s, frames f and these units are counted from 0.
    """
    rows: list[dict[int, Pass]] = []
    for s in range(subnetworks):
        row = {forward(s, f): Pass(f + 1, backward=False) for f in range(frames)}
        row |= {backward(s, f): Pass(f + 1, backward=True) for f in range(frames)}
        rows.append(row)
    length = 1 + max(max(row) for row in rows)
    cells = tuple(tuple(row.get(unit) for unit in range(length)) for row in rows)
    return TrainingSchedule(name, cells, period)
