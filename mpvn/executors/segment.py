"""Segments: nodes of one subnetwork, run as a pure function and computed twice.

    nodes      stem.conv stem.pool | b1.conv b1.norm b1.relu | b2.conv b2.norm b2.relu
    kept                 what crosses a bar                   and the weights

The more segments there are, the less is computed again at a time, and the more is kept. Units are
a good size: the papers' own blocks (*Skip-Sideways*, CVPR 2021, supplement, section 4). Of a model
without units, sqrt(n) segments of n nodes keep and compute about the same (Chen et al., 2016).

    in     values that enter the segment, values of its layers' variables
    out    values that leave it, new values of variables, losses that layers added

Because the function is pure, computing it again in the backward pass changes nothing: batch norm
has counted a frame once, and dropout drops the same values.
"""

import math

import tensorflow as tf

from keras_layers.pure_call import PureScope, call_context, read_variables, restored_context
from mpvn.executors.remat import recomputed
from mpvn.executors.run import Place, Run
from mpvn.graph.data import Node
from mpvn.plan import Plan
from mpvn.plan.partition import equal_starts
from mpvn.plan.units import units

Tensors = list[tf.Tensor]


def segments(plan: Plan) -> list[list[Node]]:
    """Return the nodes in plan order, cut where units begin and where the subnetwork changes.

    A model without units is cut into about as many runs as each of them has nodes.
    """
    nodes = plan.graph.nodes
    starts = units(plan.nodes).values() or equal_starts(len(nodes), math.isqrt(len(nodes)))
    cut: list[list[Node]] = []
    for node in nodes:
        if node.index in starts or plan.subnetwork(node) != plan.subnetwork(cut[-1][-1]):
            cut.append([])
        cut[-1].append(node)
    return cut


def run_nodes(run: Run, rematerialize: bool) -> None:
    """Compute all nodes in plan order.

    Args:
        run: a frame or a clip.
        rematerialize: whether to compute segments again in the backward pass instead of keeping
            their activations.
    """
    if rematerialize:
        for nodes in segments(run.plan):
            run_segment(run, nodes)
    else:
        for node in run.plan.graph.nodes:
            run.compute(node)


def run_segment(run: Run, nodes: list[Node]) -> None:
    """Compute `nodes` as `run.compute` does, but keep only their inputs for the backward pass.

    Args:
        run: the run that the nodes belong to.
        nodes: nodes of one subnetwork in plan order. What they read from others is computed.

    Raises:
        ValueError: a layer uses a variable that is not its own, or assigns a trainable one.
    """
    segment = _Segment(run, nodes)
    device = run.plan.device(nodes[0])
    with tf.device(device):
        results = recomputed(segment, *segment.arguments(run.values), device)
    segment.apply(results, run.values)


class _Segment:
    """Nodes of a run as a pure function of a list of tensors."""

    def __init__(self, run: Run, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._entering = run.entering(nodes)
        self._leaving = run.leaving(nodes)
        variables = {id(v): v for node in nodes for v in node.variables}.values()
        # Integer variables are random seeds. They are delayed like values that enter; otherwise
        # dropout masks would be drawn early and kept.
        self._seeds = [v for v in variables if not tf.as_dtype(v.dtype).is_floating]
        self._weights = [v for v in variables if tf.as_dtype(v.dtype).is_floating]
        self._empty = run.with_values({})
        self._context = call_context()
        self._scope = PureScope()

    def arguments(self, values: dict[Place, tf.Tensor]) -> tuple[Tensors, Tensors]:
        """Return the arguments: entering values with random seeds, and weights."""
        entering = [values[place] for place in self._entering]
        return [*entering, *read_variables(self._seeds)], read_variables(self._weights)

    def __call__(self, arguments: Tensors) -> tuple[Tensors, Tensors, Tensors]:
        count = len(self._entering)
        run = self._empty.with_values(dict(zip(self._entering, arguments[:count], strict=True)))
        variables = [*self._seeds, *self._weights]
        scope = PureScope(
            variables, arguments[count:], remedy="Or set network.rematerialize = False."
        )
        with restored_context(self._context), scope:
            for node in self._nodes:
                scope.layer = node.operation
                run.compute(node)
        self._scope = scope
        assigned = [scope.get_current_value(variable) for variable in scope.assigned.values()]
        losses = [loss for _, loss in scope.added_losses]
        return [run.values[place] for place in self._leaving], assigned, losses

    def apply(self, results: tuple[Tensors, Tensors, Tensors], values: dict) -> None:
        """Put values, variables and losses where the nodes, computed directly, put them."""
        leaving, assigned, losses = results
        values.update(zip(self._leaving, leaving, strict=True))
        for variable, value in zip(self._scope.assigned.values(), assigned, strict=True):
            variable.assign(value)
        for (layer, _), loss in zip(self._scope.added_losses, losses, strict=True):
            layer.add_loss(loss)
