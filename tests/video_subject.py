"""One network under test, as the package and as the NumPy reference know it.

A stepped stream, an unrolled clip, a layerwise clip, and a clip in pieces are different programs
for one function. `assert_follows_reference` compares each of them with `reference.py`, in float64,
to 1e-9.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from network_data import Network, to_keras
from random_networks import Settings
from reference import Array, Placement, interpret

import mpvn
from mpvn.executors.choose import CLIP_EXECUTORS

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Subject:
    """A network under test: as data, as the package built it, and as the plan placed its nodes."""

    network: Network
    model: keras.Model
    plan: mpvn.Plan
    video: mpvn.VideoNetwork
    placement: Placement

    @property
    def executors(self) -> list[str]:
        """The executors that can run a clip; layerwise cannot run feedback."""
        refused = {"layerwise"} if self.network.has_feedback else set()
        return [name for name in CLIP_EXECUTORS if name not in refused]

    def structured(self, clips: dict[str, Array]) -> Any:
        """Return `clips` in the structure of the model's inputs."""
        values = [clips[node.name] for node in self.network.inputs]
        return values if len(values) > 1 else values[0]

    def expected(self, clips: dict[str, Array], phase: int = 0) -> list[Array]:
        """Return the reference's outputs `[B, T, ...]`."""
        return interpret(self.network.nodes, self.network.outputs, self.placement, clips, phase)

    def whole(self, clips: dict[str, Array], executor: str) -> list[Array]:
        """Return the outputs of a clip run at once by `executor`."""
        self.video.executor = executor
        return as_list(self.video(self.structured(clips)))

    def stepped(self, clips: dict[str, Array], state: Any) -> tuple[list[Array], Any]:
        """Return the outputs of a clip run frame by frame, and the final state."""
        history = []
        for t in range(next(iter(clips.values())).shape[1]):
            y, state = self.video.step(self.structured(cut(clips, t)), state)
            history.append(as_list(y))
        return [np.stack(y, axis=1) for y in zip(*history, strict=True)], state

    def in_pieces(
        self,
        clips: dict[str, Array],
        executors: Sequence[str],
        cuts: Sequence[int],
        phase: int = 0,
    ) -> list[Array]:
        """Return the outputs of a clip cut before the steps `cuts`, with the state carried over.

        The `executors` run the pieces in turn; `"step"` runs frame by frame.
        """
        batch_size, steps = next(iter(clips.values())).shape[:2]
        state = self.video.initial_state(batch_size, phase=phase)
        pieces = []
        bounds = zip([0, *cuts], [*cuts, steps], strict=True)
        for (begin, end), executor in zip(bounds, itertools.cycle(executors), strict=False):
            piece = cut(clips, slice(begin, end))
            if executor == "step":
                y, state = self.stepped(piece, state)
            else:
                self.video.executor = executor
                y, state = self.video.run(self.structured(piece), state)
            pieces.append(as_list(y))
        return [np.concatenate(y, axis=1) for y in zip(*pieces, strict=True)]


def build_subject(network: Network, settings: Settings) -> Subject:
    """Build a network with the package."""
    model = to_keras(network)
    plan = mpvn.Plan(model, **settings.plan_arguments())
    names = [node.name for node in network.flat]
    clocks = {name: (plan.clock_of[name].rate, plan.clock_of[name].phase) for name in names}
    order = [name for name in plan.nodes if name in clocks]
    head = frozenset(order[order.index(settings.head) :] if settings.head else ())
    subnetworks = {name: plan.subnetwork_of[name] for name in names}
    placement = Placement(subnetworks, clocks, head)
    return Subject(network, model, plan, mpvn.VideoNetwork(model, plan), placement)


def cut(clips: dict[str, Array], at: int | slice) -> dict[str, Array]:
    """Return the steps `at` of every clip."""
    return {name: clip[:, at] for name, clip in clips.items()}


def as_list(outputs: Any) -> list[Array]:
    """Return the outputs of a network as a list of arrays, also for a single output."""
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [np.asarray(y) for y in outputs]


def assert_same(actual: list[Array], expected: list[Array], what: str) -> None:
    """Check that all outputs are equal, up to rounding."""
    for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
        assert a.dtype == np.float64, f"{what}: output {i} is {a.dtype}"
        scale = max(1.0, np.abs(e).max())
        np.testing.assert_allclose(
            a, e, rtol=0, atol=TOLERANCE * scale, err_msg=f"{what}, output {i}"
        )


def assert_follows_reference(
    tested: Subject, batch_size: int, steps: int, phase: int = 0, cuts: tuple[int, ...] = ()
) -> None:
    """Compare every way to run a clip with the reference."""
    clips = tested.network.clips(batch_size, steps, seed=batch_size + 10 * steps)
    expected = tested.expected(clips, phase)
    for executor in tested.executors if phase == 0 else ():
        assert_same(tested.whole(clips, executor), expected, f"{executor}, at once")
    # The last entry runs all executors in turn: a state must mean the same to each of them.
    for executors in (["step"], *([e] for e in tested.executors), ["step", *tested.executors]):
        pieces = tested.in_pieces(clips, executors, cuts, phase)
        assert_same(pieces, expected, f"{' and '.join(executors)}, cut at {cuts}")
