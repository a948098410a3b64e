"""One frame through a frame model, as Keras computes it: without delays, clocks and memory."""

import tensorflow as tf

from mpvn.executors.placed import on_device
from mpvn.executors.run import Place, Run, now
from mpvn.executors.segment import run_nodes
from mpvn.graph.data import Node
from mpvn.plan import Plan


class FrameRun(Run):
    """The tensors `[B, ...]` of one frame while it is being computed.

    A temporal layer sees the frame at all ticks of its window. A feedback node has no past and is
    zero, and a recurrent layer starts from an empty memory.

    Args:
        plan: which nodes there are, and where they run.
        frame: `[B, ...]` for each input of the frame model.
        training: as in Keras.
    """

    def __init__(self, plan: Plan, frame: list[tf.Tensor], training: bool | None) -> None:
        super().__init__(plan, training)
        for tensor, value in zip(plan.graph.inputs, frame, strict=True):
            self.put(tensor, value)

    def run(self, rematerialize: bool = False) -> None:
        """Run all nodes.

        Args:
            rematerialize: whether to compute segments again in the backward pass instead of keeping
                their activations.
        """
        run_nodes(self, rematerialize)

    def compute(self, node: Node) -> None:
        with on_device(self.plan, node):
            for tensor, value in zip(node.outputs, self._call(node), strict=True):
                self.put(tensor, value)

    def put(self, tensor: int, value: tf.Tensor) -> None:
        """Store `value` `[B, ...]` of `tensor`."""
        self.values[now(tensor)] = value

    def reads(self, node: Node | None) -> list[Place]:
        return [*map(now, self.plan.graph.outputs if node is None else node.inputs)]

    def fills(self, node: Node) -> list[Place]:
        return [*map(now, node.outputs)]

    def _call(self, node: Node) -> list[tf.Tensor]:
        inputs = [self.values[now(tensor)] for tensor in node.inputs]
        if not node.temporal:
            return node.call(inputs, self.training)
        (frame,) = inputs
        layer = node.temporal
        past = [layer.remember(frame)] * layer.lookback
        future = [layer.anticipate(frame)] * layer.lookahead
        return [node.operation([*past, frame, *future])]
