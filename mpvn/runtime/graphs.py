"""Functions without variables, as graphs: imported, lowered to bfloat16, and hashed.

This file uses TensorFlow internals: Grappler, TensorFlow's optimizer of graphs, has no public door.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
from tensorflow.python.grappler import tf_optimizer

from mpvn.runtime.cache import content_key


def import_function(
    definition: Any, inputs: Mapping[str, tf.TensorSpec], removed: Sequence[str], outputs: list[str]
) -> Any:
    """Return a graph as a new concrete function.

    Grappler folds batch norm into convolutions in such a function, but not in one that
    `convert_variables_to_constants_v2` returned.

    Args:
        definition: a `GraphDef`, which is changed.
        inputs: the names and specs of the inputs that operations read.
        removed: the names of all inputs.
        outputs: the names of the tensors to return.
    """
    nodes = [node for node in definition.node if node.name not in removed]
    del definition.node[:]
    definition.node.extend(nodes)

    def run(*tensors: tf.Tensor) -> list[tf.Tensor]:
        given = dict(zip(inputs, tensors, strict=True))
        return tf.graph_util.import_graph_def(definition, given, outputs, name="unit")

    signature = [*inputs.values()]
    return tf.function(run, autograph=False, input_signature=signature).get_concrete_function()


def place_constants(definition: Any) -> None:
    """Put the constants of a graph on the device of what reads them, in place.

    Weights that become constants lose their device, and would travel at every step.
    """
    readers: dict[str, Any] = {}
    for node in definition.node:
        for name in node.input:  # of what it only waits for, the name begins with "^"
            readers.setdefault(name.partition(":")[0], node)
    for node in definition.node:
        reader = node
        while not reader.device and reader.op in ("Const", "Identity") and reader.name in readers:
            reader = readers[reader.name]
        node.device = node.device or (reader.device if node.op in ("Const", "Identity") else "")


def in_bfloat16(function: Any) -> Any:
    """Return a function that convolves and multiplies matrices in bfloat16 where Grappler can.

    Its inputs and outputs are those of `function`, in their dtypes.
    """
    graph = function.graph
    meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    ends = meta_graph_pb2.CollectionDef()
    ends.node_list.value.extend(x.name for x in (*function.inputs, *function.outputs))
    meta_graph.collection_def["train_op"].CopyFrom(ends)  # what Grappler must keep
    config = config_pb2.ConfigProto()
    options = config.graph_options.rewrite_options
    options.auto_mixed_precision_onednn_bfloat16 = rewriter_config_pb2.RewriterConfig.ON
    options.optimizers.append("auto_mixed_precision_onednn_bfloat16")
    options.min_graph_nodes = -1
    definition = tf_optimizer.OptimizeGraph(config, meta_graph)
    inputs = {x.op.name: tf.TensorSpec(x.shape, x.dtype) for x in function.inputs}
    return import_function(definition, inputs, [*inputs], [x.name for x in function.outputs])


@functools.cache
def computes_in_bfloat16() -> bool:
    """Return whether Grappler uses bfloat16 on this machine."""
    kernel = tf.ones((3, 3, 8, 8))
    convolve = tf.function(lambda x: [tf.nn.conv2d(x, kernel, 1, "SAME")], autograph=False)
    lowered = in_bfloat16(convolve.get_concrete_function(tf.TensorSpec((1, 8, 8, 8), tf.float32)))
    operations = lowered.graph.get_operations()
    return any(tensor.dtype == tf.bfloat16 for op in operations for tensor in op.outputs)


def fingerprint(function: Any) -> str:
    """Return a hash of what a function computes: of operations and constants, not their names."""
    digests = {tensor.op: f"input {i}" for i, tensor in enumerate(function.inputs)}
    for operation in function.graph.get_operations():  # inputs come before their readers
        if operation not in digests:
            attributes = operation.node_def.attr
            own = (name for name in sorted(attributes) if not name.startswith("_"))
            parts = [part for name in own for part in (name, _bytes(attributes[name]))]
            reads = (f"{digests[x.op]}:{x.value_index}" for x in operation.inputs)
            digests[operation] = content_key([operation.type, *parts, *reads])
    results = (f"{digests[x.op]}:{x.value_index}" for x in function.outputs)
    return content_key([*results, _bytes(function.graph.as_graph_def().library)])


def _bytes(message: Any) -> bytes:
    return message.SerializeToString(deterministic=True)
