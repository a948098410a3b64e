"""The published networks have the weights and depths of the papers' tables."""

import math
import re
from collections.abc import Callable, Iterator

import keras
import pytest

from keras_layers import TemporalLayer
from keras_layers.pure_call import without_values
from mpvn.graph.reading import read_graph
from mpvn.models import PUBLISHED, par_densenet, par_inception
from mpvn.models.par_inception import MODULES


def kernel_sizes(model: keras.Model) -> dict[str, int]:
    """Number of weights of each convolution and dense kernel, by layer name."""
    with_kernel = [layer for layer in model.layers if hasattr(layer, "kernel")]
    return {layer.name: math.prod(layer.kernel.shape) for layer in with_kernel}


def total(sizes: dict[str, int], pattern: str) -> int:
    matching = [size for name, size in sizes.items() if re.fullmatch(pattern, name)]
    assert matching, f"no layer is called {pattern}"
    return sum(matching)


@pytest.fixture(autouse=True, scope="module")
def shapes() -> Iterator[None]:
    """Build networks of shapes alone: random kernels would take most of the time."""
    with without_values():
        yield


@pytest.fixture(scope="module")
def densenet() -> keras.Model:
    """Par-DenseNet at full size."""
    return par_densenet()


TABLE_5 = {
    "stem.conv7x7": ((112, 112, 64), (1, 7, 7), (1, 2, 2), 1),
    "stem.pool": ((56, 56, 64), (1, 3, 3), (1, 2, 2), 1),
    "stem.temporal_pool": ((56, 56, 64), (2, 1, 1), (2, 1, 1), 2),
    "block1_4.transition": ((56, 56, 168), (1, 1, 1), (1, 1, 1), 2),
    "block1_4.pool": ((28, 28, 168), (1, 2, 2), (2, 2, 2), 4),
    "block2_8.transition": ((28, 28, 340), (1, 1, 1), (1, 1, 1), 4),
    "block2_8.pool": ((14, 14, 340), (2, 2, 2), (2, 2, 2), 8),
    "block3_8.transition": ((14, 14, 426), (1, 1, 1), (1, 1, 1), 8),
    "block3_8.pool": ((7, 7, 426), (2, 2, 2), (2, 2, 2), 16),
    "block4_6.skip": ((7, 7, 16), (1, 1, 1), (1, 1, 1), 16),
    "head.convolution": ((56, 56, 17), (1, 3, 3), (1, 1, 1), 1),
}
"""Output, kernel (time, height, width), stride, and rate. AvgPool_1's temporal stride is ours."""


def test_par_densenet_has_the_layers_of_table_5(densenet: keras.Model) -> None:
    clock_of = PUBLISHED["par_densenet"].plan(densenet).clock_of
    for name, expected in TABLE_5.items():
        layer = densenet.get_layer(name)
        kernel = layer.pool_size if hasattr(layer, "pool_size") else layer.kernel_size
        with_time = [(1,) * (3 - len(sizes)) + tuple(sizes) for sizes in (kernel, layer.strides)]
        row = (layer.output.shape[1:], *with_time, clock_of[name].rate)
        assert row == expected, name


def test_without_clocks_par_densenet_reads_single_frames() -> None:
    model = par_densenet((32, 32, 3), width=0.05, clocks=False)
    assert not any(isinstance(layer, TemporalLayer) for layer in model.layers)


@pytest.mark.parametrize("build", [par_densenet, par_inception], ids=["densenet", "inception"])
def test_the_non_causal_network_has_symmetric_windows(build: Callable[..., keras.Model]) -> None:
    """The first row of table 1. I3D's tests show what a symmetric Inception computes."""
    model = build((32, 32, 3), classes=5, width=0.05, temporal_padding="symmetric")
    temporal = [layer for layer in model.layers if isinstance(layer, TemporalLayer)]
    assert len(temporal) > 3
    assert {layer.temporal_padding for layer in temporal} == {"symmetric"}


