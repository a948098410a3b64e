"""Networks in int8 stay near the network, because they are calibrated on what streams see."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from random_weights import randomize

from mpvn import Plan, VideoNetwork
from mpvn.runtime import Calibration, CompiledNetwork, int8, quantizer
from mpvn.runtime.calibration import Clips

SHAPE = (6, 6, 3)
NEAR = 0.08
"""The bound of relative errors (rms) of outputs: int8 has 255 values."""


def moving() -> VideoNetwork:
    """Build a network that sees what moves, by a value that is late and held.

    "seen" is in a slow subnetwork, and "now" is the same convolution in a fast one. Their
    difference would be zero on single frames. In the stream, it is what has changed since the last
    tick of "seen", for one or two steps.
    """
    frame = keras.Input(SHAPE)
    seen = layers.Conv2D(8, 3, padding="same", name="seen")
    before = seen(frame)
    now = layers.Conv2D(8, 3, padding="same", name="now")
    x = layers.Subtract(name="moved")([now(frame), before])
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, name="first")(x)))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, name="second")(x))
    score = layers.Dense(4, name="score")(pooled)
    model = keras.Model(frame, {"score": score, "pooled": pooled})
    randomize(model, np.random.default_rng(3))
    now.set_weights(seen.get_weights())
    plan = Plan(model, assignment={"seen": 0, "now": 1, "score": 2}, clocks=[2, 1, 1])
    return VideoNetwork(model, plan)


def clip(steps: int, seed: int) -> np.ndarray:
    """Return frames of which most of the odd ones are much like the ones before."""
    rng = np.random.default_rng(seed)
    frames = rng.normal(size=(steps, *SHAPE)).astype("float32")
    frames[1::2] = frames[::2][: steps // 2] + 0.1 * frames[1::2]
    return frames


CLIPS = [clip(40, seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    return moving()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def compiled(network: VideoNetwork, cache: str) -> CompiledNetwork:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPVN_CACHE", cache)
        return compile_int8(network, CLIPS, clip=4)


def compile_int8(network: VideoNetwork, calibration: Any, **settings: Any) -> CompiledNetwork:
    return network.compile_inference(
        "openvino", "int8", batch=2, calibration=calibration, **settings
    )


def outputs(stream: Any, clips: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of streams that get clips `[B, T, ...]`; the last one restarts at 3."""
    state, found = stream.initial_state(len(clips)), []
    for number in range(clips.shape[1]):
        if number == 3:
            state = stream.reset(state, [*[False] * (len(clips) - 1), True])
        y, state = stream.step(clips[:, number], state)
        found.append(y if isinstance(y, dict) else {"": y})
    return {name: np.stack([step[name] for step in found], axis=1) for name in found[0]}


def error(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.square(actual - expected).mean() / np.square(expected).mean()))


def test_outputs_stay_near_those_of_the_network(
    network: VideoNetwork, compiled: CompiledNetwork
) -> None:
    """At each phase of the slow subnetwork, for streams of different ages."""
    clips = np.stack([clip(30, seed) for seed in (3, 4, 5)])
    expected, actual = outputs(network, clips), outputs(compiled, clips)
    for name in expected:
        for phase in (0, 1):
            steps = slice(8 + phase, None, 2)
            assert error(actual[name][:, steps], expected[name][:, steps]) < NEAR
    assert np.std(expected["score"], axis=1).min() > 1e-2, "the outputs do not change"
    of_clips, _ = compiled.run(clips, compiled.initial_state(3))
    for name, ours in outputs(compiled, clips[:2]).items():
        np.testing.assert_array_equal(of_clips[name][0], ours[0])


def test_report(compiled: CompiledNetwork) -> None:
    report = compiled.quantization
    assert report is not None
    assert (report.clips, report.steps, report.held_out) == (2, 60, 20)
    assert all(unit.int8 and unit.samples and unit.error < NEAR for unit in report.units)
    assert [output.name for output in report.outputs] == ["global_average_pooling2d", "score"]
    assert all(0 < output.error < NEAR for output in report.outputs)
    assert "60 steps of 2 clips" in str(report)


