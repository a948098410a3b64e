"""Rematerialisation: of a segment, only what enters and leaves it is kept for the backward pass.

    forward    -> [ segment 0 ] -> [ segment 1 ] -> [ segment 2 ] -> loss
    backward   <- [  0 again  ] <- [  1 again  ] <- [  2 again  ] <-      one after the other

Every inside is computed twice and held once, one at a time (Chen et al., *Training Deep Nets with
Sublinear Memory Cost*, 2016). A segment is consecutive nodes of one subnetwork, run as a pure
function: tensors and the values of variables enter; tensors, new values of variables, and losses
leave. So a second run changes nothing: batch norm has counted the frames once, and dropout drops
what it dropped.

What it does not do well: it knows the state that Keras knows. What a layer draws from `tf.random`
is drawn anew, and what it assigns to a `tf.Variable` is assigned twice.
"""

import copy
import itertools
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import keras
import tensorflow as tf

from mpvn.graph import Node, surrounded, surroundings

if TYPE_CHECKING:
    from mpvn.plan import Plan

Place = tuple[str, Hashable]
"""Where a run has a value: what kind of value it is, and which of that kind."""


class Run(Protocol):
    """What an executor knows while it computes the nodes of a plan."""

    plan: "Plan"
    values: dict[Place, tf.Tensor]

    def node(self, node: Node) -> None:
        """Computes `node` from `values`, into `values`."""

    def entering(self, nodes: list[Node]) -> list[Place]:
        """What `nodes`, computed in a row, need of the values before them."""

    def leaving(self, nodes: list[Node]) -> list[Place]:
        """What others need of the values that `nodes` make."""


def run_segment(run: Run, nodes: list[Node]) -> None:
    """Does what `run.node` does with each of `nodes`, consecutive ones of one subnetwork.

    Raises:
        ValueError: a layer changes a variable that it trains, or one that is not its own.
    """
    segment = _Segment(run, nodes)
    with tf.device(run.plan.device(nodes[0])):
        results = recomputed(segment, *segment.arguments(run.values))
    segment.take(results, run.values)


def recomputed(
    function: Callable[[list[tf.Tensor]], Any], tensors: list[tf.Tensor], weights: list[tf.Tensor]
) -> Any:
    """`function([*tensors, *weights])`, computed again in the backward pass, not kept for it.

    Args:
        function: pure, but for trainable variables that it reads; returns a structure of tensors.
        tensors: its arguments that must not be had again before the backward pass gets here.
        weights: its arguments that are there all the time.
    """

    @tf.custom_gradient
    def run(*given):
        # Watched by no tape of the caller's, which in eager execution would keep the whole inside.
        results = function([tf.stop_gradient(tensor) for tensor in given])
        reached = [tensor.dtype.is_floating for tensor in tf.nest.flatten(results)]
        sought = [tensor.dtype.is_floating for tensor in given]

        def backward(*upstream, variables=()):
            upstream = [tf.convert_to_tensor(g) for g in itertools.compress(upstream, reached)]
            again = _after(upstream, given[: len(tensors)])
            again += [tf.identity(weight) for weight in given[len(tensors) :]]
            sources = [*itertools.compress(again, sought), *variables]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                targets = [*itertools.compress(tf.nest.flatten(function(again)), reached)]
            zero = tf.UnconnectedGradients.ZERO
            gradients = iter(_together(tape.gradient(targets, sources, upstream, zero)))
            of_given = [next(gradients) if floating else None for floating in sought]
            return (of_given, [*gradients]) if variables else of_given

        return results, backward

    return run(*tensors, *weights)


def _after(upstream: list[tf.Tensor], tensors: tuple[tf.Tensor, ...]) -> list[tf.Tensor]:
    """`tensors`, of which nothing can be computed before `upstream` is there.

    Optimisers of graphs merge equal operations, the second run's with the first's. A control
    dependency does not keep XLA from it, and a zero that they see through keeps none of them.
    """
    first = [tf.reshape(gradient, [-1])[:1] for gradient in upstream]
    broken = tf.reduce_any(tf.math.is_nan(tf.concat([tf.cast(f, tf.float32) for f in first], 0)))
    return [
        tensor if tensor.dtype == tf.bool else tensor + tf.cast(broken, tensor.dtype)
        for tensor in tensors
    ]


