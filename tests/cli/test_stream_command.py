"""`mpvn stream` and `mpvn export`: statistics, annotated videos, bad sources, flat memory."""

import os
import pathlib
import subprocess
import time
from fractions import Fraction

import av
import keras
import numpy as np
import psutil
import pytest
from command_line import assert_mistake, mpvn, process_arguments
from rendered_video import write_rendered_video
from video_files import encode, gray

import keras_layers
from mpvn import Plan, VideoNetwork
from mpvn.cli.parsers import rate
from mpvn.data import VideoReader
from mpvn.models import PUBLISHED
from mpvn.streaming import Stream


def test_stream_prints_statistics_and_writes_an_annotated_video(
    model: pathlib.Path,
    video: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
) -> None:
    target = tmp_path / "annotated.mp4"
    options = ["--subnetworks", 2, "--clocks", "1,2", "--output", target]
    assert mpvn("stream", video, "--model", model, *options) == 0
    printed = capsys.readouterr().out
    assert "12 frames" in printed
    assert "latency per step in ms: median" in printed
    assert "age of information: mean 1.5, worst 2 steps; mean" in printed
    assert "MB kept between steps" in printed
    assert "machine: " in printed and "TensorFlow" in printed
    with VideoReader(target) as annotated:
        assert sum(1 for _ in annotated) == 12
        assert (annotated.height, annotated.width) == (64, 96)  # The video, not the crop.


