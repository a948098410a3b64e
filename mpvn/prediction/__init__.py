"""Answers of trained networks: a network, a source, and what the network says about it, with times.

source --opened at the trained rate--> frames --model--> outputs --task--> `Prediction`

rates       at which rate, or which frames, a network is shown
opened      opens a source for a network: a stream, or the clip that evaluation takes
models      what computes: a `VideoNetwork`, or a SavedModel that one was exported to
buffering   frames that are computed in one call
predictor   `predict`, `Predictor`, `Prediction`
summary     the answer for a video; intervals of equal answers
drawing     answers over original pictures
"""

from mpvn.prediction.models import open_model
from mpvn.prediction.predictor import Prediction, Predictor, predict
from mpvn.prediction.summary import Interval, VideoAnswer, intervals

__all__ = [
    "Interval",
    "Prediction",
    "Predictor",
    "VideoAnswer",
    "intervals",
    "open_model",
    "predict",
]
