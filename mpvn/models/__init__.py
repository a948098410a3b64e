"""Frame models: the papers' networks, heads, model surgery, checkpoints, and models by name."""

from mpvn.models.autoencoder import autoencoder
from mpvn.models.bn_inception import bn_inception, trn_bn_inception
from mpvn.models.full_res import full_res
from mpvn.models.heads import action_head, image_head, keypoint_head, relation_head
from mpvn.models.i3d_resnet import i3d_resnet50
from mpvn.models.loading import LoadedModel, ModelError, load_frame_model
from mpvn.models.multi_scale import multi_scale
from mpvn.models.par_densenet import par_densenet
from mpvn.models.par_inception import i3d_inception, par_inception
from mpvn.models.published import PUBLISHED, Architecture
from mpvn.models.simple_cnn import simple_cnn
from mpvn.models.surgery.inflate import inflate
from mpvn.models.surgery.recurrent import insert_recurrent
from mpvn.models.surgery.shift import insert_temporal_shift, shifted_layers
from mpvn.models.surgery.shortcuts import insert_shortcuts
from mpvn.models.surgery.transfer import Transfer, transfer_weights
from mpvn.models.torch.load import Imported, import_torch
from mpvn.models.torch.reader import CheckpointError
from mpvn.models.tsm import (
    non_local_resnet50,
    trn_mobilenet_v2,
    trn_resnet50,
    tsm_mobilenet_v2,
    tsm_resnet,
    tsm_resnet50,
    tsm_resnet101,
    tsm_resnext101,
)
from mpvn.models.vgg import causal_vgg_3d, vgg8, vgg16, vgg_3d

__all__ = [
    "PUBLISHED",
    "Architecture",
    "CheckpointError",
    "Imported",
    "LoadedModel",
    "ModelError",
    "Transfer",
    "action_head",
    "autoencoder",
    "bn_inception",
    "causal_vgg_3d",
    "full_res",
    "i3d_inception",
    "i3d_resnet50",
    "image_head",
    "import_torch",
    "inflate",
    "insert_recurrent",
    "insert_shortcuts",
    "insert_temporal_shift",
    "keypoint_head",
    "load_frame_model",
    "multi_scale",
    "non_local_resnet50",
    "par_densenet",
    "par_inception",
    "relation_head",
    "shifted_layers",
    "simple_cnn",
    "transfer_weights",
    "tsm_mobilenet_v2",
    "tsm_resnet",
    "tsm_resnet101",
    "tsm_resnet50",
    "tsm_resnext101",
    "trn_bn_inception",
    "trn_mobilenet_v2",
    "trn_resnet50",
    "vgg16",
    "vgg8",
    "vgg_3d",
]