def test_second_start_streams_no_clip(
    network: VideoNetwork, compiled: CompiledNetwork, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPVN_CACHE", cache)
    for name in ("collect", "compare"):
        monkeypatch.setattr(int8, name, None)
    second = compile_int8(network, iter(CLIPS))
    assert second.quantization == compiled.quantization
    clips = np.stack(CLIPS)
    first = outputs(compiled, clips)
    for name, ours in outputs(second, clips).items():
        np.testing.assert_array_equal(ours, first[name])
    with pytest.raises(TypeError):  # these clips must be streamed
        compile_int8(network, [CLIPS[0], CLIPS[1] + 1])


def test_clips_are_checked(network: VideoNetwork) -> None:
    nan = np.where(CLIPS[0] > 2, np.nan, CLIPS[0])
    cases: list[tuple[Any, type[Exception], str]] = [
        (None, ValueError, "Expected calibration=clips. Received: None. Pass some clips"),
        ("videos", TypeError, "Received: videos. .*mpvn.calibration_clips"),
        ([], ValueError, "Received: none"),
        (CLIPS[0], ValueError, r"one clip of shape \(40, 6, 6, 3\). Pass \[clip\]"),
        ([CLIPS[0][:, 1:]], ValueError, r"clip 0. Expected a clip of shape \[B, T, 6, 6, 3\]"),
        ([CLIPS[0][:3]], ValueError, "clips of at least 4 frames.*Received: 1 clips, all shorter"),
        ([np.uint8(CLIPS[0])], ValueError, "clip 0. Expected float32, scaled .* Received: uint8"),
        ([nan], ValueError, "clip 0. Expected finite numbers"),
    ]
    for clips, kind, message in cases:
        with pytest.raises(kind, match=message):
            compile_int8(network, clips)
    for settings in ({"steps": 0}, {"max_error": -1}):
        with pytest.raises(ValueError, match=f"Invalid {next(iter(settings))}"):
            Calibration(CLIPS, **settings)
    with pytest.raises(ValueError, match="runtime for precision='int8'. .*'openvino'"):
        network.compile_inference("tensorflow", "int8", calibration=CLIPS)
    with pytest.raises(ValueError, match="Expected precision='int8' beside it"):
        network.compile_inference("openvino", "bfloat16", calibration=CLIPS)


def test_clips_are_cut_to_enough_steps() -> None:
    graph = moving().graph
    many = [clip(steps, seed) for seed, steps in enumerate([2, 9, 30, 3, 8, 5])]
    clips = Clips(Calibration(iter(many), steps=80), graph, first=3)
    assert (clips.count, clips.skipped) == (4, 2)
    assert clips.steps == sum(each[0].shape[1] for each in clips) == 9 + 16 + 8 + 5
    assert clips.digest == Clips(Calibration(many, steps=80), graph, first=3).digest
    assert clips.digest != Clips(Calibration(many[1:], steps=80), graph, first=3).digest
    few = Clips(Calibration(many, steps=20), graph, first=3)
    assert few.count < 4
    assert few.steps >= 20


def fragile() -> VideoNetwork:
    """Build a network whose layer "mix" reads values of very different sizes.

    255 values for the range of the largest channel leave one or two for all others.
    """
    frame = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, name="large")(frame)
    x = layers.ReLU()(layers.Conv2D(4, 1, name="mix")(x))
    model = keras.Model(frame, layers.Conv2D(2, 1, name="last")(x))
    randomize(model, np.random.default_rng(3))
    sizes = np.array([300, 1, 1, 1], np.float32)
    large, mix = model.get_layer("large"), model.get_layer("mix")
    large.set_weights([weights * sizes for weights in large.get_weights()])
    kernel, bias = mix.get_weights()
    mix.set_weights([kernel / sizes[:, None], bias])
    return VideoNetwork(model)


def test_layers_that_int8_harms_are_kept() -> None:
    network = fragile()
    compiled = compile_int8(network, CLIPS)
    (unit,) = compiled.quantization.units
    assert unit.int8
    assert unit.kept == ("mix",)
    assert unit.error < 0.1
    assert "above 0.1" in unit.reason
    clips = np.stack(CLIPS)
    assert error(streamed(compiled, clips), streamed(network, clips)) < NEAR


def test_units_that_int8_harms_are_kept() -> None:
    network = fragile()
    compiled = compile_int8(network, Calibration(CLIPS, max_error=1e-6))
    report = compiled.quantization
    (unit,) = report.units
    assert not unit.int8
    assert f"kept in {report.precision}:\n  {unit.name}: its error in int8 is" in str(report)
    clips = np.stack(CLIPS)
    plain = network.compile_inference("openvino", report.precision, batch=2)
    np.testing.assert_array_equal(streamed(compiled, clips), streamed(plain, clips))


def test_units_that_nncf_refuses_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("an operation\nof tomorrow")

    monkeypatch.setattr(quantizer, "quantize", refuse)
    (unit,) = compile_int8(fragile(), CLIPS).quantization.units
    assert not unit.int8
    assert unit.reason == "NNCF cannot quantize it: an operation of tomorrow"


def streamed(stream: Any, clips: np.ndarray) -> np.ndarray:
    """Return the output of streams of a network with one."""
    return outputs(stream, clips)[""]
