"""The published networks: sizes as the papers have them, and one meaning in every executor."""

import math
import pathlib
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from random_weights import randomize

import keras_layers
import mpvn
from mpvn.models import PUBLISHED, load_frame_model, par_densenet, par_inception
from mpvn.plan.graph import read_graph

# --- sizes ------------------------------------------------------------------------------------


def kernels(model: keras.Model) -> dict[str, int]:
    """Weights of the convolution and dense kernels by layer name."""
    with_kernel = [layer for layer in model.layers if hasattr(layer, "kernel")]
    return {layer.name: math.prod(layer.kernel.shape) for layer in with_kernel}


def summed(counts: dict[str, int], pattern: str) -> int:
    found = [count for name, count in counts.items() if re.fullmatch(pattern, name)]
    assert found, f"no layer is called {pattern}"
    return sum(found)


@pytest.fixture(scope="module")
def densenet() -> keras.Model:
    return par_densenet()


def test_par_densenet_has_the_weights_of_its_table(densenet: keras.Model) -> None:
    counts = kernels(densenet)
    assert counts["stem.conv7x7"] == 9_408
    by_block = {
        "conv1x1": (163_840, 802_816, 1_155_072, 900_096),
        "conv3x3": (589_824, 1_179_648, 1_179_648, 884_736),
        "skip": (5_120, 10_880, 13_632, 12_960),
        "transition": (53_760, 231_200, 362_952),
    }
    for part, expected in by_block.items():
        found = [summed(counts, rf"block{b}_\d\.{part}") for b in range(1, len(expected) + 1)]
        assert found == list(expected), part
    assert counts["head.convolution"] == 19_584
    assert sum(counts.values()) == 7_575_176


@pytest.mark.parametrize(("filters", "total"), [("all", 15_140_944), ("3x3", 11_409_032)])
def test_par_densenet_with_temporal_filters(filters: str, total: int) -> None:
    model = par_densenet(temporal_kernel=2, temporal_filters=filters)
    assert sum(kernels(model).values()) == total


def test_par_inception_has_the_weights_of_its_table() -> None:
    counts = kernels(par_inception(classes=200))
    expected = {
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
    for unit, count in expected.items():
        assert summed(counts, rf"{re.escape(unit)}.*") == count, unit
    assert sum(expected.values()) == 12_290_112
    assert sum(counts.values()) == 12_290_112 + 200 * 1024


@pytest.mark.parametrize(
    ("build", "depth"), [(par_densenet, 54), (par_inception, 22)], ids=["densenet", "inception"]
)
def test_depth(build: Callable[..., keras.Model], depth: int) -> None:
    """Convolutions and dense layers on the longest path; the paper counts no transitions."""
    graph = read_graph(build((64, 64, 3), classes=10))
    deepest: list[int] = []
    for node in graph.nodes:
        counts = hasattr(node.operation, "kernel") and "transition" not in node.name
        before = [deepest[producer.index] for producer in graph.producers(node)]
        deepest.append(max(before, default=0) + counts)
    assert max(deepest) == depth


def executions(model: keras.Model, steps: int) -> int:
    """How often miniblocks are executed in that many steps."""
    plan = PUBLISHED["par_densenet"].plan(model)
    clocks = [c for name, c in plan.clock_of.items() if name.endswith(".conv3x3")]
    return sum(clock.count(steps) for clock in clocks)


def test_clocks_leave_86_of_416_miniblocks(densenet: keras.Model) -> None:
    assert executions(densenet, 16) == 86
    assert executions(par_densenet((64, 64, 3), clocks=False), 16) == 416


def test_clocks_save_what_the_counts_say(densenet: keras.Model) -> None:
    """Of Par-DenseNet without temporal kernels at 224 pixels: 5091 million multiply-adds."""
    for subnetworks in PUBLISHED["par_densenet"].subnetworks:
        plan = PUBLISHED["par_densenet"].plan(densenet, subnetworks)
        assert round(plan.clock_speedup, 2) == 2.60
        assert round(sum(plan.node_costs) / 1e6) == 5091


def test_the_first_of_two_equal_halves_has_most_of_the_work(densenet: keras.Model) -> None:
    plan = PUBLISHED["par_densenet"].plan(densenet, 2)
    of_first = sum(
        cost
        for node, cost in zip(plan.graph.nodes, plan.node_costs, strict=True)
        if plan.subnetwork(node) == 0
    )
    assert of_first / sum(plan.node_costs) == pytest.approx(0.875, abs=0.001)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("par_densenet", {"stem.conv7x7": 1, "block1_1.conv1x1": 2, "block2_1.conv1x1": 4}),
        ("par_densenet", {"block3_8.conv3x3": 8, "block4_6.skip": 16, "head.logits": 1}),
        ("par_inception", {"stem.1a_conv": 2, "mixed_3c.join": 2, "mixed_4b.join": 4}),
        ("par_inception", {"mixed_4f.join": 4, "mixed_5c.skip": 8, "head.logits": 1}),
    ],
)
def test_clock_rates(name: str, rates: dict[str, int]) -> None:
    for feedback in (False, True):
        model = PUBLISHED[name].build((64, 64, 3), width=0.1, feedback=feedback)
        plan = PUBLISHED[name].plan(model, 5)
        assert {node: plan.clock_of[node].rate for node in rates} == rates


