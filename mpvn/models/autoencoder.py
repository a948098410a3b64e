"""The auto-encoder of *Sideways* (section 4.2): the convolutions of Simple-CNN, and their mirror.

It has six modules, and each is a unit: five convolutions, and a decoder. The decoder's five
deconvolutions are one module, which is trained inside by exact gradients.
"""

import keras
from keras import layers

from mpvn.models.parts import check_frame, norm_relu, scale_channels
from mpvn.models.simple_cnn import FILTERS, STRIDES, convolutions

REDUCTION = 8
"""Size of the frame divided by the size of the encoder's last map."""


def autoencoder(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    norm: str | None = None,
    width: float = 1.0,
    name: str = "autoencoder",
) -> keras.Model:
    """Build a frame model of 6 units.

    Args:
        input_shape: Height and width of the frames, multiples of 8, and their channels.
        norm: Normalization of the convolutions: `"batch"`, `"group"`, or None.
        width: Factor for all channels but the frames'.
        name: Name of the model.

    Returns:
        A functional model from a frame `[B, H, W, C]` to a frame of the same shape, float32,
        unbounded.

    Raises:
        ValueError: If the frame size is not a multiple of 8.
    """
    check_frame(input_shape, REDUCTION, name)
    frame = keras.Input(input_shape, name="frame")
    x = convolutions(frame, norm, width)
    channels = [scale_channels(filters, width) for filters in FILTERS[:-1]]
    for number in range(len(FILTERS), 0, -1):
        part = f"decoder.deconv{number}"
        last = number == 1
        x = layers.Conv2DTranspose(
            input_shape[2] if last else channels[number - 2],
            3,
            STRIDES[number - 1],
            padding="same",
            use_bias=last or norm is None,
            kernel_initializer="he_normal",
            name=part,
        )(x)
        if not last:
            x = norm_relu(x, part, norm=norm)
    image = layers.Activation("linear", dtype="float32", name="decoder.image")(x)
    return keras.Model(frame, image, name=name)
