"""Small models of keras-hub that see images, from their configs: convolutional networks.

Their sizes are about the smallest that their code takes. Their classes build the graphs.
"""

from collections.abc import Callable
from typing import Any

import keras
import pytest

hub = pytest.importorskip("keras_hub", reason="optional: keras-hub, see the Makefile").models

Build = Callable[[], keras.Model]
BACKBONES: dict[str, Build] = {}


def register(function: Build) -> Build:
    BACKBONES[function.__name__] = function
    return function


def pyramid(model: keras.Model) -> keras.Model:
    """The maps of all scales, as a dict."""
    return keras.Model(model.inputs, model.pyramid_outputs)


def resnet(block: str, stem: tuple = (8,), **options: Any) -> keras.Model:
    options = {
        "input_conv_filters": stem,
        "input_conv_kernel_sizes": [3] * len(stem),
        "stackwise_num_filters": [64, 8],
        "stackwise_num_blocks": [2, 1],
        "stackwise_num_strides": [1, 2],
        "image_shape": (16, 16, 3),
        **options,
    }
    return hub.ResNetBackbone(block_type=block, **options)


@register
def resnet_basic() -> keras.Model:
    return resnet("basic_block", (64,))


@register
def resnet_v2() -> keras.Model:
    return resnet("bottleneck_block", use_pre_activation=True)


@register
def resnet_vd() -> keras.Model:
    return resnet("bottleneck_block_vd", (8, 8, 16))


@register
def resnet_pyramid() -> keras.Model:
    return pyramid(resnet("bottleneck_block"))


@register
def densenet() -> keras.Model:
    return hub.DenseNetBackbone([2, 2], growth_rate=4, image_shape=(32, 32, 3))


def efficientnet(*blocks: str, **options: Any) -> keras.Model:
    options = {
        "stackwise_kernel_sizes": [3, 5],
        "stackwise_num_repeats": [1, 2],
        "stackwise_input_filters": [16, 8],
        "stackwise_output_filters": [8, 16],
        "stackwise_expansion_ratios": [1, 4],
        "stackwise_squeeze_and_excite_ratios": [0.25, 0.25],
        "stackwise_strides": [1, 2],
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "input_shape": (16, 16, 3),
        **options,
    }
    return hub.EfficientNetBackbone(stackwise_block_types=blocks, **options)


@register
def efficientnet_v1() -> keras.Model:
    return efficientnet("v1", "v1")


@register
def efficientnet_v2() -> keras.Model:
    return efficientnet("fused", "unfused")


@register
def efficientnet_lite() -> keras.Model:
    no_gates = {"stackwise_squeeze_and_excite_ratios": [0, 0], "activation": "relu6"}
    return pyramid(efficientnet("v1", "cba", **no_gates))