def test_published_plans_cut_at_units() -> None:
    model = par_densenet((64, 64, 3), width=0.1)
    found = PUBLISHED["par_densenet"].plan(model, 14)
    begins = [name.partition(".")[0] for name in found.boundaries]
    assert begins[:4] == ["block1_2", "block1_4", "block2_2", "block2_4"]
    assert len(begins) == 13
    assert found.subnetwork_of["block1_4.skip"] == found.subnetwork_of["block1_4.pool"] == 2
    inception = PUBLISHED["par_inception"].plan(par_inception((64, 64, 3), width=0.1), 5)
    begins = [name.partition(".")[0] for name in inception.boundaries]
    assert begins == ["mixed_3c", "mixed_4c", "mixed_4e", "mixed_5b"]


# --- one meaning --------------------------------------------------------------------------------

CONFIGURATIONS: dict[str, tuple[str, dict[str, Any], int]] = {
    "densenet": ("par_densenet", {"joints": 5}, 14),
    "densenet, actions": ("par_densenet", {"classes": 6}, 4),
    "densenet, temporal, feedback": (
        "par_densenet",
        {"joints": 5, "temporal_kernel": 2, "temporal_filters": "all", "feedback": True},
        7,
    ),
    "densenet, no clocks": ("par_densenet", {"clocks": False, "temporal_kernel": 2}, 2),
    "inception": ("par_inception", {"joints": 5}, 10),
    "inception, actions": ("par_inception", {"classes": 6}, 5),
    "inception, feedback": ("par_inception", {"joints": 5, "feedback": True}, 5),
    "i3d, causal": ("i3d_inception", {"classes": 6, "temporal_padding": "causal"}, 5),
    "resnet, 3x3x3": (
        "i3d_resnet50_3x3x3",
        {"temporal_padding": "causal", "classes": 6},
        6,
    ),
    "resnet, replace": (
        "i3d_resnet50_replace",
        {"temporal_padding": "causal", "classes": 6, "layout": "keras"},
        4,
    ),
    "simple_cnn": ("simple_cnn", {"classes": 6}, 6),
    "simple_cnn, frames in pairs": ("simple_cnn", {"classes": 6, "block": (2, 2, 2)}, 6),
    "autoencoder": ("autoencoder", {}, 6),
    "vgg8": ("vgg8", {"classes": 6}, 8),
    "vgg16": ("vgg16", {"classes": 6, "block": 2}, 8),
    "full_res": ("full_res", {}, 8),
    "causal_vgg_3d": ("causal_vgg_3d", {"classes": 6}, 8),
}
"""Network, options and subnetworks."""


def small(name: str, options: dict[str, Any], subnetworks: int) -> mpvn.VideoNetwork:
    """A narrow network on frames of 32 pixels with random weights throughout."""
    width = {"vgg8": 0.02, "vgg16": 0.02, "causal_vgg_3d": 0.02}.get(name, 0.1)
    model = PUBLISHED[name].build((32, 32, 3), width=width, **options)
    randomize(model, np.random.default_rng(4))
    return mpvn.VideoNetwork(model, PUBLISHED[name].plan(model, subnetworks))


