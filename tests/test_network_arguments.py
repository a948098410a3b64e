"""The arguments, inputs and states that a network rejects."""

import re
from typing import Any

import keras
import numpy as np
import pytest
from small_models import chain, clocked_network, looping

import keras_layers
from mpvn import Plan, PlanError, VideoNetwork


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    return clocked_network()


def test_a_frame_of_another_shape_is_rejected(network: VideoNetwork) -> None:
    state = network.initial_state(1)
    message = r"a frame of shape \[B, 6, 6, 2\] for 'video_small'. Received: "
    for shape in ((1, 6, 5, 2), (6, 6, 2), (1, 1, 6, 6, 2)):
        with pytest.raises(ValueError, match=message + re.escape(str(shape))):
            network.step(np.zeros(shape, "float32"), state)


def test_a_clip_of_another_shape_is_rejected(network: VideoNetwork) -> None:
    with pytest.raises(ValueError, match=r"\[B, T, 6, 6, 2\].*A clip has a time axis"):
        network(np.zeros((1, 6, 6, 2), "float32"))


def test_an_input_that_is_left_out_is_rejected() -> None:
    x, y = keras.Input((2,), name="x"), keras.Input((2,), name="y", optional=True)
    network = VideoNetwork(keras.Model([x, y], keras.layers.Add()([x, y])))
    with pytest.raises(ValueError, match="a clip for the input 'y'. Received: None"):
        network([np.zeros((1, 2, 2)), None])
    with pytest.raises(ValueError, match="The input 'y' is missing"):
        network({"x": np.zeros((1, 2, 2))})


def test_a_clip_without_frames_is_rejected(network: VideoNetwork) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        network.run(np.zeros((2, 0, 6, 6, 2), "float32"), network.initial_state(2))


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_of_another_size_than_the_state_is_rejected(
    batch: int, network: VideoNetwork
) -> None:
    """Three frames ran with the state of one stream, which was broadcast to all of them."""
    state = network.initial_state(batch)
    message = f"Expected a batch of {batch}.*Received: a batch of 3"
    with pytest.raises(ValueError, match=message):
        network.step(np.zeros((3, 6, 6, 2), "float32"), state)
    with pytest.raises(ValueError, match=message):
        network.run(np.zeros((3, 5, 6, 6, 2), "float32"), state)


def test_a_state_of_another_network_is_rejected(network: VideoNetwork) -> None:
    state = network.initial_state(1)
    slot = next(name for name in state if name != "step")
    incomplete = {name: value for name, value in state.items() if name != slot}
    frame = np.zeros((1, 6, 6, 2), "float32")
    with pytest.raises(ValueError, match=f"does not belong to this network. Missing: .'{slot}'"):
        network.step(frame, incomplete)
    with pytest.raises(ValueError, match="Unknown: .'more'.*initial_state"):
        network.step(frame, {**state, "more": state[slot]})
    with pytest.raises(ValueError, match="does not belong"):
        network.reset(incomplete, [True])


@pytest.mark.parametrize("streams", [[1, 0], True, [[True]]])
def test_reset_rejects_anything_but_a_vector_of_bools(network: VideoNetwork, streams: Any) -> None:
    with pytest.raises(ValueError, match="one bool per stream.*Received"):
        network.reset(network.initial_state(2), streams)


@pytest.mark.parametrize("streams", [[True], [True, False]])
def test_reset_needs_one_bool_per_stream(streams: list, network: VideoNetwork) -> None:
    """One bool for three streams was broadcast and reset all of them."""
    with pytest.raises(ValueError, match="batch of 3, the batch size of the state. Received: a"):
        network.reset(network.initial_state(3), streams)


def test_an_unknown_executor_is_rejected(network: VideoNetwork) -> None:
    with pytest.raises(ValueError, match="executor. Expected one of.*Received: 'fast'"):
        network.executor = "fast"
    with pytest.raises(ValueError, match="Received: 'fast'"):
        VideoNetwork(network.frame_model, network.plan, executor="fast")


def test_a_network_with_feedback_cannot_run_layer_by_layer() -> None:
    network = VideoNetwork(looping())
    with pytest.raises(ValueError, match='feedback.*executor="unroll"'):
        network.executor = "layerwise"


def test_a_network_that_looks_ahead_neither_unrolls_nor_streams(rng: np.random.Generator) -> None:
    frame = keras.Input((4, 4, 1))
    conv = keras_layers.TemporalConv3D(1, 3, temporal_padding="symmetric")
    network = VideoNetwork(keras.Model(frame, conv(frame), name="ahead"))
    with pytest.raises(ValueError, match='future. Set executor="layerwise"'):
        network.executor = "unroll"
    with pytest.raises(ValueError, match='cannot stream. Build it with temporal_padding="causal"'):
        network.initial_state(1)
    clip = rng.normal(size=(2, 5, 4, 4, 1)).astype("float32")
    np.testing.assert_allclose(network(clip), conv(clip), rtol=1e-5, atol=1e-6)


def test_a_plan_must_be_a_plan() -> None:
    with pytest.raises(TypeError, match="Expected a Plan or None. Received: 3"):
        VideoNetwork(chain(2), 3)


def test_a_network_takes_the_plan_of_an_equal_model_only() -> None:
    plan = Plan(chain(2, 2), 2)
    assert VideoNetwork(chain(2, 2), plan).plan == plan
    with pytest.raises(PlanError, match="expected 2 nodes. Received: 1"):
        VideoNetwork(chain(2), plan)


def test_a_cell_rejects_several_outputs() -> None:
    frame = keras.Input((4, 4, 1))
    network = VideoNetwork(keras.Model(frame, [frame, keras.layers.ReLU()(frame)]))
    with pytest.raises(ValueError, match="one output.*Received: 1 inputs, 2 outputs, period 1"):
        network.cell()


def test_a_state_may_be_arrays_but_must_have_a_counter_for_each_stream() -> None:
    network = clocked_network()
    frame = np.ones((2, 6, 6, 2), "float32")
    state = network.initial_state(2)
    expected, _ = network.step(frame, state)
    arrays = {name: value.numpy() for name, value in state.items()}
    np.testing.assert_array_equal(network.step(frame, arrays)[0], expected)
    with pytest.raises(ValueError, match=r"Expected 'step' in the state with shape \(None,\)"):
        network.step(frame, state | {"step": np.int64(0)})
