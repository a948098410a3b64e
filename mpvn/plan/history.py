"""What a plan keeps from one step to the next, and how each edge reads it.

There is one kind of history: the last few ticks of a tensor. One tick serves a reader across a
boundary or on another clock; a temporal layer needs the ticks of its window. Histories are bounded,
and one history serves all readers that keep the whole tensor.
"""

import dataclasses
import enum
import math
import re
from typing import TYPE_CHECKING

import tensorflow as tf

from keras_layers.temporal import TemporalLayer, compresses, remembered_spec
from mpvn.plan.clock import EVERY_STEP, Clock
from mpvn.plan.graph import Node, Tensor

if TYPE_CHECKING:
    from mpvn.plan import Plan


class Seen(enum.Enum):
    """Which value of its producer a reader sees."""

    FRESH = "the value of this step: the producer ticks whenever the reader does"
    HELD = "the newest value at this step, of this step or held"
    DELAYED = "the newest value at the previous step"


@dataclasses.dataclass(frozen=True)
class Read:
    """How a node reads one tensor.

    Attributes:
        tensor: index of the tensor.
        seen: which of its values.
        held: the history that holds the newest value, None if it is FRESH.
        window: how many ticks are seen, the newest included.
        past: the history that holds the older ticks, None if the window is 1.
    """

    tensor: int
    seen: Seen
    held: "History | None" = None
    window: int = 1
    past: "History | None" = None

    @property
    def delay(self) -> int:
        """Steps that the value takes to the reader."""
        return int(self.seen is Seen.DELAYED)


@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """The last `depth` ticks of a tensor, whole or as one temporal layer remembers them.

    Attributes:
        tensor: index of the tensor.
        layer: the temporal layer whose `remember` says what is kept; None: all of it.
        slots: names of the state's tensors, oldest first.
        spec: shape (with batch axis) and dtype of a slot.
    """

    tensor: int
    layer: TemporalLayer | None
    slots: tuple[str, ...]
    spec: tf.TensorSpec

    @property
    def depth(self) -> int:
        """How many ticks are kept."""
        return len(self.slots)

    def keep(self, value: tf.Tensor) -> tf.Tensor:
        """What is kept of a new `value`."""
        return value if self.layer is None else self.layer.remember(value)


class Histories:
    """All histories of a plan, found from how its edges read.

    Attributes:
        all: the histories, in plan order.
        specs: spec of every tensor of the state but the step counter, by name.
    """

    def __init__(self, plan: "Plan") -> None:
        self._plan = plan
        self._depths: dict[tuple[int, int | None], int] = {}
        for node in plan.graph.nodes:
            for tensor, seen, window in self._edges(node):
                self._require(tensor, node, seen, window)
        for tensor in plan.graph.outputs:
            self._require(tensor, None, self._output_seen(tensor), 1)
        self._by_key = {
            key: self._make(*key, depth)
            for key, depth in sorted(self._depths.items(), key=lambda item: _in_order(*item[0]))
        }
        self.all = tuple(self._by_key.values())
        self._of: dict[int, list[History]] = {tensor.index: [] for tensor in plan.graph.tensors}
        for history in self.all:
            self._of[history.tensor].append(history)
        self._reads = [self._find_reads(node) for node in plan.graph.nodes]
        self.specs = {slot: history.spec for history in self.all for slot in history.slots}

    def of(self, tensor: int) -> list[History]:
        """The histories of `tensor`."""
        return self._of[tensor]

    def reads(self, node: Node) -> list[Read]:
        """How `node` reads its inputs; a feedback reads its source instead."""
        return self._reads[node.index]

    def _find_reads(self, node: Node) -> list[Read]:
        found = []
        for tensor, seen, window in self._edges(node):
            past = self._by_key[tensor, _keeper(node)] if window > 1 else None
            found.append(Read(tensor, seen, self._held(tensor, seen), window, past))
        return found

    def output_read(self, tensor: int) -> Read:
        """How an output of the model is read, at every step."""
        seen = self._output_seen(tensor)
        return Read(tensor, seen, self._held(tensor, seen))

    def reads_outside(self, nodes: list[Node]) -> list[Read]:
        """How nodes other than `nodes` read, and the outputs of the model are read."""
        graph, inside = self._plan.graph, {node.index for node in nodes}
        reads = [self.output_read(tensor) for tensor in graph.outputs]
        for node in graph.nodes:
            if node.index not in inside:
                reads.extend(self.reads(node))
        return reads

    def made_by(self, nodes: list[Node]) -> list[History]:
        """The histories of what `nodes` put out."""
        return [history for node in nodes for t in node.outputs for history in self.of(t)]

    @property
    def bytes_per_stream(self) -> int:
        """Bytes of all slots for one stream."""
        return sum(
            math.prod(spec.shape[1:].as_list()) * spec.dtype.size for spec in self.specs.values()
        )

    def _edges(self, node: Node) -> list[tuple[int, Seen, int]]:
        """(tensor, what is seen of it, window) for each value that `node` reads."""
        plan = self._plan
        if node.feedback_source:
            source = plan.graph.by_name[node.feedback_source]
            return [(source.outputs[0], Seen.DELAYED, 1)]
        edges = []
        for tensor in node.inputs:
            producer = plan.graph.producer(tensor)
            delay = plan.delay(producer, node)
            seen = _seen(plan.clock(producer), plan.clock(node), delay)
            edges.append((tensor, seen, node.window))
        return edges

    def _held(self, tensor: int, seen: Seen) -> History | None:
        return None if seen is Seen.FRESH else self._by_key[tensor, None]

    def _output_seen(self, tensor: int) -> Seen:
        return _seen(self._plan.clock(self._plan.graph.producer(tensor)), EVERY_STEP, 0)

    def _require(self, tensor: int, node: Node | None, seen: Seen, window: int) -> None:
        if seen is not Seen.FRESH:
            self._deepen((tensor, None), 1)
        if window > 1 and node is not None:
            # The newest tick is in the history too, unless it is always made in this step.
            self._deepen((tensor, _keeper(node)), window - 1 if seen is Seen.FRESH else window)

    def _deepen(self, key: tuple[int, int | None], depth: int) -> None:
        self._depths[key] = max(depth, self._depths.get(key, 0))

    def _make(self, tensor_index: int, reader_index: int | None, depth: int) -> History:
        tensor: Tensor = self._plan.graph.tensors[tensor_index]
        spec = tf.TensorSpec((None, *tensor.shape), tensor.dtype)
        name, layer = tensor.name, None
        if reader_index is not None:
            reader = self._plan.graph.nodes[reader_index]
            layer = reader.operation
            spec = remembered_spec(layer, (None, *tensor.shape), tensor.dtype)
            name = f"{name}_for_{reader.name}"
        # Names become arguments of exported signatures: letters, digits and underscores only.
        stem = f"t{tensor_index}_{re.sub(r'[^A-Za-z0-9_]', '_', name)}"
        slots = tuple(f"{stem}_past{age}" for age in range(depth, 0, -1))
        return History(tensor_index, layer, slots, spec)


def _in_order(tensor: int, reader: int | None) -> tuple[int, int]:
    """Sorting key of a history: a tensor's whole history first, then its readers'."""
    return tensor, -1 if reader is None else reader


def _seen(producer: Clock, reader: Clock, delay: int) -> Seen:
    if delay:
        return Seen.DELAYED
    return Seen.FRESH if reader.within(producer) else Seen.HELD


def _keeper(node: Node) -> int | None:
    """Index of the temporal `node` if it keeps less than the whole of its past inputs."""
    return node.index if node.temporal and compresses(node.temporal) else None