def test_par_densenet_has_the_weights_of_table_5(densenet: keras.Model) -> None:
    sizes = kernel_sizes(densenet)
    assert sizes["stem.conv7x7"] == 9_408
    by_block = {
        "conv1x1": (163_840, 802_816, 1_155_072, 900_096),
        "conv3x3": (589_824, 1_179_648, 1_179_648, 884_736),
        "skip": (5_120, 10_880, 13_632, 12_960),
        "transition": (53_760, 231_200, 362_952),
    }
    for part, expected in by_block.items():
        blocks = range(1, len(expected) + 1)
        assert tuple(total(sizes, rf"block{b}_\d\.{part}") for b in blocks) == expected, part
    assert sizes["head.convolution"] == 19_584
    assert sum(sizes.values()) == 7_575_176


@pytest.mark.parametrize(("filters", "expected"), [("all", 15_140_944), ("3x3", 11_409_032)])
def test_par_densenet_with_temporal_filters(filters: str, expected: int) -> None:
    model = par_densenet((64, 64, 3), temporal_kernel=2, temporal_filters=filters)
    assert sum(kernel_sizes(model).values()) == expected


def test_par_inception_has_the_weights_of_table_7() -> None:
    sizes = kernel_sizes(par_inception((64, 64, 3), classes=200))
    by_unit = {
        "stem.1a": 65_856,
        "stem.2b": 4_096,
        "stem.2c": 331_776,
        "mixed_3b": 385_536,
        "mixed_3c": 836_608,
        "mixed_4b": 736_512,
        "mixed_4c": 903_168,
        "mixed_4d": 1_102_336,
        "mixed_4e": 1_363_456,
        "mixed_4f": 1_806_336,
        "mixed_5b": 1_972_224,
        "mixed_5c": 2_782_208,
    }
    for unit, expected in by_unit.items():
        assert total(sizes, rf"{re.escape(unit)}.*") == expected, unit
    assert sum(by_unit.values()) == 12_290_112
    assert sum(sizes.values()) == 12_290_112 + 200 * 1024


def test_par_inception_averages_two_ticks_of_7x7_before_the_logits() -> None:
    model = par_inception(classes=5, width=0.05)
    pool = model.get_layer("head.mean")
    assert pool.pool_size == (2, 7, 7)
    assert pool.temporal_stride == 1
    assert pool.output.shape[1:3] == (1, 1)


def test_every_module_of_par_inception_has_a_skip_to_the_heatmaps() -> None:
    model = par_inception((64, 64, 3))
    skips = {layer.name for layer in model.layers if layer.name.endswith(".skip")}
    assert skips == {f"{unit}.skip" for unit in ("stem", *MODULES)}
    assert model.get_layer("head.convolution").kernel.shape == (3, 3, 160, 17)


@pytest.mark.parametrize(
    ("build", "depth"), [(par_densenet, 54), (par_inception, 22)], ids=["densenet", "inception"]
)
def test_depth(build: Callable[..., keras.Model], depth: int) -> None:
    """Convolutions and dense layers on the longest path; the paper does not count transitions."""
    graph = read_graph(build((64, 64, 3), classes=10, width=0.1))
    depths: list[int] = []
    for node in graph.nodes:
        counts = hasattr(node.operation, "kernel") and "transition" not in node.name
        before = [depths[producer.index] for producer in graph.producers(node)]
        depths.append(max(before, default=0) + counts)
    assert max(depths) == depth


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("tsm_resnet50", 25_557_032),
        ("tsm_resnet101", 44_549_160),
        ("tsm_resnext101", 88_791_336),
        ("tsm_mobilenet_v2", 3_504_872),
    ],
)
def test_tsm_networks_have_the_parameters_of_torchvision(name: str, parameters: int) -> None:
    model = PUBLISHED[name].build((32, 32, 3), classes=1000)
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == parameters
