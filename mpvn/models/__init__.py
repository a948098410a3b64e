"""Frame models by name."""

from mpvn.models.loading import FrameModel, ModelError, load_frame_model
from mpvn.models.multi_scale import multi_scale

__all__ = ["FrameModel", "ModelError", "load_frame_model", "multi_scale"]
