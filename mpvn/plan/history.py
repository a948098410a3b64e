"""The values that a schedule keeps from one step to the next, and how each edge reads them.

There is one kind of history: the last ticks of a tensor. A reader across a boundary or on another
clock needs one tick; a temporal layer needs the ticks of its window; a recurrent layer needs its
own previous tick. Histories have a fixed depth, and all readers that need the whole tensor share
one history.
"""

import dataclasses
import enum
import math
import re

import tensorflow as tf

from keras_layers.temporal import TemporalLayer, compresses, remembered_spec
from mpvn.graph.data import Node, Tensor
from mpvn.plan.clock import EVERY_STEP, Clock
from mpvn.plan.schedule import Schedule


class Seen(enum.Enum):
    """Which value of its producer a reader sees."""

    FRESH = "the value of this step: the producer ticks whenever the reader does"
    HELD = "the newest value at this step, computed now or held since an earlier step"
    DELAYED = "the newest value at the previous step"


@dataclasses.dataclass(frozen=True)
class Read:
    """How a node reads one tensor.

    Attributes:
        tensor: index of the tensor.
        seen: which value the node sees.
        held: the history with the newest value; None if the value is FRESH.
        window: number of ticks that the node sees, the newest included.
        past: the history with the older ticks; None if the window is 1.
    """

    tensor: int
    seen: Seen
    held: "History | None" = None
    window: int = 1
    past: "History | None" = None

    @property
    def delay(self) -> int:
        """Steps from the producer to the reader."""
        return int(self.seen is Seen.DELAYED)


@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """The last `depth` ticks of a tensor, whole or as one temporal layer remembers them.

    Attributes:
        tensor: index of the tensor.
        layer: the temporal layer whose `remember` selects the part to keep; None keeps everything.
        slots: names of the state's tensors, oldest first.
        spec: shape (with batch axis) and dtype of a slot.
    """

    tensor: int
    layer: TemporalLayer | None
    slots: tuple[str, ...]
    spec: tf.TensorSpec

    @property
    def depth(self) -> int:
        """Number of ticks in the history."""
        return len(self.slots)

    def keep(self, value: tf.Tensor) -> tf.Tensor:
        """Return the part of `value` (`[B, ...]`) that the history keeps."""
        return value if self.layer is None else self.layer.remember(value)


