"""`mpvn stream` of a network that belongs to a run: the frames and answers of the evaluation."""

import csv
import pathlib

import av
import numpy as np
import pytest
import tensorflow as tf
from command_line import assert_mistake, mpvn
from encoded_videos import encode, picture
from small_runs import small_config, untrained_run
from streamed import predictions, stream
from video_files import save_image

from mpvn.cluster import supervised
from mpvn.data.sets.files import FileVideo
from mpvn.data.video.framing import Cropped
from mpvn.models import load_frame_model
from mpvn.pixels import to_signed
from mpvn.training import RunFolder, build
from mpvn.training.evaluation import load_weights

# Milliseconds. At n / 5 s: 0, 200, 400, ...
VARIABLE = [0, 70, 150, 199, 200, 201, 480, 600, 1190, 1230, 1400, 1420, *range(1600, 3401, 200)]
# By hand, from 12.5, a variable number of, and 25 frames per second (images) to 5 per second.
AT_5 = {
    "hop": [0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27, 30, 32, 35, 37, 40, 42],
    "jump": [0, 4, 5, 7, 7, 7, 8, 10, *range(12, 22)],
    "walk": [*range(0, 86, 5)],
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A video of each class, of which one is in a folder of its own and one is images."""
    root = tmp_path_factory.mktemp("videos")
    for name in ("hop", "jump/takes", "walk/walk"):
        (root / name).mkdir(parents=True)
    encode(root / "hop" / "hop.mp4", times=[80 * n for n in range(45)], count=45)
    encode(root / "jump" / "takes" / "jump.mkv", times=VARIABLE, count=len(VARIABLE))
    for n in range(86):
        save_image(root / "walk" / "walk" / f"{n}.png", picture(7 * n % 61))
    (root / "hop" / "._hop.mp4").write_bytes(b"of another system")
    (root / "hop" / "notes.txt").write_text("not a video")
    return root


@pytest.fixture(scope="module")
def run(videos: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run at 5 frames per second: four subnetworks of several clock rates, primed."""
    config = small_config(data__name="folder", data__path=str(videos), data__in_memory=True)
    config.data.train = config.data.evaluation = {"split": ""}
    config.clip.fps, config.clip.short, config.model.start = 5.0, "hold", "primed"
    config.clip.shorter_side = 20
    config.model.options = {"width": 0.125, "norm": None}
    config.plan.subnetworks, config.plan.clocks = 4, "auto"
    return untrained_run(tmp_path_factory.mktemp("runs") / "run", config)


@pytest.fixture(scope="module")
def evaluated(run: RunFolder) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The frames `[T, H, W, 3]` and logits `[T, classes]` of the evaluation, by class."""
    experiment = build(run.config(), to_train=False)
    load_weights(experiment, run.best)
    batches = zip(AT_5, experiment.evaluation.arrays(), strict=True)
    clips = {name: batch["frames"] for name, batch in batches}
    network = tf.function(experiment.network, reduce_retracing=True)
    return {name: (clip[0], network(tf.constant(clip))[0].numpy()) for name, clip in clips.items()}


@pytest.fixture(scope="module")
def predicted(run: RunFolder) -> dict[str, np.ndarray]:
    path = run.path.parent / "predictions.csv"
    assert mpvn("eval", run.path, "--predictions", path) == 0
    return predictions(path)


def source(videos: pathlib.Path, name: str) -> pathlib.Path:
    (path,) = [path for path in videos.rglob(f"{name}*") if path.parent != videos]
    return path


@pytest.mark.parametrize("name", AT_5)
def test_a_stream_is_the_evaluation(
    name: str,
    videos: pathlib.Path,
    run: RunFolder,
    evaluated: dict[str, tuple[np.ndarray, np.ndarray]],
    predicted: dict[str, np.ndarray],
    capsys: pytest.CaptureFixture,
) -> None:
    """The rate and the names of the run were ignored, and memories started from zeros."""
    path = source(videos, name)
    result = stream(path, run.path)
    printed = capsys.readouterr()
    np.testing.assert_allclose(result.seconds, np.arange(len(AT_5[name])) / 5, atol=1e-6)
    expected = FileVideo(path).read_framed(AT_5[name], Cropped((16, 16), shorter_side=20)).frames
    np.testing.assert_array_equal(result.frames, expected)
    frames, logits = evaluated[name]
    np.testing.assert_allclose(frames, to_signed(expected), atol=2e-7)
    assert len(np.unique(logits.round(4), axis=0)) >= 3  # The slowest clock has moved on, too.
    np.testing.assert_allclose(result.scores, logits, atol=2e-6)
    np.testing.assert_allclose(result.scores.mean(axis=0), predicted[name], atol=2e-6)
    assert result.classes == list(AT_5)
    assert result.answers == [list(AT_5)[best] for best in logits.argmax(axis=1)]
    assert f"answer: {list(AT_5)[predicted[name].argmax()]} " in printed.out
    assert "shown at 5 per second, as in its training" in printed.err


def test_the_clocks_of_the_run_differ(run: RunFolder) -> None:
    plan = load_frame_model(run.network).plan
    assert plan is not None and plan.subnetworks == 4 and plan.period > 1


def test_another_rate_is_the_choice_of_the_user(
    videos: pathlib.Path, run: RunFolder, capsys: pytest.CaptureFixture
) -> None:
    result = stream(source(videos, "hop"), run.network, "--fps", 2.5)
    np.testing.assert_allclose(result.seconds, np.arange(9) / 2.5, atol=1e-6)
    assert "shown at" not in capsys.readouterr().err


def test_a_run_without_a_rate_is_shown_the_rate_of_its_clips_and_says_so(
    videos: pathlib.Path, run: RunFolder, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    """Every other frame is trained on, evaluated and shown; streams showed all of them."""
    config = run.config()
    config.clip.fps, config.clip.stride = None, 2
    own = untrained_run(tmp_path / "run", config)
    evaluation = build(config, to_train=False).evaluation
    # The clips have 12.5 / 2 frames per second. So has every other frame of "hop"; of the 25 frames
    # per second of "walk", it is every fourth.
    for name, expected in (("hop", range(0, 45, 2)), ("walk", range(0, 86, 4))):
        result = stream(source(videos, name), own.path, "--output", tmp_path / "a.mp4")
        (video,) = (video for video in evaluation.videos.videos if f"/{name}" in video.name)
        taken = evaluation.sampling.indices(video.timeline, np.random.default_rng()).tolist()
        assert (taken == list(expected)) == (name == "hop")
        frames = video.read_framed(list(expected), Cropped((16, 16), shorter_side=20)).frames
        np.testing.assert_array_equal(result.frames, frames)
    message = "one of 2 frames is shown, at 6.25.*shown at 6.25 per second.*not the 12.5 of this"
    assert_in_order(message, capsys.readouterr().err)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(list(container.decode(video=0))) == 22


@pytest.mark.usefixtures("short_par_densenet")
@pytest.mark.parametrize("task", ["keypoints", "autoencoding"])
def test_runs_of_other_tasks_are_drawn_by_their_task(
    task: str, videos: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    networks = {"keypoints": "par_densenet", "autoencoding": "autoencoder"}
    config = small_config(task__name=task, model__name=networks[task], clip__fps=5.0)
    config.model.size, config.model.options = 32, {"width": 0.05}
    other = untrained_run(tmp_path / "run", config)
    video, output = source(videos, "hop"), tmp_path / "a.mp4"
    assert mpvn("stream", video, "--model", other.path, "--output", output) == 0
    printed = capsys.readouterr()
    assert "18 frames in" in printed.out
    assert "answer" not in printed.out
    with av.open(str(output)) as container:
        assert len(list(container.decode(video=0))) == 18
    table = tmp_path / "a.csv"
    arguments = ["stream", video, "--model", other.path, "--answers", table]
    assert_mistake("a trained network that recognizes classes.*another task", *arguments)
    assert not table.exists()


def test_a_stream_that_goes_on_after_a_fault_has_the_rows_of_the_others_once(
    videos: pathlib.Path, run: RunFolder, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process before was killed after it wrote a row and before it told so."""
    kept: list[int] = []
    monkeypatch.setattr(supervised, "kept", kept.append)
    table = tmp_path / "a.csv"
    command = ("stream", source(videos, "hop"), "--model", run.path, "--answers", table)

    def rows(done: int | None, *options: object) -> list[dict[str, str]]:
        monkeypatch.setattr(supervised, "orders", lambda: supervised.Orders(0, 0, (), done))
        assert mpvn(*command, *options) == 0
        with open(table, newline="") as file:
            return list(csv.DictReader(file))

    first = rows(None, "--frames", 6)
    assert kept == [1, 2, 3, 4, 5, 6]
    whole = rows(5, "--frames", 9)
    assert kept[6:] == [6, 7, 8, 9]
    assert whole[:5] == first[:5]
    assert [row["reset"] for row in whole] == ["0"] * 5 + ["1"] + ["0"] * 3
    np.testing.assert_allclose([float(row["seconds"]) for row in whole], np.arange(9) / 5)
    rows(5, "--output", tmp_path / "a.mp4")  # starts over
    assert kept[10:] == []
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(list(container.decode(video=0))) == 18


def test_mistakes(
    model: pathlib.Path, videos: pathlib.Path, run: RunFolder, tmp_path: pathlib.Path
) -> None:
    video, table = source(videos, "hop"), tmp_path / "a.csv"
    arguments = ["stream", video, "--answers", table, "--model"]
    assert_mistake("Received: a network without metadata", *arguments, model)
    assert_mistake("is not the folder of a run", *arguments, tmp_path)
    config = tmp_path / "begun" / "config.json"
    config.parent.mkdir()
    config.write_bytes((run.path / "config.json").read_bytes())
    assert_mistake("trained to its end. Received: one without network.keras", "plan", config.parent)
    assert_mistake("replaces nothing", "plan", run.path, "--json", run.path / "config.json")
    assert not table.exists()


def test_the_file_of_a_network_is_enough(
    videos: pathlib.Path, run: RunFolder, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    """Once, the frame rate and the names of the classes stayed in the folder of the run."""
    answers = []
    moved = tmp_path / "moved.keras"
    moved.write_bytes(run.network.read_bytes())
    for model in (run.path, moved):
        table = tmp_path / f"{model.name}.csv"
        arguments = ["--model", model, "--answers", table]
        assert mpvn("stream", source(videos, "hop"), *arguments) == 0
        assert "answer: " in capsys.readouterr().out
        answers.append(table.read_text())
    assert answers[0] == answers[1]


def assert_in_order(pattern: str, text: str) -> None:
    at = 0
    for part in pattern.split(".*"):
        at = text.index(part, at)
