"""What a plan says, against hand counts; what it refuses; and how a network streams."""

import json
import re
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomise

import keras_layers
from mpvn import Clock, Plan, PlanError, VideoNetwork, timing


def chain(*filters: int, size: int = 8, channels: int = 2) -> keras.Model:
    """1x1 convolutions c0, c1, ... in a row: `size * size * in * out` multiply-adds each."""
    x = frame = keras.Input((size, size, channels), name="frame")
    for index, count in enumerate(filters):
        x = layers.Conv2D(count, 1, name=f"c{index}")(x)
    return keras.Model(frame, x, name="chain")


def skipping() -> keras.Model:
    """c0 -> c1 -> c2 -> sum, and c0 -> sum: a skip over the boundaries between."""
    frame = keras.Input((8, 8, 2), name="frame")
    first = x = layers.Conv2D(2, 1, name="c0")(frame)
    for name in ("c1", "c2"):
        x = layers.Conv2D(2, 1, activation="relu", name=name)(x)
    return keras.Model(frame, layers.Add(name="sum")([first, x]), name="skipping")


def causal(*layers_: tuple[int, int]) -> keras.Model:
    """A stack of temporal convolutions of (kernel, stride) in time."""
    x = frame = keras.Input((4, 4, 1), name="frame")
    for index, (kernel, stride) in enumerate(layers_):
        x = keras_layers.TemporalConv2D(1, (kernel, 1, 1), (stride, 1, 1), name=f"t{index}")(x)
    return keras.Model(frame, x, name="causal")


def looping(shape: tuple[int, ...] = (8, 8, 3), source: str = "opinion") -> keras.Model:
    """Reads at its entry what its exit said one step before."""
    frame = keras.Input((8, 8, 3), name="frame")
    said = keras_layers.Feedback(source, shape, name="loop")(frame)
    x = layers.Conv2D(3, 1, name="entry")(frame)
    if shape == (8, 8, 3):
        x = layers.Add(name="merge")([x, said])
    else:
        x = layers.Add(name="merge")([x, layers.Conv2D(3, 1, name="fit")(said)])
    opinion = layers.Conv2D(3, 1, activation="tanh", name="opinion")(x)
    return keras.Model(frame, opinion, name="looping")


# --- what a plan says ---------------------------------------------------------------------------


def test_clocks_tick_at_their_phase() -> None:
    clock = Clock(3, 1)
    assert [t for t in range(8) if clock.ticks(t)] == [1, 4, 7]
    assert [clock.last(t) for t in (1, 2, 3, 4)] == [1, 1, 1, 4]
    assert [clock.count(n) for n in range(6)] == [0, 0, 1, 1, 1, 2]
    assert Clock(6, 4).within(clock)
    assert not Clock(6, 3).within(clock)
    assert [t for t in range(6) if clock.begun_at(2).ticks(t)] == [2, 5]


def test_a_sequential_grid_works_at_every_step() -> None:
    plan = Plan(chain(2, 2, 2))
    assert plan.grid() == "step   0   cost\n   0   █   100 %"


def test_a_chain_of_slow_subnetworks_is_a_staircase() -> None:
    """Costs 256, 512, 1024: of 1792 in all, 14, 29 and 57 %."""
    plan = Plan(chain(2, 4, 4), ["c1", "c2"], clocks=[1, 2, 4])
    assert plan.grid().splitlines() == [
        "step   0  1  2   cost",
        "   0   █  .  .    14 %",
        "   1   █  █  .    43 %",
        "   2   █  .  █    71 %",
        "   3   █  █  .    43 %",
    ]


def test_aligned_phases_put_all_work_into_one_step() -> None:
    plan = Plan(chain(2, 4, 4), ["c1", "c2"], clocks=[1, 2, 4], phases="aligned")
    assert plan.grid().splitlines() == [
        "step   0  1  2   cost",
        "   0   █  █  █   100 %",
        "   1   █  .  .    14 %",
        "   2   █  █  .    43 %",
        "   3   █  .  .    14 %",
    ]
    assert plan.step_costs == (1792, 256, 768, 256)
    assert plan.worst_step == pytest.approx(1792 / 768)


def test_a_subnetwork_of_two_clocks_shows_its_share() -> None:
    plan = Plan(chain(2, 4, 4), clocks={"c1": 2})
    assert plan.grid().splitlines() == [
        "step   0   cost",
        "   0   █   100 %",
        "   1   ▁    14 %",
    ]


def test_clocks_are_inherited_and_named() -> None:
    plan = Plan(chain(2, 2, 2, 2), clocks={"c1": 2, "c3": 4})
    assert [clock.rate for clock in plan.clock_of.values()] == [1, 2, 2, 4]
    assert plan.period == 4


