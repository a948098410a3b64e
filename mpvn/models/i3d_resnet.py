"""I3D on ResNet-50: the 3D convolutions that the *Temporal Shift Module* is compared with.

Three ways of giving a ResNet-50 a sense of time, all without temporal strides:

- `"3x3x3"`: every 3x3 convolution sees three frames.
- `"3x1x1"`: the first 1x1 convolution of every other block sees three frames (as in *Non-local
  Neural Networks*, section 4.2).
- `"replace"`: the first 1x1 convolution of every block does, where the temporal shift module would
  stand.

Which of the two ResNet-50s it is, `layout` says: see `mpvn.models.resnet`. ImageNet weights of
`keras.applications` fit only its own.
"""

import os

import keras

from mpvn.models.applications import load_application
from mpvn.models.heads import action_head
from mpvn.models.parts import check_frame, scaled
from mpvn.models.resnet import BLOCKS, LAYOUTS, bottleneck, stem
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
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """A frame model of 16 bottleneck blocks, of which some see three frames.

    Args:
        input_shape: height, width and channels of the frames.
        variant: `"3x3x3"`, `"3x1x1"` or `"replace"`, as above.
        classes: number of classes.
        temporal_padding: `"symmetric"`, as in the comparison, for whole clips and one subnetwork;
            or `"causal"`, which can stream.
        layout: `"torch"` or `"keras"`; default `"keras"` if there are weights, else `"torch"`.
        weights: `"imagenet"` (downloaded by Keras), or a weights file of
            `keras.applications.ResNet50`, with its classifier if there are 1000 classes, else
            without; inflated so that each frame gives what the image network gives.
        dropout: before the classifier.
        width: multiplies all channels but the classes.
        name: of the model.

    Returns:
        A functional model from a frame `[B, H, W, C]` to logits `[B, classes]`, float32.

    Raises:
        ValueError: an unknown variant or layout, or weights that do not fit.
    """
    name = name or f"i3d_resnet50_{variant}"
    layout = layout or ("torch" if weights is None else "keras")
    if variant not in VARIANTS or layout not in LAYOUTS:
        raise ValueError(
            f"{name}: variant must be one of {', '.join(VARIANTS)}, and layout one of "
            f"{', '.join(LAYOUTS)}. Received: variant={variant!r}, layout={layout!r}"
        )
    if weights is not None and (layout != "keras" or width != 1.0):
        raise ValueError(
            f"{name}: weights of keras.applications need layout='keras' and width=1.0. "
            f"Received: layout={layout!r}, width={width}"
        )
    check_frame(input_shape, 1, name)
    frame = keras.Input(input_shape, name="frame")
    x = stem(frame, scaled(64, width), layout)
    number = 0
    for stage, count in enumerate(BLOCKS[50], 2):
        channels = 64 * 2 ** (stage - 2)
        for block in range(count):
            x = bottleneck(
                x,
                x,
                f"conv{stage}_block{block + 1}",
                (scaled(channels, width), scaled(4 * channels, width)),
                2 if block == 0 and stage > 2 else 1,
                first=block == 0,
                temporal_kernels=_temporal_kernels(variant, number),
                temporal_padding=temporal_padding,
                layout=layout,
            )
            number += 1
    model = keras.Model(frame, action_head(x, classes, dropout), name=name)
    if weights is not None:
        source = load_application("ResNet50", weights, include_top=classes == 1000)
        transfer_weights(source, model, names=_application_name)
    return model


def _temporal_kernels(variant: str, number: int) -> tuple[int, int]:
    """Frames that the first 1x1 and the 3x3 convolution see of block `number`, counted from 0 over
    all stages."""
    if variant == "3x3x3":
        return 1, 3
    return (3 if variant == "replace" or number % 2 == 0 else 1), 1


def _application_name(name: str) -> str:
    """Name in `keras.applications.ResNet50` of the layer that is called `name` here."""
    if name == "head.logits":
        return "predictions"
    return name.replace("stem.", "conv1_").replace(".", "_")
