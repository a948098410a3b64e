"""I3D on ResNet-50: the 3D convolutions that the *Temporal Shift Module* is compared with.

Three ways to make a ResNet-50 see time, all without temporal strides:

- `"3x3x3"`: every 3x3 convolution reads three frames.
- `"3x1x1"`: the first 1x1 convolution of every other block reads three frames (*Non-local Neural
  Networks*, section 4.2).
- `"replace"`: the first 1x1 convolution of every block does. It takes the place of the temporal
  shift.

`layout` chooses between two ResNet-50s; see `mpvn.models.resnet`. ImageNet weights of
`keras.applications` fit layout `"keras"` only.
"""

import os

import keras

from mpvn.models.applications import load_application
from mpvn.models.heads import action_head
from mpvn.models.norms import check_norm_of_weights
from mpvn.models.parts import check_frame, scale_channels
from mpvn.models.resnet import LAYOUTS, blocks, bottleneck, stem
from mpvn.models.surgery.transfer import transfer_weights

VARIANTS = ("3x3x3", "3x1x1", "replace")


def i3d_resnet50(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    variant: str = "3x3x3",
    classes: int = 400,
    temporal_padding: str = "symmetric",
    layout: str | None = None,
    weights: str | os.PathLike | None = None,
    dropout: float = 0.0,
    norm: str = "batch",
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """Build a frame model of 16 bottleneck blocks, some or all of which read three frames.

    Args:
        input_shape: Height, width and channels of the frames.
        variant: `"3x3x3"`, `"3x1x1"` or `"replace"`, as above.
        classes: Number of classes.
        temporal_padding: `"symmetric"`, for whole clips and one subnetwork, as in the comparison;
            or `"causal"`, which can stream.
        layout: `"torch"` or `"keras"`; default: `"keras"` with weights, `"torch"` without.
        weights: `"imagenet"` (downloaded by Keras), or a weights file of
            `keras.applications.ResNet50`: with its classifier if there are 1000 classes, without
            otherwise. They are inflated so that a frame's output equals the image network's.
        dropout: Rate of the dropout before the classifier.
        norm: `"batch"`, or `"group"` without weights.
        width: Factor for all channels but the classes.
        name: Name of the model; default: `"i3d_resnet50_"` and the variant.

    Returns:
        A functional model from a frame `[B, H, W, C]` to logits `[B, classes]`, float32.

    Raises:
        ValueError: If `variant` or `layout` is unknown, or the weights do not fit.
    """
    name = name or f"i3d_resnet50_{variant}"
    layout = layout or ("torch" if weights is None else "keras")
    _check_options(name, variant, layout, weights, width)
    check_norm_of_weights(name, norm, "batch", weights)
    check_frame(input_shape, 1, name)
    frame = keras.Input(input_shape, name="frame")
    x = stem(frame, scale_channels(64, width), layout, norm)
    for number, block in enumerate(blocks(50)):
        x = bottleneck(
            x,
            x,
            block,
            (scale_channels(block.channels, width), scale_channels(4 * block.channels, width)),
            temporal_kernels=_temporal_kernels(variant, number),
            temporal_padding=temporal_padding,
            layout=layout,
            norm=norm,
        )
    model = keras.Model(frame, action_head(x, classes, dropout), name=name)
    if weights is not None:
        source = load_application("ResNet50", weights, include_top=classes == 1000)
        transfer_weights(source, model, names=_application_name)
    return model


def _check_options(
    name: str, variant: str, layout: str, weights: str | os.PathLike | None, width: float
) -> None:
    if variant not in VARIANTS or layout not in LAYOUTS:
        raise ValueError(
            f"{name}: expected variant to be one of {', '.join(VARIANTS)}, and layout one of "
            f"{', '.join(LAYOUTS)}. Received: variant={variant!r}, layout={layout!r}"
        )
    if weights is not None and (layout != "keras" or width != 1.0):
        raise ValueError(
            f"{name}: weights of keras.applications need layout='keras' and width=1.0. "
            f"Received: layout={layout!r}, width={width}"
        )


def _temporal_kernels(variant: str, number: int) -> tuple[int, int]:
    """Frames that the first 1x1 and the 3x3 convolution read in block `number`, from 0 to 15."""
    if variant == "3x3x3":
        return 1, 3
    return (3 if variant == "replace" or number % 2 == 0 else 1), 1


def _application_name(layer: str) -> str:
    """The name that a layer has in `keras.applications.ResNet50`."""
    if layer == "head.logits":
        return "predictions"
    return layer.replace("stem.", "conv1_").replace(".", "_")