def _together(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """`gradients`, of which none is there before all are: then the next segment may begin."""
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    with tf.control_dependencies([tf.group(gradients)]):  # as many edges as gradients
        return [tf.identity(gradient) for gradient in gradients]


class _Segment:
    """Nodes of a run as a pure function, from one list of tensors to three.

    Its arguments are the values that enter and those of the layers' variables; its results the
    values that leave, those that variables have taken, and the losses that layers have added.
    """

    def __init__(self, run: Run, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._entering = run.entering(nodes)
        self._leaving = run.leaving(nodes)
        found = [v for node in nodes for v in getattr(node.operation, "variables", ())]
        self._variables = list({id(variable): variable for variable in found}.values())
        self._variables.sort(key=_is_weight)
        self._empty = _with_values(run, {})
        self._around = surroundings()
        self._scope = _Scope(())

    def arguments(self, values: dict[Place, tf.Tensor]) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """The arguments at this time, weights apart.

        The seed of a dropout is none of them: what is drawn from it is to be drawn again.
        """
        with surrounded({}):  # by no dtype that variables are cast to
            held = [tf.convert_to_tensor(variable.value) for variable in self._variables]
        seeds = sum(not _is_weight(variable) for variable in self._variables)
        return [*(values[place] for place in self._entering), *held[:seeds]], held[seeds:]

    def __call__(self, arguments: list[tf.Tensor]) -> tuple[list, list, list]:
        entered = len(self._entering)
        run = _with_values(self._empty, dict(zip(self._entering, arguments[:entered], strict=True)))
        with surrounded({}):
            scope = _Scope(zip(self._variables, arguments[entered:], strict=True))
        with surrounded(self._around), scope:
            for node in self._nodes:
                scope.layer = node.operation
                run.node(node)
        self._check(scope)
        self._scope = scope
        changed = [scope.get_current_value(variable) for variable in scope.changed.values()]
        return [run.values[p] for p in self._leaving], changed, [loss for _, loss in scope.added]

    def take(self, results: tuple[list, list, list], values: dict[Place, tf.Tensor]) -> None:
        """Lets `results` be seen where the nodes, called one by one, would have put them."""
        leaving, changed, losses = results
        values.update(zip(self._leaving, leaving, strict=True))
        for variable, value in zip(self._scope.changed.values(), changed, strict=True):
            variable.assign(value)
        for (layer, _), loss in zip(self._scope.added, losses, strict=True):
            layer.add_loss(loss)

    def _check(self, scope: "_Scope") -> None:
        own = {id(variable) for variable in self._variables if not variable.trainable}
        others = [variable.path for key, variable in scope.changed.items() if key not in own]
        if others:
            raise ValueError(
                f"the layers from {self._nodes[0].name!r} to {self._nodes[-1].name!r} cannot be "
                f"computed a second time, for they change {', '.join(others)}: variables that are "
                "trained, or that belong to none of these layers. A layer that draws random "
                "numbers needs its own keras.random.SeedGenerator. Or set "
                "network.rematerialise = False"
            )


class _Scope(keras.StatelessScope):
    """Collects what layers do to variables, and the losses that they add.

    As with variables that are assigned to, no gradient leads back through what one has become.
    """

    def __init__(self, values: Iterable[tuple[keras.Variable, tf.Tensor]]) -> None:
        super().__init__(values, collect_losses=True)
        self.layer: Any = None
        self.changed: dict[int, keras.Variable] = {}
        self.added: list[tuple[Any, tf.Tensor]] = []

    def add_update(self, update: tuple[keras.Variable, tf.Tensor]) -> None:
        variable, value = update
        self.changed[id(variable)] = variable
        super().add_update((variable, tf.stop_gradient(value)))

    def add_loss(self, loss: tf.Tensor) -> None:
        self.added.append((self.layer, loss))


def _is_weight(variable: keras.Variable) -> bool:
    return tf.as_dtype(variable.dtype).is_floating


def _with_values(run: Run, values: dict[Place, tf.Tensor]) -> Run:
    run = copy.copy(run)
    run.values = values
    return run