class Histories:
    """All histories of a schedule, derived from how its edges read.

    Attributes:
        all: the histories, in plan order.
        specs: specs of the state's slots, by name. The step counter is not among them.
        devices: where each slot is kept, by name: on the device of its producer; None for the
            input frame, and where TensorFlow chooses.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._depths: dict[tuple[int, int | None], int] = {}
        for node in schedule.graph.nodes:
            for tensor, seen, window in self._edges(node):
                self._require(tensor, node, seen, window)
        for tensor in schedule.graph.outputs:
            self._require(tensor, None, self._output_seen(tensor), 1)
        self._by_key = {
            key: self._create(*key, depth)
            for key, depth in sorted(self._depths.items(), key=lambda item: _order(*item[0]))
        }
        self.all = tuple(self._by_key.values())
        self._of: dict[int, list[History]] = {t.index: [] for t in schedule.graph.tensors}
        for history in self.all:
            self._of[history.tensor].append(history)
        self._reads = [self._node_reads(node) for node in schedule.graph.nodes]
        self.specs = {slot: history.spec for history in self.all for slot in history.slots}
        producers = {node: self.produced_by([node]) for node in schedule.graph.nodes}
        placed = {
            slot: schedule.device(node)
            for node, histories in producers.items()
            for history in histories
            for slot in history.slots
        }
        self.devices = {slot: placed.get(slot) for slot in self.specs}

    def of(self, tensor: int) -> list[History]:
        """Return the histories of `tensor`."""
        return self._of[tensor]

    def produced_by(self, nodes: list[Node]) -> list[History]:
        """Return the histories of the outputs of `nodes`."""
        return [history for node in nodes for t in node.outputs for history in self.of(t)]

    def reads(self, node: Node) -> list[Read]:
        """Return how `node` reads its inputs, then its memory.

        A feedback node reads its source instead.
        """
        return self._reads[node.index]

    def output_read(self, tensor: int) -> Read:
        """Return how an output of the model is read, at every step."""
        seen = self._output_seen(tensor)
        return Read(tensor, seen, self._held(tensor, seen))

    @property
    def bytes_per_stream(self) -> int:
        """Bytes of all slots of one stream."""
        return sum(
            math.prod(spec.shape[1:].as_list()) * spec.dtype.size for spec in self.specs.values()
        )

    def _node_reads(self, node: Node) -> list[Read]:
        reads = []
        for tensor, seen, window in self._edges(node):
            past = self._by_key[tensor, _private_reader(node)] if window > 1 else None
            reads.append(Read(tensor, seen, self._held(tensor, seen), window, past))
        return reads

    def _edges(self, node: Node) -> list[tuple[int, Seen, int]]:
        """Return (tensor, which value is seen, window) for each value that `node` reads."""
        schedule = self._schedule
        source = schedule.feedback_source(node)
        if source:
            return [(source.outputs[0], Seen.DELAYED, 1)]
        edges = []
        for tensor in node.inputs:
            producer = schedule.graph.producer(tensor)
            delay = schedule.delay(producer, node)
            seen = _seen(schedule.clock(producer), schedule.clock(node), delay)
            edges.append((tensor, seen, node.window))
        return edges + [(tensor, Seen.DELAYED, 1) for tensor in node.memory]

    def _held(self, tensor: int, seen: Seen) -> History | None:
        return None if seen is Seen.FRESH else self._by_key[tensor, None]

    def _output_seen(self, tensor: int) -> Seen:
        producer = self._schedule.graph.producer(tensor)
        return _seen(self._schedule.clock(producer), EVERY_STEP, 0)

    def _require(self, tensor: int, node: Node | None, seen: Seen, window: int) -> None:
        """Make the histories of `tensor` deep enough for one read."""
        if seen is not Seen.FRESH:
            self._deepen((tensor, None), 1)
        if window > 1 and node is not None:
            # The history must include the newest tick unless this step always computes it.
            depth = window - 1 if seen is Seen.FRESH else window
            self._deepen((tensor, _private_reader(node)), depth)

    def _deepen(self, key: tuple[int, int | None], depth: int) -> None:
        self._depths[key] = max(depth, self._depths.get(key, 0))

    def _create(self, tensor_index: int, reader_index: int | None, depth: int) -> History:
        tensor: Tensor = self._schedule.graph.tensors[tensor_index]
        spec = tf.TensorSpec((None, *tensor.shape), tensor.dtype)
        name, layer = tensor.name, None
        if reader_index is not None:
            reader = self._schedule.graph.nodes[reader_index]
            layer = reader.operation
            spec = remembered_spec(layer, (None, *tensor.shape), tensor.dtype)
            name = f"{name}_for{reader_index}_{reader.name}"
        # Slot names become arguments of exported signatures: letters, digits, underscores only.
        stem = f"t{tensor_index}_{re.sub(r'[^A-Za-z0-9_]', '_', name)}"
        slots = tuple(f"{stem}_past{age}" for age in range(depth, 0, -1))
        return History(tensor_index, layer, slots, spec)


def _order(tensor: int, reader: int | None) -> tuple[int, int]:
    """Return the sorting key of a history: first a tensor's shared history, then its readers'."""
    return tensor, -1 if reader is None else reader


def _seen(producer: Clock, reader: Clock, delay: int) -> Seen:
    if delay:
        return Seen.DELAYED
    return Seen.FRESH if reader.within(producer) else Seen.HELD


def _private_reader(node: Node) -> int | None:
    """Return the index of `node` if it is a temporal layer that keeps only part of its inputs."""
    return node.index if node.temporal and compresses(node.temporal) else None
