"""The reference interpreter against numbers worked out by hand.

All other equality tests trust `reference.py`, so it is checked against numbers, not against code.
Every network here has frames of one pixel and one channel, 1, 2, 3, ...; an "identity" node is a
sum of one term; each row of a table lists the values of a node after each step.
"""

import numpy as np
import pytest
from reference import Interpreter, Node, Placement, conv, flatten, interpret, pool, resolve

EVERY_STEP = (1, 0)


def identity(name: str, *parents: str) -> Node:
    """Make a node that returns its input, or the sum of its inputs."""
    return Node(name, "add", parents)


def digits(name: str, parent: str, window: int) -> Node:
    """Make a temporal convolution that writes its window as a decimal number: 1, 2, 3 -> 123."""
    kernel = 10.0 ** np.arange(window)[::-1].reshape(window, 1, 1, 1, 1)
    return Node(
        name,
        "temporal_conv",
        (parent,),
        {"kernel": kernel, "strides": (1, 1, 1), "padding": "same"},
    )


def pooled(name: str, parent: str, kind: str, window: int) -> Node:
    """Make a temporal pooling."""
    params = {"size": (window, 1, 1), "strides": (1, 1, 1), "padding": "same"}
    return Node(name, kind, (parent,), params)


FRAME = Node("frame", "input", (), {"shape": (1, 1, 1)})


def rows(nodes, subnetworks=None, clocks=None, head=(), steps=6, phase=0, frames=None):
    """Return the values of every node but the input after each step, by name.

    By default, nodes are in subnetwork 0 and tick at every step.
    """
    nodes = [FRAME, *nodes]
    names = [node.name for node in flatten(nodes) if node.kind != "input"]
    placement = Placement(
        dict.fromkeys(names, 0) | (subnetworks or {}),
        dict.fromkeys(names, EVERY_STEP) | (clocks or {}),
        frozenset(head),
    )
    frames = np.arange(1.0, steps + 1) if frames is None else np.asarray(frames, float)
    clip = frames.reshape(1, -1, 1, 1, 1)
    values = interpret(nodes, names, placement, {"frame": clip}, phase)
    return {name: value[0, :, 0, 0, 0].tolist() for name, value in zip(names, values, strict=True)}


def test_a_sequential_network_has_no_delay():
    nodes = [identity("a", "frame"), identity("b", "a"), identity("c", "b")]
    assert rows(nodes)["c"] == [1, 2, 3, 4, 5, 6]


def test_every_boundary_delays_by_one_step():
    nodes = [identity("a", "frame"), identity("b", "a"), identity("c", "b")]
    assert rows(nodes, subnetworks={"b": 1, "c": 2}) == {
        "a": [1, 2, 3, 4, 5, 6],
        "b": [0, 1, 2, 3, 4, 5],
        "c": [0, 0, 1, 2, 3, 4],
    }


