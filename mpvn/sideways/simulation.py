"""Simulates the training of a chain of subnetworks on several devices, from what they cost.

The three schedules of `mpvn.sideways.schedule`, with subnetworks that cost what they do and values
that travel; see `mpvn.plan.simulation` for the rules, and for what they leave out. Back-propagation
and GPipe run the passes of their schedules as soon as they can:

    forward of frame f in subnetwork s     reads the forward pass of f in s - 1
    backward of frame f in subnetwork s    reads the backward pass of f in s + 1

Sideways is a stream: at every step each subnetwork does one forward and one backward pass, on what
its neighbors on both sides sent at the previous step; so it does with the shortcuts of
Skip-Sideways. It does so from the first step of a clip, whose gradients do not count yet.
"""

import dataclasses
from collections.abc import Sequence

from mpvn.plan.plan import Plan
from mpvn.plan.simulation import Message, Reading, Stream, Work, stream
from mpvn.sideways.schedule import TrainingSchedule, back_propagation, gpipe


@dataclasses.dataclass(frozen=True)
class Chain:
    """What the subnetworks of a chain cost for one frame of every clip of a batch.

    Attributes:
        forward: time of the forward pass in each of D subnetworks.
        backward: time of the backward pass in each.
        sizes: bytes between each of D - 1 pairs of neighbors, the same in both directions.
    """

    forward: tuple[float, ...]
    backward: tuple[float, ...]
    sizes: tuple[float, ...]

    def __post_init__(self) -> None:
        depth = len(self.forward)
        if not depth or (len(self.backward), len(self.sizes)) != (depth, depth - 1):
            raise ValueError(
                "Invalid chain. Expected D forward times, D backward times, and D - 1 sizes. "
                f"Received: {depth}, {len(self.backward)}, and {len(self.sizes)}"
            )

    @property
    def subnetworks(self) -> int:
        """The number D of subnetworks."""
        return len(self.forward)

    @property
    def loads(self) -> list[float]:
        """Time of both passes in each subnetwork."""
        return [sum(pair) for pair in zip(self.forward, self.backward, strict=True)]

    @property
    def rematerialized(self) -> "Chain":
        """The chain whose backward passes repeat the forward pass, as those of GPipe do here."""
        return dataclasses.replace(self, backward=tuple(self.loads))

    def scaled(self, factor: float) -> "Chain":
        """Return the chain whose passes take `factor` times as long."""
        forward = tuple(factor * time for time in self.forward)
        return Chain(forward, tuple(factor * time for time in self.backward), self.sizes)


def chain(plan: Plan, batch: int = 1, backward: float = 2.0) -> Chain:
    """Return what the subnetworks of a plan cost in training.

    Args:
        plan: a plan without clocks whose subnetworks form a chain. Times are in its unit of costs.
        batch: number of clips.
        backward: time of a backward pass over that of the forward pass. It computes two gradients,
            those of the input and of the weights, each of which costs about as much.

    Raises:
        ValueError: the plan has clocks or a fresh head, or subnetworks read others than the one
            before them.
    """
    rows = stream(plan, batch)
    neighbors = {(s, s + 1, 1) for s in range(rows.subnetworks - 1)}
    messages = {message[:3]: message.sizes[0] for message in rows.messages}
    if rows.period > 1 or set(messages) != neighbors:
        pairs = ", ".join(f"{source} -> {target}" for source, target, _ in messages) or "none"
        raise ValueError(
            "Training is simulated for chains without clocks. Expected subnetworks that read the "
            f"one before them. Received: a period of {rows.period} steps, messages {pairs}."
        )
    forward = rows.costs[0]
    sizes = (messages[key] for key in sorted(neighbors))
    return Chain(forward, tuple(backward * time for time in forward), tuple(sizes))


def sideways_stream(forward: Stream, backward: float = 2.0) -> Stream:
    """Return Sideways training as a stream: both passes at each step, and answers to all readers.

    Args:
        forward: what the subnetworks compute and read in their forward passes, from
            `mpvn.plan.simulation.stream`; they need not form a chain.
        backward: as in `chain`.
    """
    answers = (
        Message(message.target, message.source, 1, message.sizes) for message in forward.messages
    )
    both = forward.scaled(1 + backward)
    return dataclasses.replace(both, messages=(*forward.messages, *answers))


def back_propagation_works(chain: Chain, devices: Sequence[int], frames: int) -> list[Work]:
    """Return the works of back-propagation: one frame after another, forward then backward.

    Args:
        chain: the subnetworks.
        devices: the device of each; see `mpvn.plan.simulation.place`.
        frames: the number M of frames in a clip.
    """
    return _pass_works(back_propagation(chain.subnetworks, frames), chain, devices)


def gpipe_works(chain: Chain, devices: Sequence[int], frames: int) -> list[Work]:
    """Return the works of one update of GPipe, with frames as micro-batches.

    Args:
        chain: the subnetworks; usually `rematerialized`.
        devices, frames: as in `back_propagation_works`.
    """
    return _pass_works(gpipe(chain.subnetworks, frames), chain, devices)


def _pass_works(schedule: TrainingSchedule, chain: Chain, devices: Sequence[int]) -> list[Work]:
    """Return the passes of a schedule as works, in the order of its units."""
    works: list[Work] = []
    done: dict[tuple[int, int, bool], int] = {}  # subnetwork, frame, whether backward
    for s, (frame, is_backward) in schedule.passes():
        neighbor = s + 1 if is_backward else s - 1
        read = done.get((neighbor, frame, is_backward))  # None at both ends of the chain
        reads = () if read is None else (Reading(read, chain.sizes[min(s, neighbor)]),)
        done[s, frame, is_backward] = len(works)
        times = chain.backward if is_backward else chain.forward
        works.append(Work(devices[s], times[s], reads))
    return works
