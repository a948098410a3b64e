"""The command, as a user runs it: in a process of its own, by its output and exit code."""

import contextlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import keras
import numpy as np
import psutil
import pytest
from drawn_video import write_rendered_video

import keras_layers
import mpvn
from mpvn import cli
from mpvn.data import VideoReader
from mpvn.models import PUBLISHED


def run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mpvn.cli", *map(str, arguments)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A small frame model, saved."""
    inputs = keras.Input((32, 48, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    for index in range(3):
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", name=f"conv{index}")(x)
        x = keras.layers.ReLU(name=f"relu{index}")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(inputs, keras.layers.Dense(4, name="scores")(x), name="small")
    path = tmp_path_factory.mktemp("model") / "small.keras"
    network.save(path)
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("video") / "short.mp4"
    write_rendered_video(path, frames=12, size=(64, 96))
    return path


def test_plan_prints_grid_and_costs_and_writes_a_plan_that_loads(
    model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    target = tmp_path / "plan.json"
    figure = tmp_path / "plan.svg"
    options = ["--subnetworks", 3, "--clocks", "auto", "--json", target, "--figure", figure]
    ran = run("plan", model, *options)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""  # none of TensorFlow's start-up notes
    assert "step   0  1  2   cost" in ran.stdout
    assert figure.read_text().startswith("<svg")
    assert "information latency                2 steps" in ran.stdout
    loaded = keras.saving.load_model(model)
    expected = mpvn.Plan(loaded, 3, clocks="auto")
    assert mpvn.Plan(loaded, **json.loads(target.read_text())) == expected


def test_plan_prints_and_draws_schedules_of_training(
    model: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    figure = tmp_path / "training.svg"
    options = ["--subnetworks", 3, "--training", 4, "--training-figure", figure]
    assert in_process("plan", model, *options) == 0
    printed = capsys.readouterr().out
    assert "back-propagation: 24 units, bubble 67 %" in printed
    assert "GPipe: 12 units, bubble 33 %" in printed
    assert "Sideways: 16 units, bubble 50 %" in printed
    assert printed.index("kept between steps") < printed.index("back-propagation")
    assert "\nsubnetwork 0  f1 f2 f3 f4  .  .  .  . b4 b3 b2 b1\n" in printed
    assert "\nsubnetwork 2   .  . f1 b1  .  .  .  . f2 b2  .  .\n" in printed  # goes on below
    assert f"written to {figure}" in printed
    assert figure.read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--training", 0], "at least 1. Received: subnetworks=1, frames=0"),
        (["--training-figure", "no.svg"], "give --training M, too"),
    ],
)
def test_schedules_of_training_need_frames(options: list, says: str, model: pathlib.Path) -> None:
    assert_mistake(says, "plan", model, *options)


def test_stream_reports_and_writes_an_annotated_video(
    model: pathlib.Path, video: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    target = tmp_path / "seen.mp4"
    options = ["--subnetworks", 2, "--clocks", "1,2", "--output", target]
    ran = run("stream", video, "--model", model, *options)
    assert ran.returncode == 0, ran.stderr
    assert "12 frames" in ran.stdout
    assert "latency of a step in ms: 50 %" in ran.stdout
    with VideoReader(target) as seen:
        assert sum(1 for _ in seen) == 12
        assert min(seen.height, seen.width) >= 448


def test_a_saved_video_network_streams_by_its_own_plan(
    model: pathlib.Path, video: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    frame_model = keras.saving.load_model(model)
    mpvn.VideoNetwork(frame_model, mpvn.Plan(frame_model, 4)).save(tmp_path / "net.keras")
    ran = run("plan", tmp_path / "net.keras")
    assert "information latency                3 steps" in ran.stdout
    ran = run("plan", tmp_path / "net.keras", "--clocks", "none")  # any option makes a new plan
    assert "information latency                0 steps" in ran.stdout
    ran = run("stream", video, "--model", tmp_path / "net.keras", "--frames", 5)
    assert ran.returncode == 0, ran.stderr
    assert "5 frames" in ran.stdout


def test_an_interrupt_before_the_first_frame_leaves_no_file_and_no_trace(
    model: pathlib.Path,
    video: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closing an output without frames raised where nobody expected it."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mpvn.streaming.Stream.step", interrupted)
    target = tmp_path / "seen.mp4"
    assert_mistake("frame", "stream", video, "--model", model, "--output", target)
    assert list(tmp_path.iterdir()) == []


def test_a_file_at_its_own_speed_drops_no_frames_of_a_fast_network(
    model: pathlib.Path, video: pathlib.Path
) -> None:
    ran = run("stream", video, "--model", model, "--realtime")
    assert ran.returncode == 0, ran.stderr
    assert "dropped" in ran.stdout


@pytest.mark.parametrize(
    ("name", "frames"), [("bottle-detection", 1189), ("one-by-one-person-detection", 1394)]
)
def test_real_videos_stream_from_end_to_end(
    name: str, frames: int, model: pathlib.Path, shared: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    video = shared / "clips" / "stream" / f"{name}.mp4"
    if not video.exists():
        pytest.skip(f"optional data: there is no {video}")
    options = ["--subnetworks", "3", "--clocks", "auto"]
    assert in_process("stream", video, "--model", model, *options) == 0
    assert f"{frames} frames in" in capsys.readouterr().out


# --- published networks -------------------------------------------------------------------------


def test_plan_knows_the_published_networks_their_units_and_clocks(tmp_path: pathlib.Path) -> None:
    figure = tmp_path / "plan.svg"
    ran = run("plan", "par_densenet", "--subnetworks", 14, "--figure", figure)
    assert ran.returncode == 0, ran.stderr
    assert "subnetworks: 14 · clock rates: 1, 2, 4, 8, 16" in ran.stdout
    assert "2.60 in multiply-adds" in ran.stdout
    assert figure.read_text().startswith("<svg")


def in_process(*arguments: object) -> int:
    return cli._run(cli._parse(["mpvn", *map(str, arguments)]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_stream_by_name(
    name: str, video: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    subnetworks = PUBLISHED[name].subnetworks[-1]
    output = tmp_path / "seen.mp4"
    options = ["--size", 32, "--option", "width=0.05", "--subnetworks", subnetworks]
    code = in_process("stream", video, "--model", name, *options, "--output", output)
    if subnetworks == 1:  # the offline networks: another padding makes them stream
        assert code == 2
        assert 'temporal_padding="causal"' in capsys.readouterr().err
        options += ["--option", "temporal_padding=causal"]
        code = in_process("stream", video, "--model", name, *options, "--output", output)
    assert code == 0
    assert "12 frames in" in capsys.readouterr().out
    with VideoReader(output) as seen:
        assert len(list(seen)) == 12
        assert seen.width == (2 if name in ("autoencoder", "full_res") else 1) * seen.height


def test_models_lists_them_with_their_options(capsys: pytest.CaptureFixture) -> None:
    assert in_process("models", "--options") == 0
    printed = capsys.readouterr().out
    for name in PUBLISHED:
        assert f"\n{name} " in f"\n{printed}"
    assert "table 5; subnetworks: 1, 2, 4, 7, 14\n    joints = None\n" in printed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["par_densnet"], "Did you mean par_densenet"),
        (["par_densenet", "--option", "clases=3"], "no option 'clases'. Did you mean classes"),
        (["par_densenet", "--option", "classes"], "NAME=VALUE, such as classes=51, got 'classes'"),
        (["par_densenet", "--size", 200], "such as 192x192. Received: 200x200"),
        (["par_densenet", "--size", 64, "--subnetworks", 28], "between 1 and 27 .* got 28"),
        (["par_densenet", "--option", "heatmap_size=(50, 50)"], "56x56, 112x112, and so on"),
        (["vgg8", "--weights", "imagenet"], "no image weights for vgg8.*vgg16"),
        (["MobileNetV2", "--option", "alfa=1"], "no option 'alfa'. Did you mean alpha"),
    ],
)
def test_mistakes_about_networks_say_what_is_possible(arguments: list, says: str) -> None:
    assert_mistake(says, "plan", *arguments)


def test_options_reach_networks_of_keras(capsys: pytest.CaptureFixture) -> None:
    options = ["--size", 32, "--option", "alpha=0.35", "--option", "classes=7"]
    assert in_process("plan", "MobileNetV2", *options) == 0
    assert "age of predictions" in capsys.readouterr().out


def test_export_writes_a_saved_model(model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    ran = run("export", model, tmp_path / "served" / "1", "--subnetworks", 2)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "served" / "1" / "saved_model.pb").exists()


def test_the_demo_writes_its_report(video: pathlib.Path, tmp_path: pathlib.Path) -> None:
    ran = run("demo", "--video", video, "--steps", 2, "--output", tmp_path / "demo")
    assert ran.returncode == 0, ran.stderr
    assert "4 subnetworks, latency 2" in ran.stdout
    page = (tmp_path / "demo" / "report.html").read_text()
    assert page.count("<svg") == 4
    assert page.count("<img") == 10
    with VideoReader(tmp_path / "demo" / "seen.mp4") as seen:
        assert sum(1 for _ in seen) == 12


def test_help_shows_examples_and_needs_no_tensorflow() -> None:
    python, *arguments = command("stream", "--help")
    ran = subprocess.run(
        [python, "-X", "importtime", *arguments], capture_output=True, text=True, check=True
    )
    assert "examples:" in ran.stdout
    assert "mpvn" in ran.stderr
    assert "tensorflow" not in ran.stderr


def files_that_are_no_video(folder: pathlib.Path, video: pathlib.Path) -> dict[str, pathlib.Path]:
    contents = {
        "empty.mp4": b"",
        "text.mp4": b"not a video\n" * 100,
        "truncated.mp4": video.read_bytes()[: video.stat().st_size // 2],
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents} | {
        "missing": folder / "missing.mp4",
        "camera": pathlib.Path("camera:77"),
    }


@pytest.mark.parametrize("kind", ["empty.mp4", "text.mp4", "truncated.mp4", "missing", "camera"])
def test_a_source_that_is_no_video_gets_one_message(
    kind: str, model: pathlib.Path, video: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source = files_that_are_no_video(tmp_path, video)[kind]
    assert_mistake("expected", "stream", source, "--model", model)


def saved_models(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Models that cannot stream video, by what is wrong with them."""
    vector = keras.Input((10,))
    frame = keras.Input((16, 16, 3))
    back = keras_layers.Feedback("nowhere", (4,))(frame)
    models = {
        "vector": keras.Model(vector, keras.layers.Dense(2)(vector)),
        "open size": keras.applications.MobileNet(
            weights=None, include_top=False, input_shape=(None, None, 3)
        ),
        "feedback": keras.Model(frame, keras.layers.Concatenate()([back, back])),
    }
    paths = {}
    for name, made in models.items():
        paths[name] = folder / f"{name}.keras"
        made.save(paths[name])
    paths["no model"] = folder / "no model.keras"
    paths["no model"].write_bytes(b"PK nothing")
    return paths


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("vector", r"inputs of shape \[None, 10\]"),
        ("open size", "fixed frame size"),
        ("feedback", "no node is called 'nowhere'"),
        ("no model", "could not be loaded"),
    ],
)
def test_a_model_that_cannot_stream_gets_one_message(
    kind: str, says: str, video: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = saved_models(tmp_path)[kind]
    assert_mistake(says, "stream", video, "--model", path)


def test_a_subclassed_model_gets_one_message(tmp_path: pathlib.Path) -> None:
    """In this process: a fresh one could not load a class that only the test knows."""

    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(TypeError, match="must be a functional Keras model"):
        mpvn.Plan(Subclassed())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--boundaries", "conv1,cnov2"], "no node is called 'cnov2'.*'conv2'"),
        (["--subnetworks", "2", "--clocks", "2,1"], "below the rate 2 of what it reads"),
        (["--subnetworks", "99"], "between 1 and 9 subnetworks"),
        (["--subnetworks", "0"], "between 1 and 9 subnetworks"),
        (["--subnetworks", "2", "--boundaries", "conv1"], "not both"),
        (["--clocks", "fast"], 'clocks must be None, "auto"'),
        (["--phases", "1,2,3"], "one offset >= 0 for each of the 1"),
        (["--size", "64"], "has its own frame size"),
        (["--partition", "odd"], "invalid choice"),
    ],
)
def test_an_impossible_plan_gets_one_message(
    options: list[str], says: str, model: pathlib.Path
) -> None:
    assert_mistake(says, "plan", model, *options)


def test_a_stride_that_contradicts_a_clock_gets_one_message(tmp_path: pathlib.Path) -> None:
    frame = keras.Input((16, 16, 3))
    x = keras_layers.TemporalConv3D(2, (2, 3, 3), strides=(2, 1, 1), name="strided")(frame)
    keras.Model(frame, x).save(tmp_path / "strided.keras")
    says = "'strided' has a temporal stride of 2"
    assert_mistake(says, "plan", tmp_path / "strided.keras", "--clocks", "4")


def test_a_mistake_ends_the_process_with_code_2() -> None:
    ran = run("plan", "MobileNetV9")
    assert ran.returncode == 2
    assert ran.stderr.startswith("mpvn: 'MobileNetV9' is neither a file, nor a published")


def test_a_reader_that_has_seen_enough_is_no_error(model: pathlib.Path) -> None:
    """`mpvn plan ... | head` ended with a stack trace."""
    process = subprocess.Popen(
        command("plan", model), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.wait() == cli.EXIT_PIPE_CLOSED
    assert process.stderr.read() == ""
    process.stderr.close()


def assert_mistake(says: str, *arguments: object) -> None:
    """In this process, which has TensorFlow already: one message, exit code 2, no more."""
    words = io.StringIO()
    with contextlib.redirect_stderr(words):
        try:
            code = in_process(*arguments)
        except SystemExit as refused:  # by the parser
            code = refused.code
    assert code == 2, words.getvalue()
    assert "Traceback" not in words.getvalue()
    assert re.search(says, words.getvalue(), re.DOTALL), words.getvalue()


def test_memory_stays_flat_over_3000_steps(model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "long.mp4"
    write_rendered_video(path, frames=3000, size=(32, 48))
    options = ["--subnetworks", 3, "--clocks", "auto"]
    process = subprocess.Popen(
        command("stream", path, "--model", model, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    resident, watched = [], psutil.Process(process.pid)
    while process.poll() is None:
        try:
            resident.append(watched.memory_info().rss / 2**20)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.02)
    printed, _ = process.communicate()
    assert "3000 frames" in printed
    steps = resident[-len(resident) // 3 :]
    # The last samples are of the process on its way out.
    middle, last = np.median(steps[: len(steps) // 3]), np.median(steps[-len(steps) // 3 : -5])
    assert last - middle < 10, f"{middle:.0f} MiB, then {last:.0f} MiB"
