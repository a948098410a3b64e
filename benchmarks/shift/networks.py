"""TSM networks with other implementations of the shift, or without shifts.

All of them share the layers of one network: they differ only in the shifts, and only one set of
weights is in memory.
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
"""Takes the name of a shift and the convolution that reads it; returns the replacement or None."""


class VariantShift(TemporalShift):
    """A temporal shift by a variant of `variants.py`.

    With symmetric padding it takes the frames of one clip, `[T, H, W, C]`. With causal padding it
    has memory, as `TemporalShift` has.

    Args:
        variant: The implementation.
        convolution: The 1x1 convolution after the shift. A fused variant computes it as well.
        temporal_padding, divisor, name: See `TemporalShift`.
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
    """Return `model` with its shifts replaced.

    Args:
        model: A network of `NETWORKS`.
        replace: Returns the replacement of each shift.
        batch_size: Static batch size of the new model, or None.
        fused: Whether the replacements compute the convolution that reads the shift as well.
    """
    readers = {shift.name: model.get_layer(name) for name, shift in shifted_layers(model).items()}
    skipped = {convolution.name for convolution in readers.values()} if fused else set()

    def call(layer, inputs, *args, **kwargs):
        if isinstance(layer, TemporalShift):
            new = replace(layer.name, readers[layer.name])
            return inputs if new is None else new(inputs)
        return inputs if layer.name in skipped else layer(inputs, *args, **kwargs)

    frame = keras.Input(model.input_shape[1:], batch_size, name="frame")
    return keras.models.clone_model(model, frame, lambda layer: layer, call)
