"""Profiles: what is timed together, how times are shared, and files of them."""

import json
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers
from small_models import chain

import keras_layers
from mpvn import Plan
from mpvn.runtime import Profile, measure, measure_profile, measure_steps


def mixed_model() -> keras.Model:
    """Two convolutions with what follows them, a pool, a skip connection, and a temporal layer."""
    frame = keras.Input((8, 8, 2), name="frame")
    x = layers.ReLU(name="relu0")(layers.Rescaling(2.0, name="scale")(frame))
    first = x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(2, 3, padding="same", name="conv")(x)
    x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="norm")(x))
    x = layers.ReLU(name="relu2")(layers.Add(name="sum")([first, x]))
    x = keras_layers.TemporalMaxPooling3D((2, 1, 1), name="past")(x)
    return keras.Model(frame, layers.Dense(3, name="dense")(layers.Flatten(name="flat")(x)))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return mixed_model()


def test_nodes_that_only_change_values_are_timed_with_what_they_follow(model: keras.Model) -> None:
    groups = measure.small_groups(Plan(model))
    assert [[node.name for node in group] for group in groups] == [
        ["scale", "relu0"],
        ["pool"],
        ["conv", "norm", "relu1"],
        ["sum", "relu2"],
        ["past"],
        ["flat"],
        ["dense"],
    ]


@pytest.mark.parametrize(
    ("whole", "groups", "expected"),
    [
        (10.0, [4.0, 6.0, 4.0], (2.0, [2.0 * 8 / 8, 4.0 * 8 / 8, 2.0 * 8 / 8])),
        (10.0, [4.0, 0.0, 7.0], (1.0, [3.0, 0.0, 6.0])),  # a group that computes nothing
        (10.0, [1.0, 12.0], (1.0, [0.0, 9.0])),  # a call takes no longer than a group
        (10.0, [4.0, 4.0], (0.0, [5.0, 5.0])),  # faster apart
        (3.0, [5.0], (0.0, [3.0])),
        (0.0, [0.0], (0.0, [0.0])),
    ],
)
def test_times_of_groups_add_up_to_the_whole(
    whole: float, groups: list[float], expected: tuple[float, list[float]]
) -> None:
    call, seconds = measure.split(whole, groups)
    assert call == pytest.approx(expected[0])
    assert seconds == pytest.approx(expected[1])


def test_times_of_a_model_are_measured_and_kept(
    model: keras.Model, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPVN_CACHE", str(tmp_path))
    monkeypatch.setattr(measure.OtherProcesses, "share", lambda self: 0.0)
    shares: list[float] = []
    profile = measure_profile(model, seconds=0, show=shares.append)
    assert [*profile.node_seconds] == [*Plan(model).nodes]
    assert all(seconds >= 0 for seconds in profile.seconds)
    assert sum(profile.seconds) + profile.step_seconds > 0
    assert profile.node_seconds["relu1"] == 0  # it counts with the convolution
    assert shares == sorted(shares) and shares[-1] == 1
    assert measure_profile(mixed_model(), seconds=0) == profile  # not measured again
    assert Plan(model, costs=profile).cost_unit.name == "measured time"


def test_a_disturbed_measurement_is_not_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPVN_CACHE", str(tmp_path))
    monkeypatch.setattr(measure.OtherProcesses, "share", lambda self: 0.5)
    assert measure_profile(chain(2), seconds=0).disturbed == 0.5
    assert not any(tmp_path.iterdir())


@pytest.fixture
def profile() -> Profile:
    model = chain(2, 2)
    return Profile(
        model="chain",
        names=("c0", "c1"),
        structure=measure.structure(Plan(model).graph),
        seconds=(0.001, 0.002),
        step_seconds=0.0001,
        settings={"runtime": "tensorflow", "precision": "float32", "threads": None},
        environment={"cpu": "a processor"},
    )


def test_a_profile_is_a_file(profile: Profile, tmp_path: pathlib.Path) -> None:
    profile.save(tmp_path / "profile.json")
    assert Profile.from_json((tmp_path / "profile.json").read_text()) == profile
    assert profile.node_seconds == {"c0": 0.001, "c1": 0.002}
    assert Plan(chain(2, 2), costs=profile).node_costs == (1_000_000, 2_000_000)
    assert str(profile) == "runtime tensorflow, precision float32 on a processor"


@pytest.mark.parametrize(
    "build",
    [lambda: chain(2, 3), lambda: chain(2, 2, size=16), lambda: chain(2, 2, 2)],
    ids=["filters", "size", "nodes"],
)
def test_a_profile_of_another_model_is_refused(
    build: Callable[[], keras.Model], profile: Profile
) -> None:
    with pytest.raises(ValueError, match="measured on another model than 'chain'"):
        Plan(build(), costs=profile, partition="balanced").node_costs  # noqa: B018


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("names"),
        lambda fields: fields.update(seconds=[1.0]),
        lambda fields: fields.update(seconds=[1.0, -1.0]),
        lambda fields: fields.update(seconds=[1.0, np.nan]),
        lambda fields: fields.update(seconds=["a", 1.0]),
        lambda fields: fields.update(other=1),
    ],
)
def test_a_file_that_is_no_profile_is_refused(
    change: Callable[[dict], object], profile: Profile
) -> None:
    fields = json.loads(profile.to_json())
    change(fields)
    with pytest.raises(ValueError, match="Invalid profile. Expected JSON that"):
        Profile.from_json(json.dumps(fields))


def test_text_that_is_no_profile_is_refused() -> None:
    for text in ("", "[]", "3", "{"):
        with pytest.raises(ValueError, match="Invalid profile"):
            Profile.from_json(text)


def test_each_step_of_a_period_is_timed() -> None:
    plan = Plan(chain(2, 2), 2, clocks=[1, 3])
    times = measure_steps(plan, seconds=0)
    assert len(times) == 3 and min(times) > 0