def test_a_skip_over_several_boundaries_is_delayed_by_one_step_and_a_frame_by_none():
    nodes = [
        identity("a", "frame"),
        identity("b", "a"),
        identity("skip", "a"),
        identity("direct", "frame"),
    ]
    held = rows(nodes, subnetworks={"b": 1, "skip": 3, "direct": 4})
    assert held["skip"] == [0, 1, 2, 3, 4, 5]
    assert held["direct"] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("clock", "begins", "expected"),
    [
        ((2, 0), 0, [1, 1, 3, 3, 5, 5]),
        ((2, 1), 0, [0, 2, 2, 4, 4, 6]),
        ((3, 2), 0, [0, 0, 3, 3, 3, 6]),
        ((3, 2), 1, [0, 2, 2, 2, 5, 5]),
        ((3, 2), 5, [1, 1, 1, 4, 4, 4]),
        ((9, 7), 0, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_a_clock_ticks_at_its_phase_and_holds_in_between(clock, begins, expected):
    assert rows([identity("a", "frame")], clocks={"a": clock}, phase=begins)["a"] == expected


@pytest.mark.parametrize(
    ("phase", "expected"),
    [(0, [0, 0, 1, 1, 3, 3]), (1, [0, 1, 1, 3, 3, 5])],
)
def test_across_a_boundary_an_aligned_value_waits_a_period_and_a_chained_one_a_step(
    phase, expected
):
    nodes = [identity("a", "frame"), identity("b", "a")]
    held = rows(nodes, subnetworks={"b": 1}, clocks={"a": (2, 0), "b": (2, phase)})
    assert held["b"] == expected


@pytest.mark.parametrize(
    ("subnetwork", "producer", "consumer", "expected"),
    [
        # One clock: a window of the last three frames.
        (0, (1, 0), (1, 0), [1, 12, 123, 234, 345, 456]),
        (1, (1, 0), (1, 0), [0, 1, 12, 123, 234, 345]),
        # A slow consumer still sees three successive ticks of its producer.
        (0, (1, 0), (2, 0), [1, 1, 123, 123, 345, 345]),
        (1, (1, 0), (2, 1), [0, 1, 1, 123, 123, 345]),
        (0, (2, 1), (4, 3), [0, 0, 0, 24, 24, 24]),
        # A fast consumer of a slow producer sees the same ticks twice, not the held value twice.
        (0, (2, 0), (1, 0), [1, 1, 13, 13, 135, 135]),
        (1, (2, 0), (1, 0), [0, 1, 1, 13, 13, 135]),
        (1, (2, 1), (1, 0), [0, 0, 2, 2, 24, 24]),
    ],
)
def test_a_window_holds_the_last_ticks_of_its_producer(subnetwork, producer, consumer, expected):
    nodes = [identity("a", "frame"), digits("window", "a", 3)]
    held = rows(nodes, {"window": subnetwork}, {"a": producer, "window": consumer})
    assert held["window"] == expected


def test_a_window_on_the_input_holds_successive_frames_in_any_subnetwork():
    nodes = [identity("a", "frame"), digits("window", "frame", 2)]
    held = rows(nodes, {"window": 1}, {"window": (2, 1)})
    assert held["window"] == [0, 12, 12, 34, 34, 56]


def test_a_window_before_the_start_is_zero_wherever_the_stream_begins():
    nodes = [identity("a", "frame"), digits("window", "a", 3)]
    held = rows(nodes, clocks={"a": (2, 1), "window": (4, 1)}, phase=3)
    # Steps 3 to 8 read frames 1 to 6. "a" ticks at steps 3, 5, 7, and "window" at step 5 only.
    assert held == {"a": [1, 1, 3, 3, 5, 5], "window": [0, 0, 13, 13, 13, 13]}


def test_the_zeros_before_the_start_count_in_temporal_poolings():
    nodes = [pooled("max", "frame", "temporal_max", 2), pooled("avg", "frame", "temporal_avg", 2)]
    assert rows(nodes, frames=[-1, -2, -4]) == {"max": [0, -1, -2], "avg": [-0.5, -1.5, -3]}


def test_feedback_is_the_value_of_the_previous_step():
    nodes = [
        Node("past", "feedback", ("frame",), {"source": "sum", "shape": (1, 1, 1)}),
        identity("sum", "frame", "past"),
    ]
    assert rows(nodes)["sum"] == [1, 3, 6, 10, 15, 21]
    # At every second step: "past" takes the values of "sum" of steps 1 and 3 at steps 2 and 4.
    assert rows(nodes, clocks={"past": (2, 0)}) == {
        "past": [0, 0, 2, 2, 6, 6],
        "sum": [1, 2, 5, 6, 11, 12],
    }
    # Across a boundary, "sum" reads the "past" of the previous step: two steps old in total.
    assert rows(nodes, {"sum": 1}) == {"past": [0, 1, 2, 4, 6, 9], "sum": [1, 2, 4, 6, 9, 12]}


def test_the_head_reads_this_step():
    nodes = [identity("a", "frame"), identity("b", "a"), identity("sum", "a", "b")]
    held = rows(nodes, {"b": 1, "sum": 2}, {"a": (2, 0)}, head=["sum"])
    assert held == {
        "a": [1, 1, 3, 3, 5, 5],
        "b": [0, 1, 1, 3, 3, 5],
        "sum": [1, 2, 4, 6, 8, 10],
    }


def test_a_window_of_the_head_sees_this_steps_tick():
    nodes = [identity("a", "frame"), digits("window", "a", 2)]
    held = rows(nodes, {"window": 1}, {"a": (2, 0)}, head=["window"])
    assert held["window"] == [1, 1, 13, 13, 35, 35]


def test_the_calls_of_a_shared_layer_have_a_window_each():
    nodes = [digits("window", "frame", 2), digits("window:1", "window", 2)]
    assert rows(nodes, steps=3) == {"window": [1, 12, 23], "window:1": [1, 22, 143]}


def test_a_nested_model_is_flattened():
    inner = (
        Node("x", "input", (), {"shape": (1, 1, 1)}),
        identity("double", "x", "x"),
        identity("copy", "double"),
    )
    nodes = [
        identity("a", "frame"),
        Node("outer", "model", ("a",), {"nodes": inner, "output": "copy"}),
        identity("b", "outer"),
    ]
    assert rows(nodes, {"outer/copy": 1, "b": 1}, steps=4) == {
        "a": [1, 2, 3, 4],
        "outer/double": [2, 4, 6, 8],
        "outer/copy": [0, 2, 4, 6],
        "b": [0, 2, 4, 6],
    }
    assert resolve(nodes, "outer") == "outer/copy"
    assert resolve(nodes, "a") == "a"


def test_streams_of_a_batch_do_not_mix():
    placement = Placement({"a": 0}, {"a": (2, 1)})
    streams = Interpreter([FRAME, identity("a", "frame")], placement, batch_size=2)
    for t, expected in enumerate([(0, 0), (2, 20), (2, 20), (4, 40)]):
        frame = np.array([t + 1.0, 10 * (t + 1.0)]).reshape(2, 1, 1, 1)
        assert tuple(streams.step({"frame": frame})["a"].ravel()) == expected


# The layers, on one row of pixels.


def row(*pixels: float) -> np.ndarray:
    """Make an image ``[1, 1, W, 1]``."""
    return np.array(pixels, float).reshape(1, 1, -1, 1)


@pytest.mark.parametrize(
    ("stride", "padding", "expected"),
    [
        (1, "same", [12, 123, 234, 340]),
        (2, "same", [123, 340]),  # the one pixel of padding is at the end
        (1, "valid", [123, 234]),
        (2, "valid", [123]),
    ],
)
def test_convolution(stride, padding, expected):
    kernel = np.array([100.0, 10.0, 1.0]).reshape(1, 3, 1, 1)
    y = conv(row(1, 2, 3, 4), kernel, (1, stride), padding)
    assert y.ravel().tolist() == expected


def test_convolution_sums_over_channels_and_rows():
    x = np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])[None]  # [1, 2, 2, 2]
    kernel = np.array([[[[1.0], [10.0]]], [[[100.0], [1000.0]]]])  # [2, 1, 2, 1]
    assert conv(x, kernel, (1, 1), "valid").ravel().tolist() == [6521, 8743]


@pytest.mark.parametrize(
    ("reduce", "size", "stride", "padding", "expected"),
    [
        # Pixels outside the border count neither in a maximum nor in a mean.
        (np.max, 3, 1, "same", [-1, -1, -2, -4]),
        (np.mean, 3, 1, "same", [-1.5, -7 / 3, -14 / 3, -6]),
        (np.mean, 3, 2, "same", [-7 / 3, -6]),
        (np.max, 2, 2, "valid", [-1, -4]),
        (np.mean, 2, 1, "valid", [-1.5, -3, -6]),
    ],
)
def test_pooling(reduce, size, stride, padding, expected):
    y = pool(row(-1, -2, -4, -8), (1, size), (1, stride), padding, reduce)
    np.testing.assert_allclose(y.ravel(), expected)
