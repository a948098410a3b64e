"""Blocks moved into channels, compared with TensorFlow's operations and with plain slices.

Inputs are random, so exchanged rows, columns, channels or frames show. The layers only move
values, so comparisons are exact.
"""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_layers import DepthToSpace, SpaceTimeToDepth, SpaceToDepth, TemporalConv3D
from mpvn import Plan, VideoNetwork

CLIP = (2, 7, 12, 18, 3)
BLOCKS = [1, 2, 3, (2, 3), (3, 1), (1, 2), (12, 18)]

every_block = pytest.mark.parametrize("block", BLOCKS, ids=str)


@pytest.fixture
def clip(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=CLIP).astype("float32")


def sliced(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Space to depth by one slice per pixel of a block: order (row, column, channel)."""
    pixels = [
        frames[..., row::height, column::width, :]
        for row in range(height)
        for column in range(width)
    ]
    return np.concatenate(pixels, axis=-1)


def groups(clip: np.ndarray, block: tuple[int, int, int], newest: list[int]) -> np.ndarray:
    """Return the blocks of frames that end at the frames `newest`: `[B, len(newest), ...]`."""
    time, height, width = block
    zeros = np.zeros_like(clip[:, 0])
    blocks = [
        [clip[:, t] if 0 <= t < clip.shape[1] else zeros for t in range(end - time + 1, end + 1)]
        for end in newest
    ]
    return np.stack([np.concatenate([sliced(f, height, width) for f in b], -1) for b in blocks], 1)


# --- space --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3, 6])
def test_square_blocks_equal_tensorflow(
    size: int, clip: np.ndarray, rng: np.random.Generator
) -> None:
    frames = clip[:, 0]
    deep = SpaceToDepth(size)(frames)
    np.testing.assert_array_equal(deep, tf.nn.space_to_depth(frames, size))
    deep = rng.normal(size=(2, 4, 5, size * size * 3)).astype("float32")
    np.testing.assert_array_equal(DepthToSpace(size)(deep), tf.nn.depth_to_space(deep, size))


@every_block
def test_channels_are_in_the_order_row_column_channel(
    block: int | tuple[int, int], clip: np.ndarray
) -> None:
    layer = SpaceToDepth(block)
    np.testing.assert_array_equal(layer(clip), sliced(clip, *layer.block_size))


@every_block
def test_depth_to_space_is_the_inverse_of_space_to_depth(
    block: int | tuple[int, int], clip: np.ndarray, rng: np.random.Generator
) -> None:
    to_depth, to_space = SpaceToDepth(block), DepthToSpace(block)
    for inputs in (clip, clip[:, 0], clip[:0], clip[:, :0]):
        np.testing.assert_array_equal(to_space(to_depth(inputs)), inputs)
    deep = rng.normal(size=to_depth.compute_output_shape(CLIP)).astype("float32")
    np.testing.assert_array_equal(to_depth(to_space(deep)), deep)


@every_block
@pytest.mark.parametrize("cls", [SpaceToDepth, DepthToSpace])
def test_a_clip_equals_its_frames(
    cls: type[keras.layers.Layer], block: int | tuple[int, int], rng: np.random.Generator
) -> None:
    layer = cls(block)
    clip = rng.normal(size=(2, 3, 12, 18, 216)).astype("float32")
    frame_by_frame = np.stack([layer(clip[:, time]) for time in range(3)], axis=1)
    np.testing.assert_array_equal(layer(clip), frame_by_frame)


# --- space and time -----------------------------------------------------------------------------

TIME_BLOCKS = [2, (2, 3, 1), (3, 1, 2), (4, 2, 3), (9, 1, 1)]

every_time_block = pytest.mark.parametrize("block", TIME_BLOCKS, ids=str)


@every_time_block
def test_a_causal_block_ends_at_the_present_frame(
    block: int | tuple[int, int, int], clip: np.ndarray
) -> None:
    layer = SpaceTimeToDepth(block)
    expected = groups(clip, layer.block_size, list(range(0, 7, layer.window)))
    np.testing.assert_array_equal(layer(clip), expected)
    np.testing.assert_array_equal(layer(clip[:, 0]), expected[:, 0])


@every_time_block
def test_a_symmetric_block_surrounds_the_present_frame(
    block: int | tuple[int, int, int], clip: np.ndarray
) -> None:
    layer = SpaceTimeToDepth(block, temporal_padding="symmetric")
    newest = [time + layer.window // 2 for time in range(0, 7, layer.window)]
    np.testing.assert_array_equal(layer(clip), groups(clip, layer.block_size, newest))


def test_symmetric_pairs_do_not_overlap(clip: np.ndarray) -> None:
    outputs = SpaceTimeToDepth(2, temporal_padding="symmetric")(clip[:, :6])
    pairs = [[tf.nn.space_to_depth(clip[:, t + i], 2) for i in (0, 1)] for t in (0, 2, 4)]
    np.testing.assert_array_equal(outputs, tf.stack([tf.concat(p, -1) for p in pairs], 1))


@pytest.mark.parametrize("block", [2, (2, 3), (1, 1)], ids=str)
def test_a_block_of_one_frame_equals_space_to_depth(
    block: int | tuple[int, int], clip: np.ndarray
) -> None:
    space = SpaceToDepth(block)
    layer = SpaceTimeToDepth((1, *space.block_size))
    for inputs in (clip, clip[:, 0]):
        np.testing.assert_array_equal(layer(inputs), space(inputs))


# --- in a network -------------------------------------------------------------------------------


def stream(network: VideoNetwork, clip: np.ndarray) -> np.ndarray:
    state, outputs = network.initial_state(clip.shape[0]), []
    for time in range(clip.shape[1]):
        output, state = network.step(clip[:, time], state)
        outputs.append(output)
    return np.stack(outputs, axis=1)


def held(outputs: np.ndarray, first: int, rate: int, steps: int) -> np.ndarray:
    """Return what readers see at each step, for outputs at steps first, first + rate, ...

    Before the first output they see zeros, then always the newest output.
    """
    values = np.concatenate([np.zeros_like(outputs[:, :1]), outputs], axis=1)
    return values[:, [(step - first) // rate + 1 for step in range(steps)]]


@pytest.mark.parametrize("phase", ["first", "last"])
@pytest.mark.parametrize("block", [(2, 3, 2), (3, 1, 2)], ids=str)
def test_a_stream_equals_the_clip_and_the_phase_selects_the_groups(
    block: tuple[int, int, int], phase: str, clip: np.ndarray
) -> None:
    """Blocks at 0, t, ... start before the clip; blocks at t - 1, 2t - 1, ... are whole groups."""
    rate = block[0]
    first = 0 if phase == "first" else rate - 1
    frame = keras.Input(CLIP[2:])
    model = keras.Model(frame, SpaceTimeToDepth(block, name="blocks")(frame))
    network = VideoNetwork(model, Plan(model, phases={"blocks": first}))
    blocks = groups(clip, block, list(range(first, 7, rate)))
    expected = held(blocks, first, rate, 7)
    np.testing.assert_array_equal(stream(network, clip), expected)
    for executor in ("unroll", "layerwise"):
        network.executor = executor
        np.testing.assert_array_equal(network(clip), expected)


def test_readers_with_the_same_phase_do_not_wait(clip: np.ndarray) -> None:
    frame = keras.Input(CLIP[2:])
    x = SpaceToDepth(3, name="space")(frame)
    x = SpaceTimeToDepth((3, 2, 1), name="blocks")(x)
    model = keras.Model(frame, DepthToSpace((2, 1), name="wide")(x))
    network = VideoNetwork(model, Plan(model, phases={"blocks": 2, "wide": 2}))
    blocks = groups(sliced(clip, 3, 3), (3, 2, 1), [2, 5])
    expected = held(np.asarray(DepthToSpace((2, 1))(blocks)), 2, 3, 7)
    np.testing.assert_array_equal(stream(network, clip), expected)
    for executor in ("unroll", "layerwise"):
        network.executor = executor
        np.testing.assert_array_equal(network(clip), expected)


def test_a_symmetric_network_runs_on_whole_clips(clip: np.ndarray) -> None:
    frame = keras.Input(CLIP[2:])
    layer = SpaceTimeToDepth((2, 2, 3), temporal_padding="symmetric")
    network = VideoNetwork(keras.Model(frame, layer(frame)))
    expected = held(groups(clip, (2, 2, 3), [1, 3, 5, 7]), 0, 2, 7)
    np.testing.assert_array_equal(network(clip), expected)


def test_they_cost_no_multiply_adds_and_share_past_frames_with_other_layers() -> None:
    frame = keras.Input(CLIP[2:])
    x = SpaceTimeToDepth((3, 1, 1), name="blocks")(frame)
    y = TemporalConv3D(9, (3, 1, 1), (3, 1, 1), name="filters")(frame)
    x = DepthToSpace(2)(SpaceToDepth(2)(layers.Add()([x, y])))
    plan = Plan(keras.Model(frame, x))
    costs = dict(zip(plan.nodes, plan.node_costs, strict=True))
    assert {name for name, cost in costs.items() if cost} == {"filters"}
    past = [slot for slot in plan.histories.specs if slot.startswith("t0_")]
    assert len(past) == 2, "two past frames, stored once for both layers"


# --- shapes and dtypes --------------------------------------------------------------------------

EVERY_LAYER = {
    "space to depth": lambda **kwargs: SpaceToDepth((2, 3), **kwargs),
    "depth to space": lambda **kwargs: DepthToSpace((3, 1), **kwargs),
    "space and time": lambda **kwargs: SpaceTimeToDepth((2, 3, 2), **kwargs),
    "symmetric": lambda **kwargs: SpaceTimeToDepth((3, 2, 1), "symmetric", **kwargs),
}

every_layer = pytest.mark.parametrize("make", EVERY_LAYER.values(), ids=EVERY_LAYER)


@every_layer
def test_compute_output_shape_is_the_shape_of_the_output(
    make: Callable[..., keras.layers.Layer], clip: np.ndarray
) -> None:
    layer = make()
    for inputs in (clip, clip[:, 0], clip[:, :4], clip[:1, :1]):
        assert layer.compute_output_shape(inputs.shape) == tuple(layer(inputs).shape)


@every_layer
def test_unknown_sizes_give_the_same_values(
    make: Callable[..., keras.layers.Layer], clip: np.ndarray
) -> None:
    layer = make()
    unknown = keras.Input((None, None, None, 3))
    model = keras.Model(unknown, layer(unknown))
    channels = layer(clip).shape[-1]
    assert model.output_shape == (None, None, None, None, channels)
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, None, 3))])
    for inputs in (clip, clip[:1, :4, :6]):
        expected = layer(inputs)
        np.testing.assert_array_equal(model(inputs), expected)
        np.testing.assert_array_equal(traced(inputs), expected)


@every_layer
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "bfloat16"])
def test_dtypes_pass_through(
    make: Callable[..., keras.layers.Layer], dtype: str, rng: np.random.Generator
) -> None:
    """Integers keep their dtype, in symbolic outputs too; floats are cast to the layer's dtype."""
    layer = make() if "int" in dtype else make(dtype=dtype)
    clip = tf.cast(rng.integers(0, 255, size=CLIP), dtype)
    symbolic, value = layer(keras.Input(CLIP[1:], dtype=dtype)), layer(clip)
    assert symbolic.dtype == keras.backend.standardize_dtype(value.dtype) == dtype
    np.testing.assert_array_equal(tf.cast(value, "float32"), make()(tf.cast(clip, "float32")))


@every_layer
def test_gradients_return_to_the_source_of_each_value(
    make: Callable[..., keras.layers.Layer], clip: np.ndarray
) -> None:
    """The sum of squares of the outputs has the gradient 2x for each input x that is used."""
    layer, clip = make(), tf.convert_to_tensor(clip[:, :6])
    with tf.GradientTape() as tape:
        tape.watch(clip)
        outputs = layer(clip)
        total = tf.reduce_sum(tf.square(outputs))
    used = np.isin(clip, outputs)
    assert used.any()
    np.testing.assert_allclose(tape.gradient(total, clip), np.where(used, 2 * clip, 0), rtol=1e-6)


@pytest.mark.parametrize("cls", [SpaceToDepth, DepthToSpace, SpaceTimeToDepth])
def test_layers_have_no_weights_and_survive_serialization(
    cls: type[keras.layers.Layer],
) -> None:
    block = (3, 2, 1) if cls is SpaceTimeToDepth else (3, 2)
    kwargs = {"temporal_padding": "symmetric"} if cls is SpaceTimeToDepth else {}
    layer = cls(block, name="same_name", **kwargs)
    layer(np.zeros((1, 6, 6, 6), "float32"))
    assert layer.weights == []
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    assert again.block_size == block
    assert keras.saving.get_registered_name(cls) == f"keras_layers>{cls.__name__}"


# --- errors -------------------------------------------------------------------------------------

INVALID = {
    "block 0": (lambda: SpaceToDepth(0), r"block_size.*height, width.*Received: 0"),
    "three sizes": (lambda: SpaceToDepth((2, 2, 2)), r"height, width.*Received: \(2, 2, 2\)"),
    "one size": (lambda: DepthToSpace((2,)), r"height, width.*Received: \(2,\)"),
    "half": (lambda: DepthToSpace((2, 0.5)), r"height, width.*Received: \(2, 0.5\)"),
    "no frame": (
        lambda: SpaceTimeToDepth((0, 2, 2)),
        r"time, height, width.*Received: \(0, 2, 2\)",
    ),
    "no time": (lambda: SpaceTimeToDepth((2, 2)), r"time, height, width.*Received: \(2, 2\)"),
    "padding": (lambda: SpaceTimeToDepth(2, "same"), "causal.*Received: 'same'"),
}


@pytest.mark.parametrize(("make", "message"), INVALID.values(), ids=INVALID)
def test_invalid_arguments_are_refused(
    make: Callable[[], keras.layers.Layer], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("size", [(7, 6), (6, 7), (1, 6), (None, 5)], ids=str)
@pytest.mark.parametrize("leading", [(2,), (2, 4), (None, None)], ids=str)
def test_frame_sizes_that_are_not_multiples_are_refused(
    size: tuple[int | None, int], leading: tuple[int | None, ...]
) -> None:
    height, width = size
    message = (
        "'odd'.*height that is a multiple of 2 and a width that is a multiple of 3.*"
        rf"Received: height {height} and width {width}, of shape=\(.*{height}, {width}, 3\)\. "
        r"Crop.*Cropping2D.*ZeroPadding2D.*block_size"
    )
    for layer in (SpaceToDepth((2, 3), name="odd"), SpaceTimeToDepth((2, 2, 3), name="odd")):
        with pytest.raises(ValueError, match=message):
            layer.compute_output_shape((*leading, *size, 3))
        with pytest.raises(ValueError, match=message):
            layer(keras.Input((*leading[1:], *size, 3)))
        if None not in (*leading, *size):
            with pytest.raises(ValueError, match=message):
                layer(np.zeros((*leading, *size, 3), "float32"))


@pytest.mark.parametrize("make", [lambda: SpaceToDepth(2), lambda: SpaceTimeToDepth(2)])
@pytest.mark.parametrize("shape", [(2, 2, 7, 6, 3), (2, 2, 6, 7, 3), (4, 4, 5, 5, 3)], ids=str)
def test_blocks_never_cross_the_border_between_frames(
    make: Callable[[], keras.layers.Layer], shape: tuple[int, ...]
) -> None:
    """Two frames of 7 rows have 14 rows, a multiple of 2, but a block would span both frames."""
    traced = tf.function(make(), input_signature=[tf.TensorSpec((None, None, None, None, 3))])
    with pytest.raises(tf.errors.InvalidArgumentError):
        traced(np.zeros(shape, "float32"))


@pytest.mark.parametrize("channels", [5, None])
def test_numbers_of_channels_that_are_not_multiples_are_refused(channels: int | None) -> None:
    layer = DepthToSpace((2, 3), name="odd")
    message = rf"'odd'.*multiple of 6.*block_size=\(2, 3\).*Received: shape=\(2, 4, 4, {channels}\)"
    with pytest.raises(ValueError, match=message):
        layer.compute_output_shape((2, 4, 4, channels))
    if channels is not None:
        with pytest.raises(ValueError, match="multiple of 6"):
            layer(np.zeros((2, 4, 4, channels), "float32"))


@pytest.mark.parametrize("cls", [SpaceToDepth, DepthToSpace, SpaceTimeToDepth])
@pytest.mark.parametrize("shape", [(8, 8, 8), (2, 2, 2, 8, 8, 8)], ids=str)
def test_inputs_of_another_rank_are_refused(
    cls: type[keras.layers.Layer], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="batch of frames .* or of clips .*Received: shape="):
        cls(2).compute_output_shape(shape)
    with pytest.raises(ValueError, match="batch of frames .* or of clips .*Received: shape="):
        cls(2)(np.zeros(shape, "float32"))
