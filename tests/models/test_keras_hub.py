"""Image models of keras-hub, unchanged, as video networks.

`make soak` (MPVN_EXAMPLES) runs all of `hub_models` and `hub_transformers`; the suite, some.
"""

import copy
import importlib
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from per_frame import run_clip
from random_weights import randomize
from real_models import assert_keras_per_frame, assert_near, assert_streams_give_the_clip
from small_runs import small_config

from mpvn import Plan, VideoNetwork
from mpvn.training.build.frame_model import build_frame_model

keras_hub = pytest.importorskip("keras_hub", reason="optional: keras-hub, see the Makefile")
hub_models = importlib.import_module("hub_models")
importlib.import_module("hub_transformers")

pytestmark = [
    # keras-hub's Swin gives attention masks to an argument that Keras takes for an implicit mask.
    pytest.mark.filterwarnings(
        "ignore:Layer 'attn' .of type WindowAttention. was passed:UserWarning"
    ),
]

SOME = [
    "resnet_pyramid",
    "efficientnet_lite",
    "swin",
    "dino_v3_pyramid",
]
NAMES = list(hub_models.BACKBONES) if "MPVN_EXAMPLES" in os.environ else SOME


def build(name: str) -> keras.Model:
    model = hub_models.BACKBONES[name]()
    randomize(model, np.random.default_rng(3))
    return model


@pytest.mark.parametrize("name", NAMES)
def test_a_backbone_is_keras_per_frame_and_its_pipeline_streams(name: str) -> None:
    model = build(name)
    assert_keras_per_frame(model)
    subnetworks = min(3, len(Plan(model).graph.nodes))
    assert_streams_give_the_clip(VideoNetwork(model, Plan(model, subnetworks)), steps=4)


@pytest.mark.parametrize("how", ["load", "copy"])
def test_a_class_that_builds_its_graph_is_restored(how: str, tmp_path: pathlib.Path) -> None:
    """The class names its layers anew: `add_5` for `add_2`."""
    model = build("vit_det_windows")
    network = VideoNetwork(model, Plan(model, 4))
    clip, outputs = assert_streams_give_the_clip(network, steps=5)
    if how == "copy":
        again = copy.deepcopy(network)
    else:
        network.save(tmp_path / "network.keras")
        again = keras.saving.load_model(tmp_path / "network.keras")
    assert_near(run_clip(again, clip, "step"), outputs)


def test_an_exported_backbone_streams(tmp_path: pathlib.Path) -> None:
    model = build("efficientnet_lite")
    network = VideoNetwork(model, Plan(model, 3))
    clip, outputs = assert_streams_give_the_clip(network, steps=4)
    network.export(tmp_path / "network", verbose=False)
    signatures = tf.saved_model.load(tmp_path / "network").signatures
    (name,) = signatures["clip"].structured_input_signature[1]
    exported = signatures["clip"](**{name: keras.tree.flatten(clip)[0]})
    assert_near([exported[key] for key in outputs], [outputs[key] for key in outputs])


def test_a_preset_is_trained_with_its_weights_and_pixels(tmp_path: pathlib.Path) -> None:
    model = build("vgg")
    model.save_to_preset(tmp_path)
    scaling = {"scale": (0.01, 0.02, 0.03), "offset": (1, 2, 3)}
    keras_hub.layers.ImageConverter((16, 16), **scaling).save_to_preset(tmp_path)
    config = small_config(model__name=f"hub:{tmp_path}", model__size=16)
    config.model.options = {}
    loaded = build_frame_model(config, {"classes": 4})
    assert "classifier of 4 classes added after" in loaded.remarks[0]
    pixels = np.random.default_rng(2).integers(0, 256, (2, 16, 16, 3)).astype("float32")
    features = np.mean(model(pixels * [0.01, 0.02, 0.03] + [1, 2, 3]), axis=(1, 2))
    kernel, bias = loaded.model.get_layer("head.logits").get_weights()
    outputs = loaded.model(pixels / 127.5 - 1)
    np.testing.assert_allclose(outputs, features @ kernel + bias, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="hub:nowhere: keras-hub could not load this preset"):
        build_frame_model(small_config(model__name="hub:nowhere", model__options={}), {})


def test_a_task_is_one_node_and_its_layers_can_be_divided() -> None:
    """A task checks its inputs in a call of its own."""
    task = hub_models.hub.ViTImageClassifier(build("vit"), num_classes=3)
    with pytest.warns(UserWarning, match="of its own.*use keras.Model.model.inputs"):
        assert len(Plan(task).graph.nodes) == 1
    assert len(Plan(keras.Model(task.inputs, task.outputs)).graph.nodes) > 3


def test_a_model_that_compares_the_images_of_a_batch_is_refused() -> None:
    from keras_hub.src.models.clip.clip_backbone import CLIPBackbone
    from keras_hub.src.models.clip.clip_text_encoder import CLIPTextEncoder

    sizes = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "intermediate_dim": 8}
    text = CLIPTextEncoder(16, embedding_dim=8, max_sequence_length=6, **sizes)
    model = CLIPBackbone(build("clip_encoder"), text, projection_dim=4)
    with pytest.raises(ValueError, match="computes each stream.*'clip_head' combines the rows"):
        Plan(model)
