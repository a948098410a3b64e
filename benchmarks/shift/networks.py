"""TSM networks that shift in other ways, or not at all, all with the layers of one.

So they differ in the shifts alone, and only one set of weights is in memory.
"""

from collections.abc import Callable

import keras
from keras import ops
from variants import Variant

from keras_layers.temporal_shift import TemporalShift
from mpvn.models.surgery.shift import shifted_layers
from mpvn.models.tsm import tsm_mobilenet_v2, tsm_resnet50

NETWORKS = {"ResNet-50": tsm_resnet50, "MobileNetV2": tsm_mobilenet_v2}

Replace = Callable[[str, keras.layers.Conv2D], keras.layers.Layer | None]
"""From a shift's name and the convolution that reads it to what is in its place; None: nothing."""


class VariantShift(TemporalShift):
    """A temporal shift as a variant does it.

    Bi-directional, it takes the frames of one clip, `[T, H, W, C]`; uni-directional, it is what
    `TemporalShift` is.

    Args:
        variant: the way.
        convolution: the 1x1 convolution after the shift, which a fused variant does too.
        temporal_padding, divisor, name: as of `TemporalShift`.
    """

    def __init__(
        self,
        variant: Variant,
        convolution: keras.layers.Conv2D,
        temporal_padding: str,
        divisor: int,
        name: str | None = None,
    ) -> None:
        super().__init__(temporal_padding, divisor, name=name)
        self._variant = variant
        self._convolution = convolution

    def call(self, inputs):
        if self.temporal_padding == "causal":
            return super().call(inputs)
        clip = ops.expand_dims(inputs, 0)  # [T, ...] -> [1, T, ...]
        return ops.squeeze(self._variant.clip(clip, self.fold, *self._kernel()), 0)

    def compute(self, window):
        return self._variant.frame(*window, *self._kernel())

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        channels = self._convolution.filters if self._variant.fused else frame_shape[-1]
        return (*frame_shape[:-1], channels)

    def _kernel(self) -> list:
        if not self._variant.fused:
            return []
        return [ops.convert_to_tensor(self._convolution.kernel)[0, 0]]


def with_shifts(
    model: keras.Model, replace: Replace, batch_size: int | None = None, fused: bool = False
) -> keras.Model:
    """`model` with others in the place of its shifts.

    Args:
        model: of `NETWORKS`.
        replace: says what is in the place of each shift.
        batch_size: of the new model, if it is to be known.
        fused: whether what is in a shift's place does the convolution that reads it too.
    """
    readers = {shift.name: model.get_layer(name) for name, shift in shifted_layers(model).items()}
    done = {convolution.name for convolution in readers.values()} if fused else set()

    def call(layer, inputs, *args, **kwargs):
        if isinstance(layer, TemporalShift):
            new = replace(layer.name, readers[layer.name])
            return inputs if new is None else new(inputs)
        return inputs if layer.name in done else layer(inputs, *args, **kwargs)

    frame = keras.Input(model.input_shape[1:], batch_size, name="frame")
    return keras.models.clone_model(model, frame, lambda layer: layer, call)
