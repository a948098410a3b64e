"""The architecture figure matches the plan: bars, boundaries, arcs, feedback, clocks, head.

The expected values come from the plan's graph, not from the bars and links that are drawn.
"""

import itertools
import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import NamedTuple

import keras
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from keras import layers
from network_data import to_keras
from random_networks import networks, settings_for
from small_models import causal, chain, looping, skipping
from svg_figures import (
    SVG,
    assert_inside,
    assert_texts_do_not_overlap,
    of_class,
    parsed,
    texts,
)

from keras_layers.feedback import Feedback
from mpvn.models import multi_scale
from mpvn.plan import Plan, PlanError
from mpvn.plan.clock import Clock
from mpvn.report import architecture_figure
from mpvn.report.wording import clock_phrases


def unit_model() -> keras.Model:
    """Units: a stem, residual blocks of norm, relu, conv and add, and a head."""
    value = frame = keras.Input((16, 16, 3), name="frame")
    value = layers.Conv2D(4, 3, strides=2, padding="same", name="stem.conv")(value)
    for block in ("block1", "block2", "block3"):
        inner = layers.BatchNormalization(name=f"{block}.norm")(value)
        inner = layers.ReLU(name=f"{block}.relu")(inner)
        inner = layers.Conv2D(4, 3, padding="same", name=f"{block}.conv")(inner)
        value = layers.Add(name=f"{block}.add")([value, inner])
    value = layers.GlobalAveragePooling2D(name="head.mean")(value)
    return keras.Model(frame, layers.Dense(5, name="head.scores")(value), name="units")


def merging() -> keras.Model:
    """`a` padded, normalized and activated; `b`; then `flat`, `scores` and `best`."""
    value = frame = keras.Input((8, 8, 3), name="frame")
    value = layers.ZeroPadding2D(1, name="pad")(value)
    value = layers.Conv2D(4, 3, name="a")(value)
    value = layers.BatchNormalization(name="a_norm")(value)
    value = layers.ReLU(name="a_relu")(value)
    value = layers.ZeroPadding2D(1, name="b_pad")(value)
    value = layers.Conv2D(4, 3, strides=2, name="b")(value)
    value = layers.MaxPooling2D(2, name="pool")(value)
    value = layers.Flatten(name="flat")(value)
    value = layers.Dense(5, name="scores")(value)
    return keras.Model(frame, layers.Softmax(name="best")(value), name="merging")


def two_loops() -> keras.Model:
    """Two inputs; `far` feeds back the last map, `own` a loop of its own."""
    frame = keras.Input((8, 8, 3), name="frame")
    depth = keras.Input((8, 8, 1), name="depth")
    far = Feedback("joined", (8, 8, 5), name="far")(frame)
    own = layers.ReLU(name="own_relu")(Feedback("own_relu", (8, 8, 2), name="own")(frame))
    value = layers.Conv2D(2, 3, padding="same", name="first")(frame)
    value = layers.Concatenate(name="read")([value, far, own])
    value = layers.Conv2D(4, 3, padding="same", name="second")(value)
    value = layers.Concatenate(name="joined")([value, depth])
    scores = layers.Dense(3, name="scores")(layers.GlobalMaxPooling2D(name="mean")(value))
    return keras.Model([frame, depth], [value, scores], name="two_loops")


def long_chain(length: int) -> keras.Model:
    value = frame = keras.Input((4, 4, 2), name="frame")
    for index in range(length):
        value = layers.Conv2D(2, 1, name=f"convolution_{index}")(value)
    return keras.Model(frame, value, name="long_chain")


def application(name: str) -> keras.Model:
    return getattr(keras.applications, name)(weights=None, input_shape=(96, 96, 3))


