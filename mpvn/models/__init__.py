"""Frame models by name."""

from mpvn.models.loading import FrameModel, ModelError, load_frame_model

__all__ = ["FrameModel", "ModelError", "load_frame_model"]