def streamed(network: mpvn.VideoNetwork, clip: np.ndarray) -> np.ndarray:
    state, steps = network.initial_state(len(clip)), []
    for time in range(clip.shape[1]):
        outputs, state = network.step(clip[:, time], state)
        steps.append(outputs)
    return np.stack(steps, axis=1)


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-3) -> None:
    """Equal to float32's accuracy, and not for want of a signal."""
    scale = float(np.std(expected))
    assert np.isfinite(scale)
    assert len({step.tobytes() for step in expected[0]}) > 1, "all steps look alike"
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def assert_one_meaning(network: mpvn.VideoNetwork, clip: np.ndarray) -> None:
    """Streaming = unroll = sweep, where the network can sweep."""
    steps = streamed(network, clip)
    for executor in ("unroll",) if network.plan.has_feedback else ("unroll", "layerwise"):
        network.executor = executor
        whole, _ = network.run(clip, network.initial_state(len(clip)))
        assert_close(np.asarray(whole), steps)


@pytest.mark.parametrize("label", CONFIGURATIONS)
def test_streaming_unrolling_and_sweeping_agree(label: str, rng: np.random.Generator) -> None:
    network = small(*CONFIGURATIONS[label])
    slowest = max(clock.phase for clock in network.plan.clock_of.values())
    steps = slowest + network.plan.period + 3  # every node has ticked, most of them twice
    assert_one_meaning(network, rng.normal(size=(2, steps, 32, 32, 3)).astype("float32"))


FULL_SIZE = {
    "par_densenet": ({"feedback": True}, 14),
    "par_inception": ({"classes": 400}, 10),
    "i3d_resnet50_3x3x3": ({"temporal_padding": "causal"}, 2),
    "simple_cnn": ({}, 6),
    "autoencoder": ({}, 6),
    "vgg8": ({}, 4),
    "causal_vgg_3d": ({}, 2),
    "full_res": ({}, 8),
}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_streaming_unrolling_and_sweeping_agree_at_full_size(
    name: str, rng: np.random.Generator
) -> None:
    """One period at 224 pixels, or until the first frame has come through."""
    options, subnetworks = FULL_SIZE[name]
    model = load_frame_model(name, options=options).model
    network = mpvn.VideoNetwork(model, PUBLISHED[name].plan(model, subnetworks))
    steps = max(network.plan.period, network.plan.information_latency[0] + 2)
    clip = rng.uniform(-1, 1, size=(1, steps, 224, 224, 3)).astype("float32")
    assert_one_meaning(network, clip)


# --- feedback -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["par_densenet", "par_inception"])
def test_what_is_fed_back_are_the_heatmaps_of_the_step_before(
    name: str, rng: np.random.Generator
) -> None:
    """Against a loop by hand over the frame model, its feedback made an input."""
    network = small(name, {"joints": 3, "feedback": True, "clocks": False, **without_past(name)}, 1)
    model = network.frame_model
    (said,) = [layer for layer in model.layers if isinstance(layer, keras_layers.Feedback)]
    by_hand = keras.Model([model.input, said.output], model.output)
    clip = tf.constant(rng.normal(size=(2, 4, 32, 32, 3)), tf.float32)
    heatmaps, expected = tf.zeros((2, 8, 8, 3)), []
    for time in range(4):
        heatmaps = by_hand([clip[:, time], heatmaps])
        expected.append(heatmaps)
    assert_close(np.asarray(network(clip)), np.stack(expected, axis=1))


def without_past(name: str) -> dict[str, Any]:
    return {"temporal_filters": False} if name == "par_inception" else {}


@keras.saving.register_keras_serializable(package="tests")
class Nothing(keras.layers.Layer):
    """Zeros of a shape, whatever it reads."""

    def __init__(self, shape: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shape = tuple(shape)

    def call(self, inputs: Any) -> Any:
        return keras.ops.zeros((keras.ops.shape(inputs)[0], *self.shape))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], *self.shape)


