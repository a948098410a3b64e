"""The arguments that a plan rejects."""

import re

import keras
import pytest
from keras import layers
from small_models import causal, chain, looping, unit_model

import keras_layers
from mpvn import Plan, PlanError

REJECTED = {
    "unknown boundary": ({"boundaries": ["c9"]}, "boundaries: no node is named 'c9'.*as 'c"),
    "first node": ({"boundaries": ["c0"]}, "boundaries: 'c0' is the first node"),
    "boundary in head": ({"boundaries": ["c2"], "head": "c2"}, "'c2' is in the head"),
    "repeated": ({"boundaries": ["c1", "c1"]}, "'c1' appears twice"),
    "too many": ({"subnetworks": 4}, "1 to 3, because the model has 3 nodes.*Received: 4"),
    "zero": ({"subnetworks": 0}, "expected 1 to 3.*Received: 0"),
    "a name alone": ({"boundaries": "c1"}, "a list of node names. Received: 'c1'"),
    "names as subnetworks": ({"subnetworks": ["c1"]}, "expected an int.*use boundaries="),
    "both": ({"subnetworks": 2, "boundaries": ["c1"]}, "either subnetworks or boundaries"),
    "partition": (
        {"subnetworks": 2, "partition": "fair"},
        "one of equal, balanced, units, branches. Received: 'fair'",
    ),
    "clock list": ({"subnetworks": 3, "clocks": [1, 2]}, r"the 3 subnetworks. Received: \[1, 2"),
    "rate zero": ({"clocks": [0]}, r"a list of rates >= 1.*Received: \[0\]"),
    "clock word": ({"clocks": "slow"}, "clocks: expected None.*Received: 'slow'"),
    "clock name": ({"clocks": {"c9": 2}}, "clocks: no node is named 'c9'"),
    "clock rate": ({"clocks": {"c1": 1.5}}, "expected a rate >= 1 for 'c1'. Received: 1.5"),
    "rate below": (
        {"subnetworks": 3, "clocks": [1, 4, 2]},
        "'c2' has clock rate 2, below the rate 4 of its inputs.*at least 4",
    ),
    "phase list": ({"subnetworks": 2, "phases": [0]}, "phases: expected a list.*2 subnetworks"),
    "phase word": (
        {"phases": "random"},
        'phases: expected "aligned", "chain", "flat", "fresh", a list.*\'random\'',
    ),
    "phase name": ({"phases": {"c9": 0}}, "phases: no node is named 'c9'"),
    "phase beyond rate": (
        {"clocks": {"c1": 2}, "phases": {"c1": 2}},
        "'c1' ticks every 2 steps. Expected a phase from 0 to 1. Received: 2",
    ),
    "devices": ({"subnetworks": 2, "devices": ["/CPU:0"]}, "devices: .*2 subnetworks.*/CPU:0"),
    "device": ({"devices": ["/GPU:first"]}, "such as '/GPU:0'. Received: '/GPU:first'"),
    "head": ({"head": "c9"}, "head: no node is named 'c9'"),
}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return chain(2, 2, 2)


@pytest.mark.parametrize(("options", "message"), REJECTED.values(), ids=REJECTED)
def test_a_plan_rejects(options: dict, message: str, model: keras.Model) -> None:
    with pytest.raises(PlanError, match=message) as raised:
        Plan(model, **options)
    assert "does not fit the model 'chain'" in str(raised.value)


def test_a_plan_rejects_more_subnetworks_than_units_and_lists_the_units() -> None:
    message = "expected 1 to 3, because the model has 3 units to divide: stem, b1, b2. Received: 4"
    with pytest.raises(PlanError, match=re.escape(message)):
        model = unit_model("stem.a", "b1.a", "b1.b", "b2.a", "head.a")
        Plan(model, 4, partition="units", head="head")


def test_a_plan_rejects_units_of_a_model_without_units(model: keras.Model) -> None:
    with pytest.raises(PlanError, match="named \"unit.part\".*first node is 'c0'"):
        Plan(model, 2, partition="units")


def test_a_plan_rejects_a_clock_that_contradicts_a_temporal_stride() -> None:
    with pytest.raises(PlanError, match="'t1' has a temporal stride of 2 over an input of rate 1"):
        Plan(causal((2, 1), (2, 2)), clocks={"t1": 3})


def test_a_plan_rejects_layers_that_look_into_the_future_in_a_pipeline() -> None:
    frame = keras.Input((4, 4, 1))
    x = keras_layers.TemporalConv3D(1, 3, temporal_padding="symmetric", name="both")(frame)
    with pytest.raises(PlanError, match="'both' looks into the future.*causal"):
        Plan(keras.Model(frame, layers.ReLU()(x)), 2)


def test_a_plan_rejects_feedback_from_an_unknown_node() -> None:
    with pytest.raises(PlanError, match="feedback 'loop': no node is named 'opinon'.*'opinion'"):
        Plan(looping(source="opinon"))


def test_a_plan_rejects_feedback_of_another_shape() -> None:
    with pytest.raises(PlanError, match=r"'loop': expected an output of shape \(8, 8, 2\) from"):
        Plan(looping(shape=(8, 8, 2)))


def test_a_plan_rejects_a_subclassed_model() -> None:
    class Subclassed(keras.Model):
        pass

    with pytest.raises(TypeError, match="model that is built.*Subclassed"):
        Plan(Subclassed())


def test_one_error_lists_all_faults(model: keras.Model) -> None:
    with pytest.raises(PlanError) as raised:
        Plan(model, boundaries=["c7", "c8"], clocks={"c9": 0}, head="c6")
    for fault in ("head: no node is named 'c6'", "'c7'", "'c8'", "a rate >= 1 for 'c9'"):
        assert fault in str(raised.value)
    with pytest.raises(PlanError) as raised:
        Plan(model, 2, clocks=[0, 1], phases=[0], devices=["/GPU:first", None])
    for fault in ("clocks: expected a list", "phases: expected a list", "'/GPU:first'"):
        assert fault in str(raised.value)


def test_a_fault_of_the_boundaries_does_not_hide_other_faults(model: keras.Model) -> None:
    with pytest.raises(PlanError) as raised:
        Plan(model, boundaries=["c9"], phases="random", devices=["/GPU:first"])
    for fault in ("'c9'", "'random'", "'/GPU:first'"):
        assert fault in str(raised.value)


def test_one_error_lists_the_faults_of_all_nodes() -> None:
    with pytest.raises(PlanError) as raised:
        Plan(chain(2, 2, 2, 2), clocks={"c0": 4, "c1": 2, "c2": 1, "c3": 1})
    assert len(re.findall("below the rate", str(raised.value))) == 2
