"""Paths of commands: outputs spare inputs, and can be written, before any work is done."""

import os
import pathlib
import re
import signal

import pytest
from command_line import assert_mistake, mpvn
from video_files import gray, save_image

from mpvn.cli import paths
from mpvn.data import VideoReader
from mpvn.data.video.writer import SUFFIXES


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder with a video, a model, images and a run, as the current one."""
    for name in ("a.mp4", "m.keras", "plan.svg", "run/config.json", "run/checkpoints/best.npz"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "frames").mkdir()
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    (tmp_path / "hard.mp4").hardlink_to(tmp_path / "a.mp4")
    (tmp_path / "again").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: pathlib.Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in folder.rglob("*") if path.is_file()}


# --- no output over an input --------------------------------------------------------------------

STREAM_A = ["stream", "a.mp4", "--model", "m.keras", "--output"]


@pytest.mark.parametrize(
    "arguments",
    [
        *([*STREAM_A, same] for same in ("a.mp4", "./a.mp4", "link.mp4", "hard.mp4")),
        [*STREAM_A, "again/frames/../a.mp4"],
        ["stream", "link.mp4", "--model", "m.keras", "--output", "a.mp4"],
        ["stream", "file:a.mp4", "--model", "m.keras", "--output", "a.mp4"],
        ["stream", "{}/a.mp4", "--model", "m.keras", "--output", "a.mp4"],
        ["stream", "file://{}/a.mp4", "--model", "m.keras", "--output", "a.mp4"],
        ["stream", "x.mp4", "--model", "a.mp4", "--output", "hard.mp4"],
        ["stream", "x.mp4", "--model", "vgg8", "--weights", "a.mp4", "--output", "a.mp4"],
        ["plan", "plan.svg", "--figure", "plan.svg"],
        ["plan", "run/config.json", "--json", "again/run/config.json"],
        ["eval", "run", "--json", "run/config.json"],
        ["eval", "other", "run", "--views", "--json", "./run/config.json"],
        ["eval", "run", "--activations", "run/checkpoints"],
        ["eval", "run", "--activations", "run"],
        ["sweep", "--rewire", "run", "--output", "again/run"],
        ["train", "--config", "run/config.json", "--run", "run"],
        ["demo", "--video", "demo/seen.mp4"],
    ],
)
def test_an_output_over_an_input_is_refused(arguments: list[str], folder: pathlib.Path) -> None:
    """`mpvn stream a.mp4 --output a.mp4` replaced the video, and a figure the model."""
    (folder / "demo").mkdir()
    (folder / "demo" / "seen.mp4").write_text("seen")
    before = contents(folder)
    message = "^mpvn: --.*: expected a path that replaces nothing that is read. Received: the path"
    assert_mistake(message, *(argument.format(folder) for argument in arguments))
    assert contents(folder) == before


def test_videos_do_not_go_into_folders_that_are_read(folder: pathlib.Path) -> None:
    message = "frames/out.mp4: expected a path outside of the folders that are read"
    for output in ("frames/out.mp4", "again/frames/out.mp4"):
        assert_mistake(message, "stream", "frames", "--model", "vgg8", "--output", output)


def test_two_outputs_at_one_path_are_refused(folder: pathlib.Path) -> None:
    (folder / "other.svg").symlink_to("new.svg")
    options = ["--training", 2, "--figure", "new.svg", "--training-figure"]
    for other in ("./new.svg", "other.svg"):
        assert_mistake("expected another path than --figure", "plan", "m.keras", *options, other)


def test_paths_in_a_config_are_inputs(tmp_path: pathlib.Path) -> None:
    config = tmp_path / "config.py"
    config.write_text("from mpvn.training import base_config as get_config\n")
    (tmp_path / "videos").mkdir()
    options = ["--config.data.path", "--config.model.initial", "--config.teacher"]
    for option in options:
        arguments = ["--config", config, "--run", tmp_path / "videos"]
        message = f"Received: the path of {option[2:]}"
        assert_mistake(message, "train", *arguments, f"{option}={tmp_path / 'videos'}")


def test_a_run_does_not_go_into_its_data_set(tmp_path: pathlib.Path) -> None:
    """Its folder would be a class the next time, or its videos those of a class."""
    config = tmp_path / "config.py"
    config.write_text("from mpvn.training import base_config as get_config\n")
    (tmp_path / "videos" / "walk").mkdir(parents=True)
    data = f"--config.data.path={tmp_path / 'videos'}"
    message = "expected a path outside of the folders that are read. Received: a path in config.dat"
    for run in ("videos/runs/a", "videos/walk"):
        assert_mistake(message, "train", "--config", config, "--run", tmp_path / run, data)


def test_files_of_runs_are_known() -> None:
    from mpvn.training import run_folder

    listed = re.findall(r"^(\S+?)/?  +", run_folder.__doc__, re.MULTILINE)
    assert sorted(paths.RUN_FILES) == sorted(listed)
    assert paths.VIDEO.suffixes == SUFFIXES


# --- outputs that cannot be written -------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*STREAM_A, "out.webm"], r"ends in .mp4, .mov, .mkv. Received: '.webm'. Rename it"),
        ([*STREAM_A, "out.avi"], r"ends in .mp4, .mov, .mkv. Received: '.avi'. Rename it"),
        ([*STREAM_A, "out"], "Received: 'no suffix'"),
        ([*STREAM_A, ""], "--output: expected a path. Received: an empty one"),
        ([*STREAM_A, "frames"], "--output frames: .*path of a file. Received: a folder"),
        ([*STREAM_A, "out.mp4/"], "out.mp4/: .*path of a file. Received: a folder"),
        ([*STREAM_A, "none/out.mp4"], "Received: nothing at that path. Create it first"),
        ([*STREAM_A, "a.mp4/out.mp4"], "expected a.mp4 to be a folder. Received: a file"),
        ([*STREAM_A, "/proc/out.mp4"], "/proc/out.mp4: expected a path that can be written"),
        ([*STREAM_A, "x" * 252 + ".mp4"], "'File name too long'. Choose a shorter name"),
        ([*STREAM_A, "-x.mp4"], r"expected one argument. Write .* as ./-NAME"),
        (["stream", "", "--model", "vgg8"], "VIDEO: expected a path"),
        (["plan", "m.keras", "--figure", "m.keras"], r"ends in .svg. Received: '.keras'"),
        (["plan", "vgg8", "--figure", "plan.png"], r"ends in .svg. Received: '.png'"),
        (["plan", "vgg8", "--json", "none/plan.json"], "expected none to be a folder"),
        (["eval", "run", "--json", "run/network.keras"], r"ends in .json. Received: '.keras'"),
        (["eval", "run", "--early", "frames"], "expected the path of a file. Received: a folder"),
        (["export", "m.keras", "m.keras"], "FOLDER m.keras: expected a new folder"),
        (["export", "vgg8", "frames"], "FOLDER frames: expected a new folder"),
        (["export", "vgg8", "a.mp4/1"], "expected a.mp4 to be a folder. Received: a file"),
        (["demo", "--output", "a.mp4"], "expected a.mp4 to be a folder. Received: a file"),
        (["train", "--config", "c.py", "--run", "a.mp4/run"], "expected a.mp4 to be a folder"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(
    arguments: list[str], message: str, folder: pathlib.Path
) -> None:
    before = contents(folder)
    assert_mistake(message, *arguments)
    assert contents(folder) == before


def test_a_path_that_begins_with_a_dash_is_not_an_option(folder: pathlib.Path) -> None:
    (folder / "-a.mp4").write_text("video")
    assert_mistake(r"-a.mp4: .* as ./-a.mp4", "stream", "-a.mp4", "--model", "vgg8")


def test_results_go_into_folders_that_are_read(folder: pathlib.Path) -> None:
    """A run may hold its evaluations, and they may be written again."""
    (folder / "run" / "results.json").write_text("old")
    assert_mistake("not the folder of a run", "eval", "frames", "--json", "run/results.json")
    assert_mistake("not the folder of a run", "eval", "frames", "--json", "frames/results.json")


# --- stops --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stream_that_is_stopped_completes_its_output(
    number: int, model: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kill` left half of a hidden file; Ctrl-C did not."""
    from mpvn.streaming import Stream

    step = Stream.step

    def stopped_at_the_third_frame(stream: Stream, *frame: object) -> object:
        if stream.statistics.frames == 2:
            os.kill(os.getpid(), number)
        return step(stream, *frame)

    monkeypatch.setattr(Stream, "step", stopped_at_the_third_frame)
    (tmp_path / "frames").mkdir()
    for index in range(6):
        save_image(tmp_path / "frames" / f"{index}.png", gray(index))
    target = tmp_path / "out.mp4"
    assert mpvn("stream", tmp_path / "frames", "--model", model, "--output", target) == 0
    with VideoReader(target) as video:
        assert sum(1 for _ in video) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames", "out.mp4"]
