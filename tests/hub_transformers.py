"""Small models of keras-hub that see images, from their configs: transformers."""

from collections.abc import Mapping
from typing import Any

import keras
import keras_hub
import pytest
from hub_models import hub, pyramid, register


def sized(model: keras.Model, shapes: Mapping[str, tuple]) -> keras.Model:
    """A model that was built for any size, over inputs of fixed sizes."""
    inputs = {
        name: keras.Input(shape, dtype=model.input[name].dtype, name=name)
        for name, shape in shapes.items()
    }
    return keras.Model(inputs, model(inputs))


TINY = {"patch_size": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 8}
IMAGE = {"image_shape": (16, 16, 3)}


@register
def vit() -> keras.Model:
    return hub.ViTBackbone(mlp_dim=16, **TINY, **IMAGE)


@register
def vit_tasks_layers() -> keras.Model:
    """A task checks its inputs in `__call__`; the layers inside are those of a functional model."""
    task = hub.ViTImageClassifier(vit(), num_classes=3, pooling="token", activation=None)
    return keras.Model(task.inputs, task.outputs)


@register
def deit() -> keras.Model:
    return hub.DeiTBackbone(intermediate_dim=16, **TINY, **IMAGE)


@register
def swin() -> keras.Model:
    """Shifted windows over maps of 10x10 and 5x5, which are padded and masked."""
    return hub.SwinTransformerBackbone((20, 20, 3), 8, (2, 2), (2, 4), window_size=3, patch_size=2)


def mit(depth: int = 2, size: int = 16) -> keras.Model:
    return hub.MiTBackbone(
        layerwise_depths=[1] * depth,
        num_layers=depth,
        layerwise_num_heads=[1, 2, 2, 2][:depth],
        layerwise_sr_ratios=[8, 4, 2, 1][-depth:],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3, 3, 3][:depth],
        layerwise_strides=[4, 2, 2, 2][:depth],
        image_shape=(size, size, 3),
        hidden_dims=[4, 8, 12, 16][:depth],
    )


@register
def mit_pyramid() -> keras.Model:
    return pyramid(mit())


@register
def segformer() -> keras.Model:
    return hub.SegFormerBackbone(image_encoder=mit(4, 64), projection_filters=8)


def vit_det(**options: Any) -> keras.Model:
    options = {"num_output_channels": 8, "window_size": 3, **options}
    return hub.ViTDetBackbone(
        hidden_size=8,
        num_layers=2,
        intermediate_dim=16,
        num_heads=2,
        global_attention_layer_indices=[1],
        patch_size=4,
        **options,
        **IMAGE,
    )


@register
def vit_det_windows() -> keras.Model:
    return vit_det()


def dino_v2(**options: Any) -> keras.Model:
    options = {"position_embedding_shape": (24, 24), **IMAGE, **options}
    return hub.DINOV2Backbone(intermediate_dim=16, **{**TINY, **options})


@register
def dino_v2_registers() -> keras.Model:
    return dino_v2(num_register_tokens=2, use_swiglu_ffn=True, drop_path_rate=0.1)


@register
def dino_v3_pyramid() -> keras.Model:
    return pyramid(hub.DINOV3Backbone(intermediate_dim=16, use_gated_mlp=True, **TINY, **IMAGE))


@register
def depth_anything() -> keras.Model:
    return hub.DepthAnythingBackbone(
        image_encoder=dino_v2(num_layers=4, image_shape=(32, 32, 3)),
        reassemble_factors=[4, 2, 1, 0.5],
        neck_hidden_dims=[4, 8, 8, 8],
        fusion_hidden_dim=8,
        head_hidden_dim=4,
        head_in_index=-1,
        feature_keys=["stage1", "stage2", "stage3", "stage4"],
    )


def vision_encoder(name: str) -> keras.Model:
    """The half of a model of images and text that sees images."""
    folder = name.removesuffix("VisionEncoder").lower().replace("metaclip2", "metaclip_2")
    module = pytest.importorskip(f"keras_hub.src.models.{folder}.{folder}_vision_encoder")
    return getattr(module, name)(intermediate_dim=16, **TINY, **IMAGE)


@register
def clip_encoder() -> keras.Model:
    return vision_encoder("CLIPVisionEncoder")


@register
def siglip_encoder() -> keras.Model:
    """Its first layer declares one token more than it computes."""
    return vision_encoder("SigLIPVisionEncoder")


@register
def metaclip_encoder() -> keras.Model:
    return vision_encoder("MetaCLIP2VisionEncoder")


@register
def segment_anything() -> keras.Model:
    """Images, points, labels, boxes, and masks, each of any number."""
    prompts = keras_hub.layers.SAMPromptEncoder(
        hidden_size=8, image_embedding_size=(4, 4), input_image_size=(16, 16), mask_in_channels=16
    )
    masks = keras_hub.layers.SAMMaskDecoder(
        hidden_size=8,
        num_layers=2,
        intermediate_dim=16,
        num_heads=2,
        embedding_dim=8,
        num_multimask_outputs=3,
        iou_head_depth=3,
        iou_head_hidden_dim=8,
    )
    task = hub.SAMImageSegmenter(hub.SAMBackbone(vit_det(window_size=2), prompts, masks))
    shapes = {"images": (16, 16, 3), "points": (2, 2), "labels": (2,), "boxes": (1, 2, 2)}
    layers_of_task = keras.Model(task.input, task.output)
    return sized(layers_of_task, {**shapes, "masks": (1, 16, 16, 1)})
