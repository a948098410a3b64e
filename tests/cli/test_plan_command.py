"""`mpvn plan` and `mpvn models`: printed plans, written files, messages for impossible plans."""

import json
import pathlib

import keras
import pytest
from command_line import assert_mistake, mpvn

import keras_layers
from mpvn import Plan
from mpvn.models import PUBLISHED


def test_plan_prints_schedule_and_costs_and_writes_a_plan_that_loads(
    model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    target, figure = tmp_path / "plan.json", tmp_path / "plan.svg"
    options = ["--subnetworks", 3, "--clocks", "auto", "--json", target, "--figure", figure]
    assert mpvn("plan", model, *options) == 0
    printed = capsys.readouterr().out
    assert "step   0  1  2   cost" in printed
    assert "information latency                2 steps" in printed
    assert f"written to {target}" in printed
    assert figure.read_text().startswith("<svg")
    loaded = keras.saving.load_model(model)
    config = json.loads(target.read_text())
    assert Plan.from_config(loaded, config) == Plan(loaded, 3, clocks="auto")


def test_plan_prints_and_draws_training_schedules(
    model: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    figure = tmp_path / "training.svg"
    options = ["--subnetworks", 3, "--training", 4, "--training-figure", figure]
    assert mpvn("plan", model, *options) == 0
    printed = capsys.readouterr().out
    assert "back-propagation: 24 units, bubble 67 %" in printed
    assert "GPipe: 12 units, bubble 33 %" in printed
    assert "Sideways: 16 units, bubble 50 %" in printed
    assert printed.index("kept between steps") < printed.index("back-propagation")
    assert "\nsubnetwork 0  f1 f2 f3 f4  .  .  .  . b4 b3 b2 b1\n" in printed
    assert "\nsubnetwork 2   .  . f1 b1  .  .  .  . f2 b2  .  .\n" in printed  # The first lines.
    assert f"written to {figure}" in printed
    assert figure.read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--training", 0], "Received: subnetworks=1, frames=0"),
        (["--training-figure", "missing.svg"], "Add --training M"),
    ],
)
def test_training_schedules_need_frames(options: list, message: str, model: pathlib.Path) -> None:
    assert_mistake(message, "plan", model, *options)


# --- networks by name ---------------------------------------------------------------------------


def test_plan_of_a_published_network_has_its_units_and_clocks(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    figure = tmp_path / "plan.svg"
    assert mpvn("plan", "par_densenet", "--subnetworks", 14, "--figure", figure) == 0
    printed = capsys.readouterr().out
    assert "subnetworks: 14 · clock rates: 1, 2, 4, 8, 16" in printed
    assert "2.60 in multiply-adds" in printed
    assert figure.read_text().startswith("<svg")


def test_branches_and_assignments_of_a_published_network(
    capsys: pytest.CaptureFixture,
) -> None:
    small = ["--size", 32, "--option", "width=0.05", "--option", "classes=5"]
    assert mpvn("plan", "par_inception", *small, "--partition", "branches") == 0
    printed = capsys.readouterr().out
    assert "subnetworks: 37" in printed
    assert (
        "information latency                9 steps (fastest path), 18 steps (slowest)" in printed
    )
    assignment = "stem=0,mixed=1,mixed_4b.b1=2,head=1"
    assert mpvn("plan", "par_inception", *small, "--assignment", assignment) == 0
    assert "subnetworks: 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--assignment", "conv1"], "assignment: expected NAME=NUMBER,... or a .json.*conv1"),
        (["--assignment", "c9=1"], "assignment: no node is named 'c9'"),
        (
            ["--assignment", "conv1=1,conv2=0", "--training", 2],
            "draws a chain.*2 subnetworks.*through 3",
        ),
    ],
)
def test_mistakes_in_assignments(options: list, message: str, model: pathlib.Path) -> None:
    assert_mistake(message, "plan", model, *options)


def test_options_reach_networks_of_keras_applications(capsys: pytest.CaptureFixture) -> None:
    options = ["--size", 32, "--option", "alpha=0.35", "--option", "classes=7"]
    assert mpvn("plan", "MobileNetV2", *options) == 0
    assert "age of predictions" in capsys.readouterr().out


def test_models_lists_published_networks_with_options(capsys: pytest.CaptureFixture) -> None:
    assert mpvn("models", "--options") == 0
    printed = capsys.readouterr().out
    for name in PUBLISHED:
        assert f"\n{name} " in f"\n{printed}"
    assert "table 5; subnetworks: 1, 2, 4, 7, 14\n    joints = None\n" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["par_densnet"], "Did you mean par_densenet"),
        (["par_densenet", "--option", "clases=3"], "no option 'clases'. Did you mean classes"),
        (["par_densenet", "--option", "clocks=no"], "'clocks': expected bool. Received: 'no'"),
        (["par_densenet", "--option", "classes=0.5"], "expected int or None. Received: 0.5"),
        (["MobileNetV2", "--option", "alpha=a"], "'alpha': expected float or None. Received: 'a'"),
        (["par_densenet", "--option", "classes"], "such as classes=51. Received: 'classes'"),
        (["par_densenet", "--size", 200], "such as 192x192. Received: 200x200"),
        (["par_densenet", "--size", 64, "--subnetworks", 29], "expected 1 to 28"),
        (["par_densenet", "--option", "heatmap_size=(50, 50)"], "Received: 50x50"),
        (["vgg8", "--weights", "imagenet"], "no pretrained weights for vgg8.*vgg16"),
        (["MobileNetV2", "--option", "alfa=1"], "no option 'alfa'. Did you mean alpha"),
    ],
)
def test_mistakes_about_networks_name_what_is_possible(arguments: list, message: str) -> None:
    assert_mistake(message, "plan", *arguments)


# --- impossible plans ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--boundaries", "conv1,cnov2"], "'cnov2'.*'conv2'"),
        (["--subnetworks", "2", "--clocks", "2,1"], "below the rate 2"),
        (["--subnetworks", "99"], "expected 1 to 9, because"),
        (["--subnetworks", "0"], "expected 1 to 9, because"),
        (["--subnetworks", "2", "--boundaries", "conv1"], "not both"),
        (["--clocks", "fast"], 'clocks: expected None, "auto"'),
        (["--phases", "1,2,3"], "offsets >= 0, one for each of the 1"),
        (["--size", "64"], "Expected no size, weights or options"),
        (["--partition", "odd"], "invalid choice"),
    ],
)
def test_impossible_plan_gets_one_message(
    options: list[str], message: str, model: pathlib.Path
) -> None:
    assert_mistake(message, "plan", model, *options)


def test_stride_that_contradicts_a_clock_gets_one_message(tmp_path: pathlib.Path) -> None:
    frame = keras.Input((16, 16, 3))
    x = keras_layers.TemporalConv3D(2, (2, 3, 3), strides=(2, 1, 1), name="strided")(frame)
    keras.Model(frame, x).save(tmp_path / "strided.keras")
    message = "'strided' has a temporal stride of 2"
    assert_mistake(message, "plan", tmp_path / "strided.keras", "--clocks", "4")


def test_subclassed_model_is_rejected() -> None:
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(TypeError, match="subclassed model that was called"):
        Plan(Subclassed())
