"""Rematerialization: of a segment, only what enters and leaves it is kept for the backward pass.

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

from mpvn.plan.graph import Node, call_context, restored_context

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
        ValueError: a layer reads a variable that is not its own, or changes one that is trained.
    """
    segment = _Segment(run, nodes)
    device = run.plan.device(nodes[0])
    with tf.device(device):
        results = recomputed(segment, *segment.arguments(run.values), device)
    segment.take(results, run.values)


def recomputed(
    function: Callable[[list[tf.Tensor]], Any],
    tensors: list[tf.Tensor],
    weights: list[tf.Tensor],
    device: str | None = None,
) -> Any:
    """`function([*tensors, *weights])`, computed again in the backward pass, not kept for it.

    Args:
        function: pure, reading no variables; returns a structure of tensors.
        tensors: its arguments that must not be had again before the backward pass gets here.
        weights: its arguments that are there all the time.
        device: where it is computed again, and its gradients; None for TensorFlow's choice.
    """

    @tf.custom_gradient
    def run(*given):
        # Watched by no tape of the caller's, which in eager execution would keep the whole inside.
        results = function([tf.stop_gradient(tensor) for tensor in given])
        reached = [tensor.dtype.is_floating for tensor in tf.nest.flatten(results)]
        sought = [tensor.dtype.is_floating for tensor in given]

        def gradients_of(upstream):
            upstream = [tf.convert_to_tensor(g) for g in itertools.compress(upstream, reached)]
            delay = _after(upstream)
            # A loop has its weights from a list: outside the tape, or the list is differentiated.
            again = [delay(tensor) for tensor in given[: len(tensors)]]
            again += [tf.identity(weight) for weight in given[len(tensors) :]]
            # What a loop carries, when it is a term of a sum, becomes a temporary variable that the
            # loop's end leaves behind, and the next run fails (TensorFlow's memory optimizer).
            upstream = [delay(gradient) for gradient in upstream]
            sources = [*itertools.compress(again, sought)]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                targets = [*itertools.compress(tf.nest.flatten(function(again)), reached)]
            zero = tf.UnconnectedGradients.ZERO
            gradients = iter(_together(tape.gradient(targets, sources, upstream, zero)))
            return [next(gradients) if floating else None for floating in sought]

        def backward(*upstream):
            with tf.device(device):
                return gradients_of(upstream)

        return results, backward

    # Gradients of conditions take tensors of the branch or of the graph around it, no further out.
    return run(*(tf.identity(tensor) for tensor in (*tensors, *weights)))


def _after(upstream: list[tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function that gives back its tensor, but not before all of `upstream` is there.

    Graph optimizers and XLA merge equal operations, and so would merge the second run with the
    first. Control dependencies do not keep XLA from it. A factor of one that hangs on `upstream`
    does, if it takes more than they know to see that it is one: no value is infinite and no number.
    """
    first = [tf.cast(tf.reshape(gradient, [-1])[:1], tf.float32) for gradient in upstream]
    values = tf.concat(first, axis=0)
    always = tf.reduce_all(~(tf.math.is_nan(values) & tf.math.is_inf(values)))

    def delay(tensor: tf.Tensor) -> tf.Tensor:
        if tensor.dtype == tf.bool:
            return tensor & always
        return tensor * tf.cast(always, tensor.dtype)

    return delay


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
        variables = {id(v): v for node in nodes for v in node.variables}.values()
        # Integers are states of random numbers: drawn early from those, masks would be kept.
        self._seeds = [v for v in variables if not tf.as_dtype(v.dtype).is_floating]
        self._weights = [v for v in variables if tf.as_dtype(v.dtype).is_floating]
        self._empty = _with_values(run, {})
        self._around = call_context()
        self._scope = _Scope(())

    def arguments(self, values: dict[Place, tf.Tensor]) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """The arguments at this time: what enters, and the weights."""
        with restored_context({}):  # by no dtype that variables are cast to
            seeds, weights = (
                [tf.convert_to_tensor(variable.value) for variable in variables]
                for variables in (self._seeds, self._weights)
            )
        return [*(values[place] for place in self._entering), *seeds], weights

    def __call__(self, arguments: list[tf.Tensor]) -> tuple[list, list, list]:
        entered = len(self._entering)
        run = _with_values(self._empty, dict(zip(self._entering, arguments[:entered], strict=True)))
        variables = [*self._seeds, *self._weights]
        with restored_context({}):
            scope = _Scope(zip(variables, arguments[entered:], strict=True))
        with restored_context(self._around), scope:
            for node in self._nodes:
                scope.layer = node.operation
                run.node(node)
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


class _Scope(keras.StatelessScope):
    """Holds values of variables, and collects what `layer` does to them and the losses it adds.

    As with variables that are assigned to, no gradient leads back through what one has become.
    """

    def __init__(self, values: Iterable[tuple[keras.Variable, tf.Tensor]]) -> None:
        super().__init__(values, collect_losses=True)
        self.layer: Any = None
        self.changed: dict[int, keras.Variable] = {}
        self.added: list[tuple[Any, tf.Tensor]] = []

    def get_current_value(self, variable: keras.Variable) -> tf.Tensor:
        if id(variable) not in self.state_mapping:
            raise self._refusal(variable, "reads", "is not its own")
        return super().get_current_value(variable)

    def add_update(self, update: tuple[keras.Variable, tf.Tensor]) -> None:
        variable, value = update
        if id(variable) not in self.state_mapping:
            raise self._refusal(variable, "changes", "is not its own")
        if variable.trainable:
            raise self._refusal(variable, "changes", "is trained")
        self.changed[id(variable)] = variable
        super().add_update((variable, tf.stop_gradient(value)))

    def add_loss(self, loss: tf.Tensor) -> None:
        self.added.append((self.layer, loss))

    def _refusal(self, variable: keras.Variable, does: str, why: str) -> ValueError:
        return ValueError(
            f"the layer {self.layer.name!r} {does} the variable {variable.path!r}, which {why}, "
            "and cannot be computed a second time. Layers that draw random numbers need a "
            "keras.random.SeedGenerator of their own. Or set network.rematerialize = False"
        )


def _with_values(run: Run, values: dict[Place, tf.Tensor]) -> Run:
    run = copy.copy(run)
    run.values = values
    return run