@register
def mobilenet() -> keras.Model:
    return hub.MobileNetBackbone(
        stackwise_expansion=[[20], [32, 72]],
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[8], [12, 12]],
        stackwise_kernel_size=[[3], [5, 5]],
        stackwise_num_strides=[[2], [2, 1]],
        stackwise_se_ratio=[[None], [0.25, 0.25]],
        stackwise_activation=[["relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1], [2, 2]],
        output_num_filters=16,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=16,
        squeeze_and_excite=0.5,
        input_num_filters=8,
        image_shape=(32, 32, 3),
    )


@register
def mobilenet_v5() -> keras.Model:
    first = {"stackwise_block_types": ["er"], "stackwise_num_filters": [8]}
    ends = {"dw_start_kernel_sizes": 0, "dw_end_kernel_sizes": 0}
    sizes = {"se_ratios": 0, "dw_kernel_sizes": 3, "exp_kernel_sizes": 3, "pw_kernel_sizes": 1}
    heads = {"num_heads": 2, "key_dims": 4, "value_dims": 4, "kv_strides": 1, "use_cpe": False}
    common = {"strides": 2, "act_layers": "relu", "exp_ratios": 4.0, **ends, **sizes, **heads}
    stages = {f"stackwise_{name}": [[value], [value] * 2] for name, value in common.items()}
    return hub.MobileNetV5Backbone(
        **stages,
        stackwise_block_types=[first["stackwise_block_types"], ["uir", "mqa"]],
        stackwise_num_filters=[first["stackwise_num_filters"], [12, 12]],
        stackwise_num_blocks=[1, 2],
        num_features=16,
        msfa_output_resolution=4,
        image_shape=(32, 32, 3),
    )


@register
def cspnet() -> keras.Model:
    return hub.CSPNetBackbone(
        stem_filters=8,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=[1, 2],
        stackwise_strides=[1, 2],
        stackwise_num_filters=[8, 16],
        bottle_ratio=[1.0, 0.5],
        block_ratio=[0.5],
        block_type="dark_block",
        stage_type="csp",
        image_shape=(16, 16, 3),
    )


@register
def vgg() -> keras.Model:
    return hub.VGGBackbone([2, 1], [4, 8], image_shape=(16, 16, 3))


@register
def xception() -> keras.Model:
    return hub.XceptionBackbone(
        [[8, 8], [8, 16], [16, 16]], [False, True, False], image_shape=(17, 17, 3)
    )


def hgnet(**options: Any) -> keras.Model:
    return hub.HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=8,
        hidden_sizes=[16, 32],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=True,
        stackwise_stage_filters=[(8, 8, 16, 1, 2, 3), (16, 8, 32, 1, 2, 3)],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, True],
        **{"image_shape": (32, 32, 3), **options},
    )


@register
def hgnet_v2() -> keras.Model:
    return hgnet()


# --- detection, segmentation ------------------------------------------------------------------


def four_scales(**options: Any) -> keras.Model:
    depths = {"stackwise_num_filters": [64, 8, 16, 16], "stackwise_num_blocks": [1] * 4}
    return resnet("bottleneck_block", stackwise_num_strides=[1, 2, 2, 2], **depths, **options)


@register
def deeplab_v3() -> keras.Model:
    """Its pooling is in training unless it is told otherwise."""
    return hub.DeepLabV3Backbone(
        image_encoder=four_scales(image_shape=(32, 32, 3)),
        spatial_pyramid_pooling_key="P4",
        low_level_feature_key="P2",
        upsampling_size=4,
        dilation_rates=[2, 4],
        projection_filters=8,
        image_shape=(32, 32, 3),
    )


@register
def retinanet() -> keras.Model:
    return hub.RetinaNetBackbone(
        image_encoder=four_scales(image_shape=(32, 32, 3)),
        min_level=3,
        max_level=5,
        use_p5=False,
        use_fpn_batch_norm=True,
        image_shape=(32, 32, 3),
    )


@register
def basnet() -> keras.Model:
    """Nested models that were built for any size, and lists of outputs."""
    encoder = resnet(
        "basic_block",
        (64,),
        stackwise_num_filters=[64, 8, 16, 16],
        stackwise_num_blocks=[2] * 4,
        stackwise_num_strides=[1, 2, 2, 2],
        image_shape=(None, None, 3),
    )
    return hub.BASNetBackbone(
        image_encoder=encoder, num_classes=1, projection_filters=64, image_shape=(64, 64, 3)
    )


@register
def d_fine() -> keras.Model:
    heads = {"num_attention_heads": 2, "encoder_ffn_dim": 16, "num_encoder_layers": 1}
    decoder = {"num_decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 16}
    points = {"decoder_n_points": [2, 2], "lqe_hidden_dim": 8, "num_lqe_layers": 2}
    return hub.DFineBackbone(
        backbone=hgnet(image_shape=(64, 64, 3), out_features=["stage1", "stage2"]),
        decoder_in_channels=[16, 16],
        encoder_hidden_dim=16,
        num_denoising=0,
        num_labels=4,
        hidden_dim=16,
        learn_initial_query=False,
        num_queries=8,
        anchor_image_size=(64, 64),
        feat_strides=[4, 8],
        num_feature_levels=2,
        encoder_in_channels=[16, 32],
        encode_proj_layers=[1],
        hidden_expansion=0.5,
        depth_multiplier=0.5,
        eval_idx=-1,
        image_shape=(64, 64, 3),
        **heads,
        **decoder,
        **points,
    )
