"""`mpvn plan --profile` and `--fps`: what is planned by times, and what is said of it."""

import json
import pathlib
from collections.abc import Sequence

import keras
import pytest
from command_line import assert_mistake, mpvn

from mpvn import Plan, VideoNetwork, runtime
from mpvn.runtime import Profile
from mpvn.runtime.profile import structure

MILLISECONDS = {"conv0": 6, "conv1": 6, "conv2": 4}


def fake_profile(
    model: keras.Model, runtime: str = "tensorflow", precision: str = "float32", *_: object
) -> Profile:
    """Return times without a measurement: 16 ms, or half as much in bfloat16."""
    graph = Plan(model).graph
    factor = 0.5 if precision == "bfloat16" else 1.0
    seconds = [1e-3 * factor * MILLISECONDS.get(name, 0) for name in graph.names]
    settings = {"runtime": runtime, "precision": precision, "threads": None}
    return Profile(
        model.name, graph.names, structure(graph), tuple(seconds), 0.0, settings, {"cpu": "a CPU"}
    )


class FakeSteps:
    """Steps that take so many times as long as their nodes.

    Attributes:
        plans: the plans whose steps were measured.
    """

    def __init__(self, factor: float) -> None:
        self.plans: list[Plan] = []
        self._factor = factor

    def __call__(self, plan: Plan, runtime: str, precision: str, threads: int) -> Sequence[float]:
        self.plans.append(plan)
        exact = plan.with_costs(fake_profile(plan.graph.model, runtime, precision))
        return [self._factor * cost / 1e9 for cost in exact.step_costs]


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> FakeSteps:
    fake = FakeSteps(1.0)
    monkeypatch.setattr(runtime, "measure_profile", fake_profile)
    monkeypatch.setattr(runtime, "measure_steps", fake)
    return fake


