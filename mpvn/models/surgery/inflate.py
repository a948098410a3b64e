"""Inflation: a video model from an image model, by convolutions that see several frames.

*Quo Vadis, Action Recognition?* (2017); see `mpvn.models.surgery.kernels` for the weights.
"""

from collections.abc import Sequence

import keras
from keras import layers

from keras_layers import TemporalConv3D
from mpvn.models.surgery.transfer import layers_with_weights, transfer_weights


def inflate(
    model: keras.Model,
    temporal_kernel: int = 3,
    where: Sequence[str] | None = None,
    *,
    temporal_padding: str = "causal",
    inflation: str = "center",
) -> keras.Model:
    """Build a copy of an image model in which some convolutions see several frames.

    Args:
        model: A functional model over one frame. It is not changed.
        temporal_kernel: Number of frames that the inflated convolutions see, at least 1.
        where: Names of the `Conv2D` layers to inflate. Defaults to those with kernels larger than
            1x1.
        temporal_padding: `"causal"`, or `"symmetric"` for whole clips and one subnetwork.
        inflation: `"center"` or `"mean"`; see `mpvn.models.surgery.kernels.INFLATIONS`.

    Returns:
        A model with layers of the same names and with separate weights.

    Raises:
        ValueError: If `where` names layers that cannot be inflated, or no layer can be inflated.
    """
    convolutions = {
        name: layer
        for name, layer in layers_with_weights(model).items()
        if isinstance(layer, layers.Conv2D)
        and layer.groups == 1
        and layer.data_format == "channels_last"
    }
    if where is None:
        chosen = {name for name, layer in convolutions.items() if max(layer.kernel_size) > 1}
    else:
        chosen = set(where)
    invalid = sorted(chosen - set(convolutions))
    if invalid or not chosen:
        raise ValueError(
            f"Cannot inflate {model.name!r}. Expected names of ungrouped, channels-last Conv2D "
            f"layers such as {', '.join(list(convolutions)[:3]) or '(it has none)'}. "
            f"Received: {', '.join(invalid) or 'none'}"
        )
    ids = {id(convolutions[name]) for name in chosen}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if id(layer) in ids:
            return _temporal(layer, temporal_kernel, temporal_padding)
        return layer.__class__.from_config(layer.get_config())

    inflated = keras.models.clone_model(model, clone_function=clone, recursive=True)
    transfer_weights(model, inflated, inflation=inflation)
    return inflated


def _temporal(layer: layers.Conv2D, frames: int, temporal_padding: str) -> TemporalConv3D:
    """Return a temporal convolution with the options of `layer`, over `frames` frames."""
    config = layer.get_config()
    for name in ("data_format", "groups"):
        del config[name]
    config["kernel_size"] = (frames, *config["kernel_size"])
    config["strides"] = (1, *config["strides"])
    return TemporalConv3D.from_config({**config, "temporal_padding": temporal_padding})