@pytest.mark.parametrize("runtime", ["network", "tensorflow"])
def test_a_line_says_what_runs_the_network(
    runtime: str, model: pathlib.Path, video: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    assert mpvn("stream", video, "--model", model, "--runtime", runtime, "--frames", 2) == 0
    printed, name = capsys.readouterr(), "TensorFlow" + ", compiled" * (runtime != "network")
    assert f"small runs on {name}, " in printed.err
    assert f"frames/s ({name}, " in printed.out


def test_a_saved_model_has_its_runtime(
    video: pathlib.Path, model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    assert mpvn("export", model, tmp_path / "served") == 0
    assert mpvn("stream", video, "--model", tmp_path / "served", "--frames", 2) == 0
    printed = capsys.readouterr()
    assert "served runs on TensorFlow, a SavedModel" in printed.err
    assert "age of information" not in printed.out  # not known of a SavedModel
    given = ["--runtime", "openvino", "--threads", 1]
    message = "Expected no option for them. Received: --runtime, --threads"
    assert_mistake(message, "stream", video, "--model", tmp_path / "served", *given)


def test_rates_may_be_fractions() -> None:
    assert rate("30000/1001") == Fraction(30_000, 1001)
    assert (rate("25"), rate("29.97")) == (25, 29.97)
    for text in ("1/0", "1/2.5", "a/2", "/", "fast"):
        with pytest.raises(ValueError):
            rate(text)


@pytest.mark.parametrize("options", [[], ["--realtime"]], ids=["all frames", "in real time"])
def test_annotated_frames_have_the_times_of_their_source(
    options: list[str], model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The output of a recording at a variable rate ran at another speed than the recording."""
    times = [0, 31, 70, 98, 133, 170, 400, 433, 500, 640]
    encode(tmp_path / "in.mkv", map(gray, range(10)), times=times)
    target = tmp_path / "out.mp4"
    assert mpvn("stream", tmp_path / "in.mkv", "--model", model, "--output", target, *options) == 0
    with av.open(str(target)) as container:
        written = [round(1000 * frame.time, 3) for frame in container.decode(video=0)]
    assert len(written) == 10 or options
    assert written == [time for time in times if time in written]


def test_saved_video_network_keeps_its_plan_unless_options_are_given(
    model: pathlib.Path,
    video: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
) -> None:
    frame_model = keras.saving.load_model(model)
    path = tmp_path / "network.keras"
    VideoNetwork(frame_model, Plan(frame_model, 4)).save(path)
    assert mpvn("plan", path) == 0
    assert "information latency                3 steps" in capsys.readouterr().out
    assert mpvn("plan", path, "--clocks", "none") == 0
    assert "information latency                0 steps" in capsys.readouterr().out
    assert mpvn("stream", video, "--model", path, "--frames", 5) == 0
    assert "5 frames" in capsys.readouterr().out


def test_interrupt_before_the_first_frame_leaves_no_file_and_no_stack_trace(
    model: pathlib.Path,
    video: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closing an output without frames raised an error that nothing caught."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mpvn.streaming.Stream.step", interrupted)
    target = tmp_path / "annotated.mp4"
    assert_mistake("frame", "stream", video, "--model", model, "--output", target)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_ends_with_the_statistics(
    model: pathlib.Path,
    video: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    run_step = Stream.run_step

    def interrupted(self: Stream, frame: np.ndarray) -> object:
        if self.statistics.frames == 3:
            raise KeyboardInterrupt
        return run_step(self, frame)

    monkeypatch.setattr(Stream, "run_step", interrupted)
    assert mpvn("stream", video, "--model", model) == 0
    assert "3 frames in" in capsys.readouterr().out


def test_realtime_reports_dropped_frames(
    model: pathlib.Path, video: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    assert mpvn("stream", video, "--model", model, "--realtime") == 0
    assert "dropped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "frames"), [("bottle-detection", 1189), ("one-by-one-person-detection", 1394)]
)
def test_real_videos_stream_to_their_end(
    name: str, frames: int, model: pathlib.Path, shared: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    video = shared / "clips" / "stream" / f"{name}.mp4"
    if not video.exists():
        pytest.skip(f"optional data: there is no {video}")
    assert mpvn("stream", video, "--model", model, "--subnetworks", 3, "--clocks", "auto") == 0
    assert f"{frames} frames in" in capsys.readouterr().out


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize(
    "name", ["par_densenet", "i3d_inception", "tsm_mobilenet_v2", "simple_cnn", "autoencoder"]
)
def test_published_networks_stream_by_name(
    name: str, video: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    subnetworks = PUBLISHED[name].subnetworks[-1]
    output = tmp_path / "annotated.mp4"
    arguments = ["stream", video, "--model", name, "--size", 32, "--option", "width=0.05"]
    arguments += ["--subnetworks", subnetworks, "--output", output, "--frames", 3]
    if subnetworks == 1:  # A network with an offline form. TSM is online by default.
        assert mpvn(*arguments, "--option", "temporal_padding=symmetric") == 2
        assert 'temporal_padding="causal"' in capsys.readouterr().err
        arguments += [] if name.startswith("tsm") else ["--option", "temporal_padding=causal"]
    assert mpvn(*arguments) == 0
    assert "3 frames in" in capsys.readouterr().out
    with VideoReader(output) as annotated:
        assert len(list(annotated)) == 3
        shape = annotated.height, annotated.width
        assert shape == ((448, 896) if name == "autoencoder" else (64, 96))  # Frame and output.


def test_export_writes_a_saved_model(
    model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    assert mpvn("export", model, tmp_path / "served" / "1", "--subnetworks", 2) == 0
    assert (tmp_path / "served" / "1" / "saved_model.pb").exists()
    assert "signatures step, clip, init_states" in capsys.readouterr().out


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "missing", "camera"])
def test_source_that_is_not_a_video_gets_one_message(
    kind: str, model: pathlib.Path, video: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    contents = {
        "empty": b"",
        "text": b"not a video\n" * 100,
        "truncated": video.read_bytes()[: video.stat().st_size // 2],
    }
    source: object = "camera:77" if kind == "camera" else tmp_path / f"{kind}.mp4"
    if kind in contents:
        source.write_bytes(contents[kind])
    assert_mistake("expected", "stream", source, "--model", model)


def vector_model() -> keras.Model:
    vector = keras.Input((10,))
    return keras.Model(vector, keras.layers.Dense(2)(vector))


def open_size_model() -> keras.Model:
    frame = keras.Input((None, None, 3))
    return keras.Model(frame, keras.layers.Conv2D(2, 3)(frame))


def dangling_feedback_model() -> keras.Model:
    frame = keras.Input((16, 16, 3))
    back = keras_layers.Feedback("nowhere", (4,))(frame)
    return keras.Model(frame, keras.layers.Concatenate()([back, back]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (vector_model, r"inputs of shape \[None, 10\]"),
        (open_size_model, "fixed frame size|of fixed size"),
        (dangling_feedback_model, "'nowhere'"),
        (None, "could not be loaded"),
    ],
)
def test_model_that_cannot_stream_gets_one_message(
    build: object, message: str, video: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "model.keras"
    if build is None:
        path.write_bytes(b"PK nothing")
    else:
        build().save(path)
    assert_mistake(message, "stream", video, "--model", path)


# --- memory -------------------------------------------------------------------------------------


def test_memory_stays_flat_over_a_long_stream(model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Sample the resident memory of a process that streams `MPVN_FRAMES` frames."""
    frames, path = int(os.environ.get("MPVN_FRAMES", 1200)), tmp_path / "long.mp4"
    write_rendered_video(path, frames, size=(32, 48))
    options, said = ["--subnetworks", 3, "--clocks", "auto"], tmp_path / "stderr"
    with said.open("w") as stderr:
        process = subprocess.Popen(
            process_arguments("stream", path, "--model", model, *options),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    steps, watched = [], psutil.Process(process.pid)
    while process.poll() is None:
        try:
            resident = watched.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            break
        if steps or "small runs on" in said.read_text():  # compiled
            steps.append(resident)
        time.sleep(0.02)
    printed, _ = process.communicate()
    assert f"{frames} frames" in printed
    assert len(steps) > 20
    # Compare medians; leave out the last samples, when the process exits.
    third = len(steps) // 3
    middle, last = np.median(steps[third : 2 * third]), np.median(steps[2 * third : -5])
    assert last - middle < 10, f"{middle:.0f} MiB, then {last:.0f} MiB"
