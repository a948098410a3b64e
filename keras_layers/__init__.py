"""Keras layers for video networks. They work alone and in the networks of `mpvn`."""

import keras

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "keras_layers and mpvn need Keras with the TensorFlow backend. "
        f"Received: {keras.backend.backend()!r}. Set the environment variable "
        "KERAS_BACKEND=tensorflow before the first import of keras."
    )

from keras_layers.boundary import Boundary
from keras_layers.conv_recurrent import TemporalConvGRU2D, TemporalConvLSTM2D
from keras_layers.feedback import Feedback
from keras_layers.non_local import NonLocal
from keras_layers.recurrent import RecurrentLayer
from keras_layers.shortcut_merge import ShortcutMerge
from keras_layers.sideways import Sideways
from keras_layers.space_to_depth import DepthToSpace, SpaceTimeToDepth, SpaceToDepth
from keras_layers.subnetwork_cell import SubnetworkCell
from keras_layers.temporal import TemporalLayer
from keras_layers.temporal_conv import TemporalConv3D
from keras_layers.temporal_pooling import TemporalAveragePooling3D, TemporalMaxPooling3D
from keras_layers.temporal_relation import TemporalRelation
from keras_layers.temporal_shift import TemporalShift

__all__ = [
    "Boundary",
    "DepthToSpace",
    "Feedback",
    "NonLocal",
    "RecurrentLayer",
    "ShortcutMerge",
    "Sideways",
    "SpaceTimeToDepth",
    "SpaceToDepth",
    "SubnetworkCell",
    "TemporalAveragePooling3D",
    "TemporalConv3D",
    "TemporalConvGRU2D",
    "TemporalConvLSTM2D",
    "TemporalLayer",
    "TemporalMaxPooling3D",
    "TemporalRelation",
    "TemporalShift",
]
