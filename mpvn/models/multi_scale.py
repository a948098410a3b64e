"""Features of an image model at all its scales, as one vector.

A classifier alone is a poor video network: with clocks, its output only changes at the rate of its
slowest layers, and nothing reads what faster layers compute in between. If the head reads every
scale, the output follows the fastest features while slow features are held, as in the multi-scale
networks of *Massively Parallel Video Networks* (section 3.1).
"""

import keras

from mpvn.graph.reading import read_graph


def multi_scale(model: keras.Model) -> keras.Model:
    """Build a model that shares the layers of `model` and outputs features of all its scales.

    The last map of each resolution is averaged over space. The averages are concatenated, with
    coarse scales last.

    Args:
        model: A functional Keras model over one frame, without nested models.

    Returns:
        A functional model with output `[B, sum of channels]`, float32.

    Raises:
        ValueError: If the model has no maps.
    """
    graph = read_graph(model)
    last_maps: dict[tuple[int, int], keras.KerasTensor] = {}
    for node in graph.nodes:
        shape = graph.tensors[node.outputs[0]].shape
        if len(shape) == 3 and min(shape[:2]) > 1 and "/" not in node.name:
            last_maps[shape[:2]] = node.symbolic_outputs[0]
    if not last_maps:
        raise ValueError(
            f"{model.name!r} has no maps. Expected nodes with outputs [height, width, channels] "
            "larger than 1x1."
        )
    pooled = [
        keras.layers.GlobalAveragePooling2D(name=f"mean_{height}x{width}")(last_maps[height, width])
        for height, width in sorted(last_maps, reverse=True)
    ]
    features = keras.layers.Concatenate(name="features", dtype="float32")(pooled)
    return keras.Model(model.input, features, name=f"{model.name}_multi_scale")
