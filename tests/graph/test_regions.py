"""Regions: which nodes become one node, and what the plan says of them."""

from collections.abc import Callable

import keras
import pytest
from keras import layers, ops
from regrouping_models import (
    branching,
    group_convolution,
    in_a_row,
    partition,
    pixels,
    reverse,
    time_major,
    windows,
    wrapped,
)

from keras_layers import Feedback, TemporalConv3D
from mpvn import Plan
from mpvn.graph.reading import read_graph
from mpvn.graph.regions import Region
from mpvn.models.surgery.rebuild import rebuild
from mpvn.models.surgery.transfer import layers_with_weights
from mpvn.plan.resolve import PlanError


def regions_of(model: keras.Model) -> list[Region]:
    return [node for node in read_graph(model).nodes if isinstance(node, Region)]


def kinds(region: Region) -> list[str]:
    """Return the classes of the operations of a region."""
    return [type(call.operation).__name__ for call in region.calls]


def test_a_region_spans_only_the_nodes_without_the_batch_axis() -> None:
    graph = read_graph(wrapped(windows))
    (region,) = regions_of(graph.model)
    assert kinds(region) == ["Reshape", "Dense", "Reshape"]
    assert [type(node.operation).__name__ for node in graph.nodes] == [
        *("Conv2D", "Reshape", "Transpose", "RegionOperation", "Transpose", "Reshape", "Conv2D")
    ]
    # The split of axes 1 and 2 keeps the batch axis, so a plan may divide the model there.
    assert [t.shape for t in graph.tensors if t.producer == region.index] == [(2, 2, 2, 2, 4)]


def test_regions_in_a_row_stay_apart() -> None:
    assert list(map(kinds, regions_of(wrapped(in_a_row)))) == 2 * [["Reshape", "Dense", "Reshape"]]


def test_a_path_that_leaves_and_comes_back_is_inside() -> None:
    (region,) = regions_of(wrapped(branching))
    assert kinds(region).count("Dense") == 3
    graph = read_graph(wrapped(branching))
    assert [node.index for node in graph.nodes] == list(range(len(graph.nodes)))
    for node in graph.nodes:
        assert all(producer.index < node.index for producer in graph.producers(node))


def test_a_tensor_that_nobody_reads_does_not_leave() -> None:
    class WithMean(layers.Layer):
        def call(self, x):
            return x + 1, ops.mean(x)

    graph = read_graph(wrapped(lambda x: WithMean()(x)[0]))
    (region,) = regions_of(graph.model)
    assert [graph.tensors[index].shape for index in region.outputs] == [(4, 4, 4)]


def test_names_inside_a_region_are_refused() -> None:
    model = wrapped(windows)
    (region,) = regions_of(model)
    first, inside, last = (call.name for call in region.calls)
    assert Plan(model, boundaries=[first]).subnetworks == 2
    message = f"'{inside}' is inside the indivisible region '{first}' to '{last}'"
    for arguments in (
        {"boundaries": [inside]},
        {"clocks": {inside: 2}},
        {"phases": {inside: 0}},
        {"head": inside},
    ):
        with pytest.raises(PlanError, match=message):
            Plan(model, **arguments)


@pytest.mark.parametrize(
    ("function", "cost"),
    [
        (windows, 16 * 4 * 4),
        (pixels, 16 * 4 * 4),
        (time_major, 16 * 4 * 4),
        (group_convolution, 2 * 16 * 9 * 2 * 2),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_cost_of_a_region_is_that_of_one_frame(function: Callable, cost: int) -> None:
    plan = Plan(wrapped(function))
    (region,) = (node for node in plan.graph.nodes if isinstance(node, Region))
    assert plan.node_costs[region.index] == cost


@pytest.mark.parametrize("memory", ["temporal", "feedback"])
def test_layers_with_a_memory_are_refused_inside(memory: str) -> None:
    def function(x):
        windows = partition(x)
        if memory == "temporal":
            return reverse(TemporalConv3D(4, (2, 1, 1), name="remembers")(windows))
        return reverse(windows + Feedback("after", (2, 2, 4), name="remembers")(windows))

    with pytest.raises(ValueError, match="layer 'remembers' remembers earlier frames .* between"):
        Plan(wrapped(function))


def test_a_region_passes_the_training_mode_on() -> None:
    (region,) = regions_of(wrapped(lambda x: reverse(layers.Dropout(0.5)(partition(x)))))
    ones = ops.ones((3, 2, 2, 2, 2, 4))
    for training in (False, True):
        (values,) = region.call([ones], training)
        assert bool(ops.any(values == 0)) == training


def test_regions_in_nested_models_and_surgery() -> None:
    inner = keras.Input((4, 4, 4))
    block = keras.Model(inner, windows(inner), name="block")
    model = wrapped(block)
    (region,) = regions_of(model)
    assert region.name.startswith("block/")
    assert any(name.startswith("block/dense") for name in layers_with_weights(model))
    graph = read_graph(model)
    again = rebuild(graph, lambda values, tensor, _: values[tensor], "again")
    x = keras.random.normal((2, 4, 4, 2))
    assert bool(ops.all(model(x) == again(x)))