def test_a_plan_of_times_is_printed_and_its_times_are_written_and_read(
    model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    times, target = tmp_path / "times.json", tmp_path / "plan.json"
    options = ["--subnetworks", 2, "--partition", "balanced", "--clocks", "2*auto:1"]
    options += ["--phases", "flat"]
    assert mpvn("plan", model, *options, "--profile", "--profile-json", times) == 0
    printed = capsys.readouterr().out
    assert "worst step: 10.0 ms, 1.25 of the mean" in printed
    assert "measured time, without clocks      16.0 ms per frame" in printed
    assert mpvn("plan", model, *options, "--costs", times, "--json", target) == 0
    assert capsys.readouterr().out.startswith(printed.partition("\n\nwritten")[0])
    loaded = keras.saving.load_model(model)
    plan = Plan.from_config(loaded, json.loads(target.read_text()))
    assert plan.subnetwork_of["relu0"] == 0 and plan.subnetwork_of["conv1"] == 1
    assert [plan.clock_of[name].phase for name in ("conv0", "conv1")] == [0, 1]


def test_what_is_fast_enough_stays_as_it_is(
    model: pathlib.Path, capsys: pytest.CaptureFixture, steps: FakeSteps
) -> None:
    assert mpvn("plan", model, "--fps", 50, "--runtime", "tensorflow") == 0
    printed = capsys.readouterr().out
    assert "frame rate                         50 frames/s, 20.0 ms for each step" in printed
    assert "worst step, measured               16.0 ms, a margin of 20 %" in printed
    assert "given up                           nothing" in printed
    assert [plan.subnetworks for plan in steps.plans] == [1]


def test_a_lower_precision_is_preferred_to_slow_clocks(
    model: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    assert mpvn("plan", model, "--fps", 100) == 0
    printed = capsys.readouterr().out
    assert "worst step, computed               8.00 ms, a margin of 20 %" in printed
    assert "given up                           values are computed in bfloat16" in printed


def test_slow_clocks_are_searched_until_the_measured_steps_keep_the_rate(
    model: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Steps take 1.4 times as long as their nodes: of 12 ms there are only 8.6."""
    steps, target = FakeSteps(1.4), tmp_path / "plan.json"
    monkeypatch.setattr(runtime, "measure_steps", steps)
    options = ["--fps", "1000/12", "--precision", "float32", "--json", target]
    assert mpvn("plan", model, *options) == 0
    output = capsys.readouterr()
    assert "1.40 times as long as the sum of its nodes" in output.err
    assert len(steps.plans) == 2
    plan = Plan.from_config(keras.saving.load_model(model), json.loads(target.read_text()))
    assert plan == steps.plans[-1]
    exact = plan.with_costs(fake_profile(plan.graph.model))
    assert 1.4 * max(exact.step_costs) <= 12e6 < 1.4 * max(steps.plans[0].step_costs)
    assert "the network computes something else than the model by its own plan" in output.out
    assert f"outputs tell of frames {plan.mean_age:.1f} steps old" in output.out


def test_a_saved_network_keeps_its_plan_if_that_is_fast_enough(
    model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    loaded = keras.saving.load_model(model)
    network = VideoNetwork(loaded, Plan(loaded, 2, clocks="auto"))
    network.save(tmp_path / "network.keras")
    saved = tmp_path / "network.keras"
    assert mpvn("plan", saved, "--fps", 50, "--runtime", "tensorflow") == 0
    printed = capsys.readouterr().out
    assert "subnetworks                        2" in printed
    assert "given up                           nothing" in printed
    assert mpvn("plan", saved, "--fps", 50, "--latency", 0, "--runtime", "tensorflow") == 0
    printed = capsys.readouterr().out
    assert "subnetworks                        1" in printed
    assert "something else than the model by its own plan" in printed


def test_a_rate_out_of_reach_is_a_message_with_what_would_help(
    model: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "plan.json"
    options = ["--precision", "float32", "--json", target, "--profile-json", tmp_path / "t.json"]
    wanted = "Expected steps of at most 5.00 ms.*a rate of at most .* frames/s.*a runtime or a prec"
    assert_mistake(wanted, "plan", model, "--fps", 200, "--latency", 1, *options)
    monkeypatch.setattr(runtime, "measure_steps", FakeSteps(1e9))
    assert_mistake("no plan was found", "plan", model, "--fps", 100, *options)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fps", 0], "--fps: expected a number above 0. Received: 0"),
        (["--fps", "fast"], "invalid rate value: 'fast'"),
        (["--latency", 1], "Add --fps RATE"),
        (["--fps", 30, "--latency", -1], "--latency: expected at least 0. Received: -1"),
        (["--costs", "times.json", "--profile"], "Leave out --profile"),
        (["--costs", "none.json"], "none.json"),
        (["--precision", "bfloat16"], "Add --profile"),
        (["--profile", "--runtime", "network"], "Use tensorflow or openvino"),
        (["--profile", "--threads", 0], "--threads: expected at least 1"),
    ],
)
def test_wrong_options_get_one_message(options: list, message: str, model: pathlib.Path) -> None:
    assert_mistake(message, "plan", model, *options)


def test_a_plan_that_was_written_is_taken_by_other_commands(
    model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    target, again = tmp_path / "plan.json", tmp_path / "again.json"
    options = ["--fps", 100, "--precision", "float32"]
    assert mpvn("plan", model, *options, "--json", target) == 0
    assert mpvn("plan", model, "--plan", target, *options, "--json", again) == 0
    assert "given up                           nothing" in capsys.readouterr().out.split("small")[2]
    assert target.read_text() == again.read_text()
    assert_mistake("has all of a plan", "plan", model, "--plan", target, "--phases", "chain")
    assert_mistake(
        "replaces nothing that is read", "plan", model, "--plan", target, "--json", target
    )
    assert_mistake("of another structure", "plan", "simple_cnn", "--size", 32, "--plan", target)