PLANS: dict[str, Callable[[], Plan]] = {
    "one bar": lambda: Plan(keras.Sequential([keras.Input((4, 4, 1)), layers.ReLU()])),
    "vectors": lambda: Plan(keras.Sequential([keras.Input((7,)), layers.Dense(2)])),
    "chain": lambda: Plan(chain(3, 4, 5, 6, 7), 5, clocks=[1, 1, 2, 2, 4]),
    "period": lambda: Plan(chain(*range(2, 14)), 12, clocks=[1] * 4 + [3] * 4 + [48] * 4),
    "skip": lambda: Plan(skipping(), boundaries=["c1", "c2"], clocks=[1, 2, 4]),
    "skip into head": lambda: Plan(skipping(), boundaries=["c2"], head="sum"),
    "feedback": lambda: Plan(looping(), 2),
    "sequential feedback": lambda: Plan(looping(source="merge")),
    "feedbacks": lambda: Plan(two_loops(), 3),
    "feedbacks and head": lambda: Plan(two_loops(), 2, head="mean"),
    "temporal": lambda: Plan(causal((3, 1), (2, 2), (2, 1)), 2),
    "merging": lambda: Plan(merging(), boundaries=["a_relu", "b"]),
    "units": lambda: Plan(unit_model(), 3, partition="units", clocks=[1, 2, 3], head="head"),
    "circle": lambda: Plan(chain(3, 4, 5, 6), assignment={"c1": 1, "c2": 2, "c3": 0}),
    "MobileNetV2": lambda: Plan(application("MobileNetV2"), 4, clocks="auto"),
    "DenseNet121": lambda: Plan(
        multi_scale(application("DenseNet121")), 4, clocks=[1, 2, 4, 8], head="features"
    ),
    "300 layers": lambda: Plan(
        long_chain(300), 30, clocks=[2 ** (index // 8) for index in range(30)]
    ),
}


def drawn(plan: Plan) -> ET.Element:
    return parsed(architecture_figure(plan))


class Bar(NamedTuple):
    """A bar as drawn."""

    nodes: tuple[str, ...]
    subnetwork: int
    clock: Clock
    element: ET.Element

    @property
    def middle(self) -> float:
        return float(self.element.get("x")) + float(self.element.get("width")) / 2


def bars(root: ET.Element) -> list[Bar]:
    """The bars from left to right."""
    found = []
    for group in root.iter(f"{SVG}g"):
        for rect in of_class(group, "bar"):
            names = tuple(rect.findtext(f"{SVG}title").split("\n")[0].split(", "))
            assert rect.get("data-node") == names[0]
            clock = Clock(int(rect.get("data-rate")), int(rect.get("data-phase")))
            found.append(Bar(names, int(group.get("data-subnetwork")), clock, rect))
    return found


def links(root: ET.Element, kind: str) -> set[tuple[str, str, int]]:
    """The arcs or feedback lines as (source bar, reading bar, delay)."""
    elements = of_class(root, kind)
    found = {(e.get("data-from"), e.get("data-to"), int(e.get("data-delay"))) for e in elements}
    assert len(found) == len(elements)
    return found


# --- what every figure must show ----------------------------------------------------------------


def assert_bars_match(plan: Plan, root: ET.Element) -> None:
    found = bars(root)
    assert sorted(name for bar in found for name in bar.nodes) == sorted(plan.nodes)
    for bar in found:
        assert {plan.subnetwork_of[name] for name in bar.nodes} == {bar.subnetwork}
        assert {plan.clock_of[name] for name in bar.nodes} == {bar.clock}
    first = [plan.nodes.index(bar.nodes[0]) for bar in found]
    assert first == sorted(first)
    assert all(a.middle < b.middle for a, b in itertools.pairwise(found))
    boundaries = [line.get("data-node") for line in of_class(root, "boundary")]
    subnetworks = range(plan.subnetworks)  # not the head, which has a place of its own
    assert boundaries == [
        bar.nodes[0]
        for before, bar in itertools.pairwise(found)
        if bar.subnetwork in subnetworks and bar.subnetwork != before.subnetwork
    ]


def assert_links_match(plan: Plan, root: ET.Element) -> None:
    """Each edge is an arc, except edges between neighbors within a step."""
    graph, found = plan.graph, bars(root)
    inputs = [graph.tensors[index].name for index in graph.inputs]
    order = inputs + [bar.nodes[0] for bar in found]
    bar_of = {name: bar.nodes[0] for bar in found for name in bar.nodes}
    expected = set()
    for node in graph.nodes:
        for tensor in () if node.feedback_source else node.inputs:
            producer = graph.producer(tensor)
            read = graph.tensors[tensor].name if producer is None else bar_of[producer.name]
            edge = (read, bar_of[node.name], plan.delay(producer, node))
            beside = order.index(edge[1]) - order.index(edge[0]) == 1
            if read != bar_of[node.name] and (edge[2] or not beside):
                expected.add(edge)
    assert links(root, "arc") == expected
    assert links(root, "feedback") == {
        (bar_of[node.feedback_source], bar_of[node.name], 1)
        for node in graph.nodes
        if node.feedback_source
    }
    for arc in of_class(root, "arc"):
        assert (float(arc.get("stroke-width")) > 2) == (arc.get("data-delay") == "1")


def assert_ticks_match(plan: Plan, root: ET.Element) -> None:
    """There is a dash below a bar at exactly the steps at which its nodes compute."""
    lines = of_class(root, "ticks")
    row = min((float(line.get("stroke-dasharray").split()[0]) + 1 for line in lines), default=1.0)
    bottom = max(float(line.get("y2")) for line in lines)
    steps = min(plan.period, 32)
    for bar in bars(root):
        ticks = []
        for line in lines:
            if abs(float(line.get("x1")) - bar.middle) < float(line.get("stroke-width")) / 2:
                repeat = sum(map(float, line.get("stroke-dasharray").split())) / row
                start = (float(line.get("y1")) - (bottom - steps * row)) / row
                ticks += [math.floor(start + k * repeat) for k in range(99)]
        expected = [step for step in range(steps) if bar.clock.ticks(step)]
        assert [step for step in ticks if step < steps] == expected


def assert_head_is_marked(plan: Plan, root: ET.Element) -> None:
    assert len(of_class(root, "head")) == (plan.head is not None)
    assert ("head" in texts(root)) == (plan.head is not None)
    head = [bar.nodes[0] for bar in bars(root) if bar.subnetwork == plan.subnetworks]
    assert head[:1] == ([plan.head] if plan.head else [])


CHECKS: tuple[Callable[[Plan, ET.Element], None], ...] = (
    assert_bars_match,
    assert_links_match,
    assert_ticks_match,
    assert_head_is_marked,
    lambda _, root: assert_inside(root),
    lambda _, root: assert_texts_do_not_overlap(root),
)


@pytest.mark.parametrize("name", PLANS)
def test_figure_matches_its_plan_and_is_small_and_deterministic(name: str) -> None:
    plan = PLANS[name]()
    svg = architecture_figure(plan)
    assert svg == architecture_figure(plan)
    assert len(svg.encode()) < 250_000
    root = parsed(svg)
    for check in CHECKS:
        check(plan, root)


@settings(
    max_examples=int(os.environ.get("MPVN_EXAMPLES", "12")),
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_figure_of_a_random_network_matches_its_plan(data: st.DataObject) -> None:
    network = data.draw(networks())
    model = to_keras(network)
    config = data.draw(settings_for(network, Plan(model, 1).nodes))
    try:
        plan = Plan(model, **config.plan_arguments())
    except PlanError:
        reject()  # Other tests check which plans fit.
    root = drawn(plan)
    for check in CHECKS:
        check(plan, root)


# --- single marks -------------------------------------------------------------------------------


def test_normalization_activation_and_padding_share_a_bar() -> None:
    assert [bar.nodes for bar in bars(drawn(Plan(merging())))] == [
        ("pad",),  # Pads the frame, which is not a node.
        ("a", "a_norm", "a_relu", "b_pad"),
        ("b",),
        ("pool", "flat"),
        ("scores", "best"),
    ]


def test_boundary_or_clock_ends_a_bar() -> None:
    plan = Plan(merging(), boundaries=["a_relu"], clocks={"best": 2})
    assert [bar.nodes for bar in bars(drawn(plan))][1:] == [
        ("a", "a_norm"),
        ("a_relu", "b_pad"),
        ("b",),
        ("pool", "flat"),
        ("scores",),
        ("best",),
    ]


def test_bar_belongs_to_one_unit() -> None:
    root = drawn(Plan(unit_model()))
    nodes = [bar.nodes for bar in bars(root)]
    assert nodes[:3] == [("stem.conv",), ("block1.norm", "block1.relu"), ("block1.conv",)]


def test_bar_length_is_map_size_and_bars_without_multiply_adds_are_faint() -> None:
    root = drawn(Plan(merging()))
    lengths = {bar.nodes[0]: float(bar.element.get("height")) for bar in bars(root)}
    assert lengths["pad"] > lengths["a"] > lengths["b"] > lengths["pool"] > lengths["scores"]
    # A log scale: from 8 to 4 is as far as from 4 to 2.
    assert lengths["a"] - lengths["b"] == pytest.approx(lengths["b"] - lengths["pool"], abs=0.02)
    faint = [bar.nodes[0] for bar in bars(root) if bar.element.get("fill-opacity")]
    assert faint == ["pad", "pool"]


def test_tooltip_names_nodes_shape_work_subnetwork_and_clock() -> None:
    plan = Plan(skipping(), boundaries=["c1", "c2"], clocks=[1, 2, 4])
    titles = {bar.nodes[0]: bar.element.findtext(f"{SVG}title") for bar in bars(drawn(plan))}
    assert titles["c1"].split("\n")[1:] == [
        "8 × 8 × 2, 256 multiply-adds",
        "subnetwork 1, every 2nd step, from 1",
    ]
    memory = bars(drawn(Plan(causal((3, 1)))))[0].element.findtext(f"{SVG}title")
    assert memory.endswith("subnetwork 0, every step, sees 3 ticks")


@pytest.mark.parametrize(
    ("build", "kind", "names"),
    [
        (lambda: Plan(skipping()), "layer", ["c0", "c1", "c2", "sum"]),
        (lambda: Plan(unit_model()), "unit", ["stem", "block1", "block2", "block3", "head"]),
        (lambda: Plan(long_chain(80), 2), "begins at", ["convolution_0", "convolution_40"]),
    ],
)
def test_labels_name_units_or_layers_or_first_bars_of_subnetworks(
    build: Callable[[], Plan], kind: str, names: list[str]
) -> None:
    root = drawn(build())
    assert [label.text for label in of_class(root, "label")] == names
    assert kind in texts(root)


def test_long_names_keep_their_ends() -> None:
    model = keras.Sequential([keras.Input((4, 4, 1))])
    for number in (1, 2):
        model.add(layers.Conv2D(1, 1, name=f"a_layer_with_a_rather_long_name_{number}"))
    labels = [label.text for label in of_class(drawn(Plan(model)), "label")]
    assert labels == ["a_layer_wit…_long_name_1", "a_layer_wit…_long_name_2"]


def test_legend_explains_only_marks_in_the_figure() -> None:
    straight, everything = texts(drawn(Plan(chain(3)))), texts(drawn(Plan(two_loops(), 3)))
    explanations = [
        "read in the same step",
        "read across a boundary, one step later",
        "feedback, one step later",
    ]
    assert not set(explanations) & set(straight)
    assert set(explanations) <= set(everything)


def test_outputs_are_marked() -> None:
    marked = [
        polygon.get("data-node") for polygon in drawn(Plan(two_loops())).iter(f"{SVG}polygon")
    ]
    assert [name for name in marked if name] == ["joined", "scores"]


def test_only_the_first_steps_of_a_long_period_are_drawn() -> None:
    plan = Plan(chain(2, 3), 2, clocks=[1, 64])
    assert "2 nodes in 2 bars · period 64 steps, first 32 shown" in texts(drawn(plan))
    late = Plan(chain(2, 3), 2, clocks=[1, 64], phases=[0, 40])
    assert len(of_class(drawn(late), "ticks")) == 1


@pytest.mark.parametrize(
    ("clock", "phrase"),
    [
        (Clock(1), "every step"),
        (Clock(2, 1), "every 2nd step, from 1"),
        (Clock(3), "every 3rd step, from 0"),
        (Clock(11, 4), "every 11th step, from 4"),
        (Clock(21), "every 21st step, from 0"),
        (Clock(112), "every 112th step, from 0"),
    ],
)
def test_clock_phrases(clock: Clock, phrase: str) -> None:
    assert clock_phrases(clock)[0] == phrase


def test_names_are_escaped() -> None:
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(1, 1, name="<b>&")])
    assert bars(drawn(Plan(model)))[0].nodes == ("<b>&",)
