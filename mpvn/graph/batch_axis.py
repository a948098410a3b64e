"""Finds the tensors of a frame model that do not hold one row per stream.

Executors fold time into the batch, gather the streams that tick, and batch streams that know
nothing of each other. So row r of every tensor that they see must depend on row r of the frames
alone. Shapes do not tell: `flip(x, axis=0)` has the shape of `x`. So each node that is not known to
compute each sample by itself (`mpvn.graph.by_sample`) is tried out on small random batches
(`mpvn.graph.probe`), at inference: what a layer does to the batch in training is its own matter.

A tensor is *inner* if its rows are no streams. Nodes that read it are tried out on its values,
computed from random streams, until a tensor has one row per stream again.

What this does not do well: it believes what it sees on a few random numbers. Nodes that compute
random numbers, or cannot compute with random ones, are judged by the shapes of their outputs.
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_layers.pure_call import restored_context
from mpvn.graph.by_sample import by_sample
from mpvn.graph.data import Graph, Node, Tensor
from mpvn.graph.memory import TrialScope, remembering_variables
from mpvn.graph.probe import Batches, Probe, close

_STREAMS = 2

_KNOWN_BY_CONFIG = ("keras.src.ops.", "keras.src.applications.")
"""Modules of operations whose configs say all that they do."""


@dataclasses.dataclass(frozen=True)
class BatchAxis:
    """What the nodes of a graph do to the batch axis.

    Attributes:
        batch_size: the only batch size that the model takes; None if it takes any.
        inner: the tensors whose rows are no streams.
        mixed: those with elements that depend on several streams.
        streams: number of streams for which `shapes` are given.
        shapes: shapes of the tensors that were computed, with axis 0, by index.
        remembering: for nodes that remember earlier calls, the paths of the variables in which they
            do so, by the name of the node.
    """

    batch_size: int | None
    inner: frozenset[int]
    mixed: frozenset[int]
    streams: int
    shapes: dict[int, tuple[int, ...]]
    remembering: dict[str, list[str]]

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        """Return the shape of `tensor` for a batch of `streams`, with axis 0."""
        return self.shapes.get(tensor.index, (self.streams, *tensor.shape))

    def sized(self, tensor: Tensor) -> Tensor:
        """Return `tensor` with the sizes that were seen; Keras may declare none, or others."""
        return dataclasses.replace(tensor, shape=self.shape(tensor)[1:])


def find_batch_axis(graph: Graph) -> BatchAxis:
    """Return what the nodes of `graph` do to the batch axis.

    Raises:
        ValueError: the inputs of the model have several fixed batch sizes.
    """
    inputs = keras.tree.flatten(graph.input_structure)
    sizes = {tensor.shape[0] for tensor in inputs} - {None}
    if len(sizes) > 1:
        raise ValueError(
            "Expected a frame model whose inputs have one batch size. "
            f"Received: {graph.model.name!r}, with the batch sizes {sorted(sizes)}."
        )
    probe = Probe(sizes.pop(), fixed=True) if sizes else Probe(_STREAMS)
    with tf.init_scope(), restored_context({}):  # eager, as if outside of any layer
        return _Search(graph, probe).run()


class _Unfit(Exception):
    """A node cannot compute with batches of this size."""


class _Search:
    """Goes through the nodes of a graph once.

    Args:
        graph: the graph.
        probe: the sizes of the batches.
        required: a node that must be able to compute with them.
    """

    def __init__(self, graph: Graph, probe: Probe, required: Node | None = None) -> None:
        self._graph = graph
        self._probe = probe
        self._required = required
        self._random = np.random.default_rng(0)
        self._inner: dict[int, Batches] = {}
        self._mixed: set[int] = set()
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._separate: set[tuple] = set()  # calls that keep streams apart
        self._remembering: dict[str, list[str]] = {}

    def run(self) -> BatchAxis:
        """Return what the nodes do to the batch axis.

        Raises:
            _Unfit: the required node cannot compute.
        """
        for node in self._graph.nodes:
            if self._is_known(node):
                continue
            values = self._values(node)
            if values is None:
                if node is self._required:
                    raise _Unfit
                for size in self._sizes_to_try(node):
                    with contextlib.suppress(_Unfit):
                        return _Search(self._graph, Probe(size, fixed=True), node).run()
            else:
                self._judge(node, values)
        streams = self._probe.streams
        return BatchAxis(
            batch_size=streams if self._probe.fixed else None,
            inner=frozenset(self._inner),
            mixed=frozenset(self._mixed),
            streams=streams,
            shapes=self._shapes,
            remembering=self._remembering,
        )

    def _is_known(self, node: Node) -> bool:
        """Return whether `node` need not be tried out."""
        if not self._inner.keys().isdisjoint(node.inputs):
            return False
        if any(None in self._shape(tensor) for tensor in node.inputs):
            return True  # refused later
        if not all(map(self._is_declared, (*node.inputs, *node.outputs))):
            return False
        return by_sample(self._graph, node) or self._key(node) in self._separate

    def _key(self, node: Node) -> tuple:
        """Return what calls that do the same have in common, so that one is tried out for all."""
        operation, described = node.operation, None
        if type(operation).__module__.startswith(_KNOWN_BY_CONFIG):
            config = {**operation.get_config(), "name": None}
            with contextlib.suppress(TypeError):  # the config contains arrays
                described = type(operation), json.dumps(config)
        shapes = tuple((self._shape(t), self._graph.tensors[t].dtype) for t in node.inputs)
        plain = (int, float, str, type(None), slice)
        return (
            described or id(operation),
            shapes,
            *(repr(x) if isinstance(x, plain) else id(x) for x in node.constants),
        )

    def _shape(self, tensor: int) -> tuple[int, ...]:
        """Return the shape of one row of a tensor."""
        if tensor in self._shapes:
            return self._shapes[tensor][1:]
        return self._graph.tensors[tensor].shape

    def _is_declared(self, tensor: int) -> bool:
        """Return whether the shape of a tensor is, as far as seen, the one that Keras declares."""
        declared = self._graph.tensors[tensor].shape
        return None not in declared and self._shape(tensor) == declared

    def _sizes_to_try(self, node: Node) -> list[int]:
        """Return the batch sizes at which a node may work that does not work at another one."""
        if self._probe.fixed:
            return []
        sizes = {tensor.shape[0] for tensor in node.symbolic_outputs if tensor.shape}
        return sorted({1, *sizes} - {None})

    # --- values -----------------------------------------------------------------------------

    def _values(self, node: Node) -> list[Batches] | None:
        """Return the outputs of `node`; zeros if only their shapes are known, None if nothing."""
        weights = _telling_weights(node, self._random)
        try:
            outputs = self._computed(node, self._inputs(node), weights)
            streams = self._inner.keys().isdisjoint(node.inputs)
            if streams and not all(map(_finite, outputs)):
                outputs = self._computed(node, self._inputs(node, positive=True), weights)
            return outputs
        except Exception:  # any error of a user's layer
            with contextlib.suppress(Exception):
                return self._traced(node)
        return None

    def _inputs(self, node: Node, positive: bool = False) -> list[Batches]:
        """Return values of the inputs of `node`, random ones for streams."""
        values = dict(self._inner)
        for tensor in node.inputs:
            if tensor not in values:
                dtype = self._graph.tensors[tensor].dtype
                values[tensor] = self._probe.draw(
                    self._random, self._shape(tensor), dtype, positive
                )
        return [values[tensor] for tensor in node.inputs]

    def _computed(self, node: Node, inputs: list[Batches], weights: list) -> list[Batches]:
        """Return the outputs of `node`, zeros for random ones."""
        dtypes = [self._graph.tensors[tensor].dtype for tensor in node.inputs]
        batches = [
            [tf.constant(value, dtype) for value, dtype in zip(values, dtypes, strict=True)]
            for values in zip(*inputs, strict=True)
        ]
        scopes = [TrialScope(weights) for _ in batches]
        results = [
            _call(node, values, scope) for values, scope in zip(batches, scopes, strict=True)
        ]
        outputs = [list(values) for values in zip(*results, strict=True)]
        call = functools.partial(_call, node, batches[0])
        remembering = remembering_variables(call, weights, scopes[0], results[0])
        if remembering:
            self._remembering[node.name] = remembering
        if not all(map(self._probe.separates, outputs)):
            again = _call(node, batches[0], scopes[0])  # in the same scope, random seeds go on
            if not all(np.all(close(a, b)) for a, b in zip(again, results[0], strict=True)):
                return [[np.zeros_like(value) for value in values] for values in outputs]
        return outputs

    def _traced(self, node: Node) -> list[Batches]:
        """Return zeros in the shapes of the outputs of `node`."""
        batches = []
        for number, size in enumerate(self._probe.sizes):
            specs = [
                tf.TensorSpec(
                    self._inner[tensor][number].shape
                    if tensor in self._inner
                    else (size, *self._shape(tensor)),
                    self._graph.tensors[tensor].dtype,
                )
                for tensor in node.inputs
            ]
            function = tf.function(lambda *values: node.call(list(values), False), autograph=False)
            with keras.StatelessScope():
                outputs = function.get_concrete_function(*specs).structured_outputs
            batches.append([_zeros(output, size) for output in outputs])
        return [list(values) for values in zip(*batches, strict=True)]

    def _judge(self, node: Node, outputs: list[Batches]) -> None:
        """Note which outputs of `node` hold one row per stream."""
        for tensor, values in zip(node.outputs, outputs, strict=True):
            self._shapes[tensor] = values[0].shape
            if not self._probe.separates(values):
                self._inner[tensor] = values
                if self._probe.mixes(values):
                    self._mixed.add(tensor)
        if self._inner.keys().isdisjoint((*node.inputs, *node.outputs)) and all(
            map(self._is_declared, node.outputs)
        ):
            self._separate.add(self._key(node))


def _telling_weights(
    node: Node, random: np.random.Generator
) -> list[tuple[keras.Variable, np.ndarray]]:
    """Return random values for weights that are all equal.

    A gate that begins at zero would hide what it multiplies.
    """
    values = []
    for variable in node.variables:
        if "float" in keras.backend.standardize_dtype(variable.dtype):
            value = keras.ops.convert_to_numpy(variable.value)
            if value.size and value.flat[0] == value.flat[-1] and np.all(value == value.flat[0]):
                values.append((variable, value + random.uniform(0.1, 1, value.shape)))
    return values


def _call(node: Node, values: list, scope: TrialScope) -> list[np.ndarray]:
    with scope:
        return [np.asarray(value) for value in node.call(values, training=False)]


def _finite(batches: Sequence[np.ndarray]) -> bool:
    return all(
        bool(np.all(np.isfinite(np.asarray(value, np.float32))))
        for value in batches
        if value.dtype.kind in "fV"
    )


def _zeros(output: tf.Tensor, size: int) -> np.ndarray:
    """Return zeros in the shape of `output`, whose axis 0 is the batch if it is unknown."""
    shape = output.shape.as_list()
    shape = [size if n is None and axis == 0 else n for axis, n in enumerate(shape)]
    return np.zeros(shape, output.dtype.as_numpy_dtype)