def test_automatic_clocks_double_with_each_halving_after_the_first() -> None:
    x = frame = keras.Input((16, 16, 1))
    for index in range(4):
        x = layers.Conv2D(1, 1, strides=2, name=f"c{index}")(x)
    dense = layers.Dense(1, name="dense")(layers.Flatten(name="flat")(x))
    plan = Plan(keras.Model(frame, dense), clocks="auto")
    assert [clock.rate for clock in plan.clock_of.values()] == [1, 2, 4, 4, 4, 4]


def test_phases_by_name_override_the_default() -> None:
    plan = Plan(chain(2, 2, 2), 3, clocks=[1, 2, 4], phases={"c2": 3})
    assert list(plan.clock_of.values()) == [Clock(1, 0), Clock(2, 1), Clock(4, 3)]
    plan = Plan(chain(2, 2, 2), 3, clocks=[1, 2, 4], phases=[0, 4, 7])
    assert list(plan.clock_of.values()) == [Clock(1, 0), Clock(2, 0), Clock(4, 3)]


def test_equal_cuts_count_nodes_and_balanced_cuts_count_work() -> None:
    """Multiply-adds per position: 16, 64, 64, 8, 1."""
    model = chain(8, 8, 8, 1, 1)
    assert Plan(model, 2).boundaries == ("c2",)
    balanced = Plan(model, 2, partition="balanced")
    assert balanced.boundaries == ("c2",)
    assert balanced.balance_bound == pytest.approx(80 / 153)
    assert Plan(model, 3, partition="balanced").boundaries == ("c1", "c2")


def test_the_head_ticks_always_and_without_delay() -> None:
    plan = Plan(chain(2, 2, 2), 2, clocks=[2, 2], head="c2")
    assert plan.subnetwork_of == {"c0": 0, "c1": 1, "c2": 2}
    assert plan.clock_of["c2"] == Clock(1, 0)
    c0, c1, c2 = plan.graph.nodes
    assert (plan.delay(None, c0), plan.delay(c0, c1), plan.delay(c1, c2)) == (0, 1, 0)


def test_information_latency_counts_boundaries_on_the_fastest_and_slowest_path() -> None:
    assert Plan(chain(2, 2, 2)).information_latency == (0, 0)
    assert Plan(chain(2, 2, 2), 3).information_latency == (2, 2)
    assert Plan(skipping(), 4).information_latency == (1, 3)


def test_ages_by_hand() -> None:
    """c0 at every step, c1 at odd steps of what c0 held one step before.

    At step 1 it holds frame 0, at step 2 still frame 0; c2 reads the step before that.
    """
    plan = Plan(chain(2, 2, 2), 3, clocks=[1, 2, 2])
    assert plan.clock_of["c2"] == Clock(2, 0)
    assert plan.age_of("c0").newest == (0, 0)
    assert plan.age_of("c1").newest == (2, 1)
    assert plan.age_of("c2").newest == (2, 3)
    assert plan.ages["c2"].oldest == (2, 3)
    assert (plan.ages["c2"].mean, plan.ages["c2"].worst) == (2.5, 3)


def test_ages_of_aligned_clocks_are_older() -> None:
    plan = Plan(chain(2, 2, 2), 3, clocks=[1, 2, 2], phases="aligned")
    assert plan.age_of("c1").newest == (1, 2)
    assert plan.age_of("c2").newest == (3, 4)


def test_a_skip_is_fresher_than_the_path_around_it() -> None:
    ages = Plan(skipping(), 4).ages["sum"]
    assert (ages.newest, ages.oldest) == ((1,), (3,))


def test_ages_are_what_an_impulse_shows(rng: np.random.Generator) -> None:
    """A frame number sent through identities comes out as many steps old as the plan says."""
    model = chain(1, 1, 1, 1, size=1, channels=1)
    for layer in model.layers[1:]:
        layer.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    plan = Plan(model, 3, clocks=[1, 2, 6], phases="chain")
    numbers = np.arange(36, dtype="float32").reshape(1, 36, 1, 1, 1)
    outputs = np.asarray(VideoNetwork(model, plan)(numbers)).ravel()
    found = np.arange(36) - outputs
    np.testing.assert_array_equal(found[-6:], plan.ages["c3"].newest)


@pytest.mark.parametrize(
    "stack",
    [((3, 1),), ((3, 1), (2, 1), (4, 1)), ((3, 2), (2, 2), (3, 1)), ((2, 3), (4, 1)), ((1, 2),)],
)
def test_receptive_field_is_the_sum_of_products_of_strides(stack: tuple) -> None:
    """1 + sum of (kernel - 1) times the strides below, at the steps where everything ticks."""
    expected, jump = 1, 1
    for kernel, stride in stack:
        expected += (kernel - 1) * jump
        jump *= stride
    assert Plan(causal(*stack)).receptive_field == expected


