"""Tasks: targets, weights, losses, and metrics for plain Keras training.

    batch of clips  --task.prepare-->  inputs, targets, weights  -->  compile, fit, evaluate

Importing the package registers its losses and metrics with Keras, which needs them to load models
that were compiled with them.
"""

from mpvn.tasks.action import ActionRecognition, ClipAccuracy, LabelCrossEntropy, StepAccuracy
from mpvn.tasks.autoencoding import Autoencoding, PeakSignalToNoise, SquaredError
from mpvn.tasks.early_recognition import online_accuracy
from mpvn.tasks.fusion import fuse
from mpvn.tasks.future_frame import FutureFrame
from mpvn.tasks.heatmaps import peaks, render_heatmaps, rescale
from mpvn.tasks.keypoint_metrics import CorrectKeypoints, JointDistance, KeypointSimilarity
from mpvn.tasks.keypoints import HeatmapCrossEntropy, Keypoints
from mpvn.tasks.mean_average_precision import ClassesWithClips, MeanAveragePrecision
from mpvn.tasks.multi_label import MultiLabelActions, MultiLabelCrossEntropy
from mpvn.tasks.multi_view import score_views
from mpvn.tasks.recognition import MultiLabelRecognition, Recognition, Scores
from mpvn.tasks.step_metrics import CountedSteps, StepLoss, StepMetric
from mpvn.tasks.task import Batch, Task

__all__ = [
    "ActionRecognition",
    "Autoencoding",
    "Batch",
    "ClassesWithClips",
    "ClipAccuracy",
    "CorrectKeypoints",
    "CountedSteps",
    "FutureFrame",
    "HeatmapCrossEntropy",
    "JointDistance",
    "KeypointSimilarity",
    "Keypoints",
    "LabelCrossEntropy",
    "MeanAveragePrecision",
    "MultiLabelActions",
    "MultiLabelCrossEntropy",
    "MultiLabelRecognition",
    "PeakSignalToNoise",
    "Recognition",
    "Scores",
    "SquaredError",
    "StepAccuracy",
    "StepLoss",
    "StepMetric",
    "Task",
    "score_views",
    "fuse",
    "online_accuracy",
    "peaks",
    "render_heatmaps",
    "rescale",
]