@pytest.mark.parametrize("label", ["densenet, temporal, feedback", "inception, feedback"])
def test_cutting_the_feedback_changes_the_output(label: str, rng: np.random.Generator) -> None:
    name, _, subnetworks = CONFIGURATIONS[label]
    network = small(*CONFIGURATIONS[label])

    def cut(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras_layers.Feedback):
            return Nothing(layer.shape, name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    severed = keras.models.clone_model(network.frame_model, clone_function=cut)
    severed.set_weights(network.frame_model.get_weights())
    other = mpvn.VideoNetwork(severed, PUBLISHED[name].plan(severed, subnetworks))
    clip = rng.normal(size=(1, 20, 32, 32, 3)).astype("float32")
    with_feedback, without = streamed(network, clip), streamed(other, clip)
    np.testing.assert_allclose(with_feedback[:, 0], without[:, 0], rtol=1e-4, atol=1e-5)
    assert np.abs(with_feedback - without).max() > 0.01 * np.std(without)


# --- as Keras models ----------------------------------------------------------------------------


@pytest.mark.parametrize("label", CONFIGURATIONS)
@pytest.mark.usefixtures("restore_dtype_policy")
def test_outputs_are_float32_under_mixed_precision(label: str, rng: np.random.Generator) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = small(*CONFIGURATIONS[label])
    model = network.frame_model
    assert model.output.dtype == "float32"
    assert any(layer.compute_dtype == "bfloat16" for layer in model.layers)
    outputs, _ = network.step(rng.normal(size=(1, 32, 32, 3)), network.initial_state(1))
    assert outputs.dtype == tf.float32
    assert np.isfinite(outputs).all()


@pytest.mark.parametrize(
    "label",
    [
        "densenet, temporal, feedback",
        "inception, actions",
        "resnet, replace",
        "simple_cnn, frames in pairs",
        "full_res",
    ],
)
def test_a_network_survives_being_saved(
    label: str, tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    network = small(*CONFIGURATIONS[label])
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert loaded.plan == network.plan
    clip = rng.normal(size=(1, 2, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(streamed(loaded, clip), streamed(network, clip))


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_network_builds_by_name_with_its_plans(name: str) -> None:
    frame_model = load_frame_model(name, size=64, options={"width": 0.05})
    assert frame_model.partition == "units"
    assert frame_model.model.name == name
    for subnetworks in PUBLISHED[name].subnetworks:
        plan = PUBLISHED[name].plan(frame_model.model, subnetworks)
        assert plan.subnetworks == subnetworks
    frames = np.array([[[[0, 127.5, 255]]]])
    np.testing.assert_allclose(frame_model.prepare(frames), [[[[-1, 0, 1]]]])


def test_the_same_arguments_make_the_same_names() -> None:
    """So that a plan which was written to a file fits the network of another process."""
    first, second = (read_graph(par_densenet((32, 32, 3), width=0.1)).names for _ in range(2))
    assert first == second
    assert all("." in name for name in first)


# --- what is refused ----------------------------------------------------------------------------

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "two tasks": ("par_densenet", {"joints": 3, "classes": 3}, "joints=3, classes=3"),
    "feedback of classes": (
        "par_inception",
        {"classes": 3, "feedback": True},
        "only heatmaps can be fed back",
    ),
    "filters": ("par_densenet", {"temporal_filters": "1x1"}, '"3x3" or "all". Received: .1x1'),
    "heatmap size": (
        "par_densenet",
        {"heatmap_size": (12, 12)},
        "16x16 or 32x32. Received: 12x12",
    ),
    "heatmap size fed back": (
        "par_densenet",
        {"heatmap_size": (12, 12), "feedback": True},
        "Expected heatmaps of 16x16, 32x32, and so on",
    ),
    "variant": ("i3d_resnet50_3x3x3", {"variant": "2x2x2"}, "3x3x3, 3x1x1, replace"),
    "weights of another layout": (
        "i3d_resnet50_3x3x3",
        {"weights": "imagenet", "layout": "torch"},
        "layout='keras'",
    ),
    "weights with batch norm": ("vgg16", {"weights": "imagenet"}, "batch_norm=False"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_network_refuses(case: str) -> None:
    name, options, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        PUBLISHED[name].build((64, 64, 3), **options)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("par_densenet", (200, 224, 3), "multiples of 32, such as 192x224. Received: 200x224"),
        ("autoencoder", (100, 64, 3), "multiples of 8, such as 96x64"),
        ("full_res", (33, 64, 3), "multiples of 2"),
        ("simple_cnn", (None, 64, 3), r"all known. Received: \(None, 64, 3\)"),
    ],
)
def test_a_frame_size_is_refused(name: str, shape: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PUBLISHED[name].build(shape)


def test_more_subnetworks_than_units_are_refused() -> None:
    model = PUBLISHED["simple_cnn"].build((32, 32, 3))
    with pytest.raises(mpvn.PlanError, match="expected 1 to 6, .* 6 units.*Received: 7"):
        PUBLISHED["simple_cnn"].plan(model, 7)


def test_a_symmetric_network_is_refused_as_a_stream() -> None:
    model = PUBLISHED["vgg_3d"].build((32, 32, 3), width=0.02)
    network = mpvn.VideoNetwork(model, PUBLISHED["vgg_3d"].plan(model))
    with pytest.raises(ValueError, match='temporal_padding="causal"'):
        network.initial_state(1)