def test_receptive_field_is_what_the_gradient_reaches(rng: np.random.Generator) -> None:
    model = causal((3, 2), (2, 1), (2, 2))
    network = VideoNetwork(model, Plan(model, 2))
    randomise(network, rng)
    clip = tf.constant(rng.normal(size=(1, 24, 4, 4, 1)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(clip)
        last = tf.reduce_sum(network(clip)[:, -1] ** 2)
    reached = np.flatnonzero(np.abs(tape.gradient(last, clip)).sum(axis=(0, 2, 3, 4)))
    assert reached[-1] - reached[0] + 1 == network.plan.receptive_field


def causal_row(*temporal: tuple[int, int]) -> keras.Model:
    """Temporal convolutions t0, t1, ... in a row, of the given kernels and strides."""
    x = frame = keras.Input((4, 4, 2))
    for index, (kernel, stride) in enumerate(temporal):
        x = keras_layers.TemporalConv2D(2, (kernel, 1, 1), (stride, 1, 1), name=f"t{index}")(x)
    return keras.Model(frame, x)


@pytest.mark.parametrize(
    ("model", "subnetworks", "clocks", "unread"),
    [
        (chain(2, 2, 2), 1, [1], [0, 0, 0]),
        (chain(2, 2, 2), 1, {"c1": 2, "c2": 4}, [3, 1, 0]),  # of 4, 2 and 1 ticks in 4 steps
        (chain(2, 2, 2), 3, [1, 2, 4], [3, 1, 0]),
        (skipping(), 1, {"c1": 2}, [0, 0, 0, 0]),  # the skip reads c0 at every step
        (causal_row((1, 1), (2, 2), (1, 2)), 1, None, [2, 1, 0]),  # the window holds two of c0's
        (causal_row((1, 1), (2, 2), (2, 2)), 1, None, [0, 0, 0]),
    ],
)
def test_ticks_that_nobody_reads_are_told(
    model: keras.Model, subnetworks: int, clocks: Any, unread: list[int]
) -> None:
    plan = Plan(model, subnetworks, clocks=clocks)
    ticks = [plan.period // clock.rate for clock in plan.clock_of.values()]
    found = [n - len(seen) for n, seen in zip(ticks, timing.seen_ticks(plan), strict=True)]
    assert found == unread
    wasted = sum(n * cost for n, cost in zip(unread, plan.node_costs, strict=True))
    assert plan.unseen_share == pytest.approx(wasted / sum(plan.step_costs))


@pytest.mark.parametrize("executor", ["sweep", "unroll"])
def test_a_clip_of_unknown_length_may_end_before_a_node_ticks(
    executor: str, rng: np.random.Generator
) -> None:
    """A node without ticks, read every second tick, was sliced from the wrong end."""
    model = causal_row((2, 1), (2, 2), (2, 2))
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    plan = Plan(model, ["t1", "t2"], phases=[0, 1, 3])
    network = VideoNetwork(model, plan, executor=executor)
    traced = tf.function(network, input_signature=[tf.TensorSpec((None, None, 4, 4, 2))])
    clip = rng.normal(size=(2, 9, 4, 4, 2)).astype("float32")
    state, streamed = network.initial_state(2), []
    for time in range(9):
        outputs, state = network.step(clip[:, time], state)
        streamed.append(outputs)
    for length in (1, 2, 3, 4, 9):
        np.testing.assert_allclose(
            traced(clip[:, :length]), np.stack(streamed[:length], axis=1), rtol=1e-5, atol=1e-6
        )


def test_receptive_field_with_feedback_has_no_bound() -> None:
    assert Plan(looping()).receptive_field is None


COSTS = {
    "Conv2D": (lambda: layers.Conv2D(5, 3, strides=2, padding="same"), 4 * 4 * 3 * 3 * 6 * 5),
    "grouped": (lambda: layers.Conv2D(4, 3, groups=2, padding="same"), 8 * 8 * 3 * 3 * 3 * 4),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, padding="same"), 8 * 8 * 3 * 3 * 6),
    "separable": (
        lambda: layers.SeparableConv2D(5, 3, padding="same"),
        8 * 8 * (3 * 3 * 6 + 6 * 5),
    ),
    "transposed": (lambda: layers.Conv2DTranspose(5, 2, strides=2), 8 * 8 * 2 * 2 * 6 * 5),
    "temporal": (lambda: keras_layers.TemporalConv2D(5, (2, 3, 3)), 8 * 8 * 2 * 3 * 3 * 6 * 5),
    "dense": (lambda: layers.Dense(5), 8 * 8 * 6 * 5),
    "free": (lambda: layers.BatchNormalization(), 0),
}


@pytest.mark.parametrize(("make", "expected"), COSTS.values(), ids=COSTS)
def test_multiply_adds_by_hand(make: Any, expected: int) -> None:
    frame = keras.Input((8, 8, 6))
    assert Plan(keras.Model(frame, make()(frame))).node_costs == (expected,)


def test_a_layer_may_count_its_own_multiply_adds() -> None:
    class Counted(layers.ReLU):
        def multiply_adds(self, input_shape: tuple, output_shape: tuple) -> int:
            return input_shape[0] + output_shape[-1]

    frame = keras.Input((8, 7, 6))
    assert Plan(keras.Model(frame, Counted()(frame))).node_costs == (14,)


def test_costs_and_speed_ups_by_hand() -> None:
    plan = Plan(chain(2, 4, 4), 3, clocks=[1, 2, 4], phases="aligned")
    assert plan.node_costs == (256, 512, 1024)
    assert plan.costs == ((256, 512, 1024), (256, 0, 0), (256, 512, 0), (256, 0, 0))
    assert plan.clock_speedup == pytest.approx(1792 * 4 / 3072)
    assert plan.execution_speedup == pytest.approx(3 / (1 + 1 / 2 + 1 / 4))
    assert plan.balance_bound == pytest.approx(1024 / 3072)


def test_cached_bytes_are_the_bytes_of_the_state() -> None:
    for model, kwargs in (
        (skipping(), {"subnetworks": 4}),
        (causal((3, 2), (2, 1)), {"subnetworks": 2}),
        (looping(), {"clocks": {"entry": 2}}),
    ):
        network = VideoNetwork(model, Plan(model, **kwargs))
        state = network.initial_state(3)
        held = sum(np.asarray(value).nbytes for name, value in state.items() if name != "step")
        assert 3 * network.plan.cached_bytes == held > 0


def test_a_sequential_network_without_memory_keeps_nothing() -> None:
    assert Plan(chain(2, 2)).cached_bytes == 0


def test_a_plan_survives_json() -> None:
    model = chain(2, 2, 2, 2)
    plan = Plan(model, ["c1", "c2"], clocks=[1, 2, 4], phases="chain", head="c3")
    again = Plan(model, **json.loads(json.dumps(plan.get_config())))
    assert again == plan
    assert hash(again) == hash(plan)
    assert again != Plan(model, ["c1", "c2"], clocks=[1, 2, 4], phases="aligned", head="c3")


def test_a_printed_plan_says_its_latency() -> None:
    text = str(Plan(chain(2, 2), 2, clocks=[1, 2]))
    assert "chain: 2 nodes, 2 subnetworks, clock rates 1, 2, information latency 1 to 1" in text


# --- what a plan refuses ------------------------------------------------------------------------

REFUSED = {
    "unknown boundary": ({"subnetworks": ["c9"]}, "boundary: no node is called 'c9'.*like 'c"),
    "empty first": ({"subnetworks": ["c0"]}, "boundary: 'c0' is the first node"),
    "boundary in head": ({"subnetworks": ["c2"], "head": "c2"}, "'c2' is in the head"),
    "named twice": ({"subnetworks": ["c1", "c1"]}, "'c1'.* named twice"),
    "too many": ({"subnetworks": 4}, "the model has 3 nodes.*got 4"),
    "none": ({"subnetworks": 0}, "between 1 and 3.*got 0"),
    "a name alone": ({"subnetworks": "c1"}, "subnetworks.*list of.*names.*got 'c1'"),
    "partition": ({"subnetworks": 2, "partition": "fair"}, '"equal" or "balanced", got \'fair\''),
    "clock list": ({"subnetworks": 3, "clocks": [1, 2]}, r"each of the 3 subnetworks, got \[1, 2"),
    "rate zero": ({"clocks": [0]}, r"one rate >= 1.*got \[0\]"),
    "clock word": ({"clocks": "slow"}, "clocks must be None.*'slow'"),
    "clock name": ({"clocks": {"c9": 2}}, "clocks: no node is called 'c9'"),
    "clock rate": ({"clocks": {"c1": 1.5}}, "the rate of 'c1' must be an int >= 1, got 1.5"),
    "rate below": (
        {"subnetworks": 3, "clocks": [1, 4, 2]},
        "'c2' has clock rate 2, below the rate 4 of what it reads.*at least 4",
    ),
    "phase list": ({"subnetworks": 2, "phases": [0]}, "phases: a list must hold.*2 subnetworks"),
    "phase word": ({"phases": "random"}, 'phases must be "aligned", "chain".*\'random\''),
    "phase name": ({"phases": {"c9": 0}}, "phases: no node is called 'c9'"),
    "phase beyond rate": (
        {"clocks": {"c1": 2}, "phases": {"c1": 2}},
        "'c1' ticks every 2 steps, so its phase is between 0 and 1, got 2",
    ),
    "devices": ({"subnetworks": 2, "devices": ["/CPU:0"]}, "devices: .*2 subnetworks.*/CPU:0"),
    "device": ({"devices": ["/GPU:first"]}, "'/GPU:first' is no device string"),
    "head": ({"head": "c9"}, "head: no node is called 'c9'"),
}


@pytest.mark.parametrize(("kwargs", "message"), REFUSED.values(), ids=REFUSED)
def test_a_plan_refuses(kwargs: dict, message: str) -> None:
    with pytest.raises(PlanError, match=message) as raised:
        Plan(chain(2, 2, 2), **kwargs)
    assert "does not fit the model 'chain'" in str(raised.value)


def test_a_plan_refuses_a_clock_that_contradicts_a_temporal_stride() -> None:
    with pytest.raises(PlanError, match="'t1' has a temporal stride of 2 over an input of rate 1"):
        Plan(causal((2, 1), (2, 2)), clocks={"t1": 3})


def test_a_plan_refuses_to_look_into_the_future_in_a_pipeline() -> None:
    frame = keras.Input((4, 4, 1))
    x = keras_layers.TemporalConv2D(1, 3, temporal_padding="symmetric", name="both")(frame)
    with pytest.raises(PlanError, match="'both' looks into the future.*causal"):
        Plan(keras.Model(frame, layers.ReLU()(x)), 2)


def test_a_plan_refuses_feedback_from_an_unknown_node() -> None:
    with pytest.raises(PlanError, match="feedback 'loop': no node is called 'opinon'.*'opinion'"):
        Plan(looping(source="opinon"))


def test_a_plan_refuses_feedback_of_another_shape() -> None:
    with pytest.raises(PlanError, match=r"'loop' expects shape \(8, 8, 2\), but 'opinion' puts"):
        Plan(looping(shape=(8, 8, 2)))


def test_a_plan_refuses_a_subclassed_model() -> None:
    class Subclassed(keras.Model):
        pass

    with pytest.raises(TypeError, match="functional Keras model.*Subclassed"):
        Plan(Subclassed())


def test_all_faults_come_in_one_error() -> None:
    with pytest.raises(PlanError) as raised:
        Plan(chain(2, 2, 2), ["c7", "c8"], clocks={"c9": 0}, head="c6")
    for fault in ("head: no node is called 'c6'", "'c7'", "'c8'", "'c9'", "the rate of 'c9'"):
        assert fault in str(raised.value)
    with pytest.raises(PlanError) as raised:
        Plan(chain(2, 2), 2, clocks=[0, 1], phases=[0], devices=["/GPU:first", None])
    for fault in ("clocks: a list", "phases: a list", "'/GPU:first' is no device string"):
        assert fault in str(raised.value)


def test_a_fault_of_the_boundaries_does_not_hide_one_of_the_clocks_or_devices() -> None:
    with pytest.raises(PlanError) as raised:
        Plan(chain(2, 2, 2), ["c9"], phases="random", devices=["/GPU:first"])
    for fault in ("'c9'", "'random'", "'/GPU:first'"):
        assert fault in str(raised.value)


def test_faults_of_several_nodes_come_together() -> None:
    with pytest.raises(PlanError) as raised:
        Plan(chain(2, 2, 2, 2), clocks={"c0": 4, "c1": 2, "c2": 1, "c3": 1})
    assert len(re.findall("below the rate", str(raised.value))) == 2


# --- streams ------------------------------------------------------------------------------------


@pytest.fixture
def network(rng: np.random.Generator) -> VideoNetwork:
    """Three subnetworks, a skip, slow clocks of a period of 4, a memory of 3 ticks."""
    frame = keras.Input((6, 6, 2), name="frame")
    first = x = layers.Conv2D(2, 3, padding="same", name="c0")(frame)
    x = layers.Conv2D(2, 1, activation="tanh", name="c1")(x)
    x = keras_layers.TemporalConv2D(2, (3, 1, 1), name="t2")(x)
    x = layers.Add(name="sum")([first, x])
    model = keras.Model(frame, layers.GlobalAveragePooling2D(name="pool")(x), name="small")
    network = VideoNetwork(model, Plan(model, ["c1", "t2"], clocks=[1, 2, 4]))
    randomise(network, rng)
    return network


def clip_for(network: VideoNetwork, rng: np.random.Generator, batch: int, steps: int) -> Any:
    shape = network.graph.tensors[network.graph.inputs[0]].shape
    return rng.normal(size=(batch, steps, *shape)).astype("float32")


def stream(network: VideoNetwork, clip: np.ndarray, state: dict) -> tuple[np.ndarray, dict]:
    outputs = []
    for time in range(clip.shape[1]):
        output, state = network.step(clip[:, time], state)
        outputs.append(output)
    return np.stack(outputs, axis=1), state


def test_a_clip_in_pieces_is_the_whole_clip(
    network: VideoNetwork, rng: np.random.Generator
) -> None:
    clip = clip_for(network, rng, 2, 11)
    whole, after = network.run(clip, network.initial_state(2))
    state, pieces = network.initial_state(2), []
    for piece in (clip[:, :1], clip[:, 1:6], clip[:, 6:]):
        outputs, state = network.run(piece, state)
        pieces.append(outputs)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, rtol=1e-5, atol=1e-6)
    assert int(state["step"]) == int(after["step"]) == 11
    np.testing.assert_allclose(whole, network(clip), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("subnetworks", [1, 2])
def test_a_stream_of_temporal_layers_is_those_layers_over_the_clip(
    subnetworks: int, rng: np.random.Generator
) -> None:
    """With windows read within the step, and across a boundary: then one step later."""
    model = causal((3, 1), (2, 1))
    network = VideoNetwork(model, Plan(model, subnetworks))
    randomise(network, rng)
    clip = clip_for(network, rng, 2, 8)
    expected = np.asarray(model.layers[2](model.layers[1](clip)))
    if subnetworks == 2:
        # Zeros before the start are the second layer's input, not its output.
        late = np.pad(model.layers[1](clip)[:, :-1], [(0, 0), (1, 0), (0, 0), (0, 0), (0, 0)])
        expected = np.asarray(model.layers[2](late))
    found, _ = stream(network, clip, network.initial_state(2))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_stream_may_begin_at_any_phase(network: VideoNetwork, rng: np.random.Generator) -> None:
    clip = clip_for(network, rng, 1, 9)
    for phase in range(4):
        stepped, _ = stream(network, clip, network.initial_state(1, phase))
        whole, _ = network.run(clip, network.initial_state(1, phase))
        np.testing.assert_allclose(stepped, whole, rtol=1e-5, atol=1e-6)


def test_a_step_inside_a_traced_function_equals_the_eager_one(
    network: VideoNetwork, rng: np.random.Generator
) -> None:
    clip = clip_for(network, rng, 2, 9)
    expected, _ = stream(network, clip, network.initial_state(2))
    step = tf.function(network.step, autograph=False)
    state, found = network.initial_state(2), []
    for time in range(9):
        outputs, state = step(tf.constant(clip[:, time]), state)
        found.append(outputs)
    np.testing.assert_allclose(np.stack(found, axis=1), expected, rtol=1e-5, atol=1e-6)
    assert step.experimental_get_tracing_count() == 1


def test_a_stream_that_is_reset_is_as_one_begun_at_that_phase(
    network: VideoNetwork, rng: np.random.Generator
) -> None:
    clip = clip_for(network, rng, 3, 12)
    _, state = stream(network, clip[:, :3], network.initial_state(3))
    state = network.reset(state, [False, True, False])
    outputs, _ = stream(network, clip[:, 3:], state)
    alone, _ = stream(network, clip[1:2, 3:], network.initial_state(1, phase=3))
    untouched, _ = stream(network, clip, network.initial_state(3))
    np.testing.assert_allclose(outputs[1], alone[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs[[0, 2]], untouched[[0, 2], 3:], rtol=1e-5, atol=1e-6)
    assert not np.allclose(outputs[1], untouched[1, 3:])


def test_steps_are_traced_in_the_first_period_only(
    network: VideoNetwork, rng: np.random.Generator
) -> None:
    period = network.plan.period
    assert period == 4
    clip = clip_for(network, rng, 2, period)
    _, state = stream(network, clip, network.initial_state(2))
    traced = network.trace_count
    assert traced == len({network.plan.pattern(step) for step in range(period)})
    for _ in range(2):
        _, state = stream(network, clip, state)
    stream(network, clip_for(network, rng, 5, period), network.initial_state(5))
    assert network.trace_count == traced


def test_frames_of_bytes_are_taken_as_they_are(
    network: VideoNetwork, rng: np.random.Generator
) -> None:
    clip = rng.integers(0, 255, size=(1, 5, 6, 6, 2), dtype="uint8")
    expected, _ = stream(network, clip.astype("float32"), network.initial_state(1))
    found, _ = stream(network, clip, network.initial_state(1))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(network(clip), expected, rtol=1e-4, atol=1e-4)


def test_a_frame_of_another_shape_is_refused(network: VideoNetwork) -> None:
    state = network.initial_state(1)
    message = r"a frame of shape \[B, 6, 6, 2\] for 'video_small'. Received: "
    for shape in ((1, 6, 5, 2), (6, 6, 2), (1, 1, 6, 6, 2)):
        with pytest.raises(ValueError, match=message + re.escape(str(shape))):
            network.step(np.zeros(shape, "float32"), state)


def test_a_clip_of_another_shape_is_refused(network: VideoNetwork) -> None:
    with pytest.raises(ValueError, match=r"\[B, T, 6, 6, 2\].*A clip has a time axis"):
        network(np.zeros((1, 6, 6, 2), "float32"))


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_that_is_not_the_states_is_refused(batch: int, network: VideoNetwork) -> None:
    """Frames of 3 streams on the state of 1 were taken: its past was broadcast to all of them."""
    state = network.initial_state(batch)
    with pytest.raises(ValueError, match=f"3 streams.*{batch}|{batch} streams.*3"):
        network.step(np.zeros((3, 6, 6, 2), "float32"), state)
    with pytest.raises(ValueError, match=f"3 streams.*{batch}|{batch} streams.*3"):
        network.run(np.zeros((3, 5, 6, 6, 2), "float32"), state)


def test_a_state_of_another_network_is_refused(network: VideoNetwork) -> None:
    state = network.initial_state(1)
    slot = next(name for name in state if name != "step")
    lacking = {name: value for name, value in state.items() if name != slot}
    frame = np.zeros((1, 6, 6, 2), "float32")
    with pytest.raises(ValueError, match=f"not a state of 'video_small': lacks .'{slot}'"):
        network.step(frame, lacking)
    with pytest.raises(ValueError, match="has unknown .'more'.*initial_state"):
        network.step(frame, {**state, "more": state[slot]})
    with pytest.raises(ValueError, match="not a state"):
        network.reset(lacking, [True])


@pytest.mark.parametrize("streams", [[1, 0], True, [[True]]])
def test_streams_to_reset_must_be_bools(network: VideoNetwork, streams: Any) -> None:
    with pytest.raises(ValueError, match="one bool per stream.*Received"):
        network.reset(network.initial_state(2), streams)


@pytest.mark.parametrize("streams", [[True], [True, False]])
def test_as_many_bools_as_streams_are_needed(streams: list, network: VideoNetwork) -> None:
    """One bool for three streams was broadcast and reset them all."""
    with pytest.raises(ValueError, match="state is of 3 streams, but [12]"):
        network.reset(network.initial_state(3), streams)


def test_an_unknown_executor_is_refused(network: VideoNetwork) -> None:
    with pytest.raises(ValueError, match="executor must be one of.*Received: 'fast'"):
        network.executor = "fast"
    with pytest.raises(ValueError, match="Received: 'fast'"):
        VideoNetwork(network.frame_model, network.plan, executor="fast")


def test_feedback_cannot_be_swept() -> None:
    network = VideoNetwork(looping())
    with pytest.raises(ValueError, match='feedback runs step by step: executor="unroll"'):
        network.executor = "sweep"


def test_a_network_that_looks_ahead_neither_unrolls_nor_streams() -> None:
    frame = keras.Input((4, 4, 1))
    conv = keras_layers.TemporalConv2D(1, 3, temporal_padding="symmetric")
    network = VideoNetwork(keras.Model(frame, conv(frame), name="ahead"))
    with pytest.raises(ValueError, match='executor="sweep" only'):
        network.executor = "unroll"
    with pytest.raises(ValueError, match='cannot stream. Build it with temporal_padding="causal"'):
        network.initial_state(1)
    clip = np.random.default_rng(0).normal(size=(2, 5, 4, 4, 1)).astype("float32")
    np.testing.assert_allclose(network(clip), conv(clip), rtol=1e-5, atol=1e-6)


def test_what_is_no_plan_is_refused() -> None:
    with pytest.raises(TypeError, match="plan must be a Plan or None. Received: 3"):
        VideoNetwork(chain(2), 3)


def test_a_plan_of_an_equal_model_is_taken_over_and_of_another_refused() -> None:
    plan = Plan(chain(2, 2), 2)
    assert VideoNetwork(chain(2, 2), plan).plan == plan
    with pytest.raises(PlanError, match="no node is called 'c1'"):
        VideoNetwork(chain(2), plan)


def test_regularisers_and_added_losses_reach_the_network(rng: np.random.Generator) -> None:
    @keras.saving.register_keras_serializable(package="tests")
    class Penalty(layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(0.5 * keras.ops.mean(keras.ops.square(inputs)))
            return inputs

    frame = keras.Input((4, 4, 2))
    x = layers.Conv2D(2, 1, kernel_regularizer=keras.regularizers.L2(0.1))(frame)
    model = keras.Model(frame, Penalty()(x))
    network = VideoNetwork(model, Plan(model, 2), executor="sweep")
    randomise(network, rng)
    clip = rng.normal(size=(2, 3, 4, 4, 2)).astype("float32")
    outputs = network(clip)
    kernel = np.asarray(network.trainable_weights[0])
    assert sum(map(float, network.losses)) == pytest.approx(
        0.1 * np.sum(kernel**2) + 0.5 * np.mean(np.square(penalised(outputs, network, clip))),
        rel=1e-4,
    )
    network.compile("sgd", loss="mse")
    plain = float(np.mean(np.square(outputs)))
    assert network.evaluate(clip, np.zeros_like(outputs), verbose=0) > plain


def test_losses_that_layers_add_train_in_a_sweep_which_auto_chooses(
    rng: np.random.Generator,
) -> None:
    """Losses added within the loop of `unroll` cannot be reached from outside it."""
    frame = keras.Input((4, 4, 2))
    x = layers.Conv2D(2, 1, activity_regularizer=keras.regularizers.L2(0.1))(frame)
    model = keras.Model(frame, layers.Conv2D(2, 1)(x))
    clip = rng.normal(size=(2, 5, 4, 4, 2)).astype("float32")
    network = VideoNetwork(model, Plan(model, 2, clocks=[1, 2]))
    network.compile(keras.optimizers.SGD(0.0), loss="mse")
    loss = network.fit(clip, np.zeros_like(clip), verbose=0).history["loss"][0]
    plain = float(np.mean(np.square(network(clip))))
    seen = model.layers[1](clip.reshape(-1, 4, 4, 2))
    per_frame = 0.1 * np.sum(np.square(seen)) / 10  # Keras divides by the batch
    assert loss == pytest.approx(plain + per_frame, rel=1e-3)
    network.executor = "unroll"
    with pytest.raises(ValueError, match="conv2d.* add losses .*executor = 'sweep'"):
        network(clip, training=True)
    assert network(clip).shape == clip.shape  # in inference nobody asks for them


@pytest.mark.parametrize("executor", ["sweep", "unroll"])
def test_dropout_drops_in_training_and_anew_at_each_step(
    executor: str, rng: np.random.Generator
) -> None:
    """Keras records the default `training=False` of `Dropout.call` in the graph.

    It was taken for the user's wish, and dropout did nothing in `fit`.
    """
    frame = keras.Input((8, 8, 4))
    network = VideoNetwork(keras.Model(frame, layers.Dropout(0.5)(frame)), executor=executor)
    clip = tf.constant(rng.uniform(1, 2, size=(2, 5, 8, 8, 4)), "float32")
    run = tf.function(lambda values: network(values, training=True))
    dropped = np.asarray(run(clip)) == 0
    assert 0.4 < dropped.mean() < 0.6
    for time in range(4):
        assert np.any(dropped[:, time] != dropped[:, time + 1])
    np.testing.assert_array_equal(network(clip, training=False), clip)


def test_a_clip_without_frames_is_refused() -> None:
    model = chain(2, 3)
    network = VideoNetwork(model, Plan(model, 2, clocks=[1, 2]))
    with pytest.raises(ValueError, match="at least one frame"):
        network.run(np.zeros((2, 0, 8, 8, 2), "float32"), network.initial_state(2))


def penalised(outputs: Any, network: VideoNetwork, clip: np.ndarray) -> np.ndarray:
    """What the penalty saw: the convolution one step before, zeros at first."""
    before = np.asarray(network.frame_model.layers[1](clip.reshape(-1, 4, 4, 2)))
    before = before.reshape(2, 3, 4, 4, 2)
    delayed = np.concatenate([np.zeros_like(before[:, :1]), before[:, :-1]], axis=1)
    np.testing.assert_allclose(outputs, delayed, rtol=1e-4, atol=1e-5)
    return delayed


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_streams_in_mixed_precision_equal_the_clip(
    policy: str, rng: np.random.Generator, restore_dtype_policy: None
) -> None:
    keras.config.set_dtype_policy(policy)
    model = skipping()
    network = VideoNetwork(model, Plan(model, 4, clocks=[1, 2, 2, 2]))
    randomise(network, rng)
    clip = rng.normal(size=(1, 7, 8, 8, 2)).astype("float32")
    whole, stepped = network(clip), stream(network, clip, network.initial_state(1))[0]
    assert keras.backend.standardize_dtype(whole.dtype) == policy.removeprefix("mixed_")
    assert stepped.dtype == np.asarray(whole).dtype
    np.testing.assert_allclose(
        stepped.astype("float32"), np.asarray(whole, "float32"), rtol=0.02, atol=0.02
    )


def test_weights_are_shared_with_the_frame_model(rng: np.random.Generator) -> None:
    model = chain(2, 2)
    network = VideoNetwork(model, Plan(model, 2))
    assert [id(w) for w in network.weights] == [id(w) for w in model.weights]
