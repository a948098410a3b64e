"""Runs: what they leave, how they go on, what they refuse."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ml_collections import ConfigDict
from rendered_video import write_rendered_video

from mpvn import cli
from mpvn.training import RunFolder, base_config, build, evaluate, load_config, override, train

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def small_config(**changes: object) -> ConfigDict:
    """A dozen batches of a narrow network on small clips."""
    config = base_config()
    config.data.train = {"count": 24, "frames": 12}
    config.data.evaluation = {"count": 4, "frames": 12}
    config.clip.frames = 6
    config.task.name = "action"
    config.model.name = "simple_cnn"
    config.model.size = 32
    config.model.options = {"width": 0.25, "batch_norm": True}
    config.training.steps = 12
    config.training.batch_size = 4
    config.training.checkpoint_every = 5
    config.training.evaluate_every = 6
    for key, value in changes.items():
        config.update_from_flattened_dict({key.replace("__", "."): value})
    return config


def weights(folder: RunFolder) -> dict[str, np.ndarray]:
    with np.load(folder.last) as stored:
        return {name: stored[name] for name in stored if name != "about"}


def test_a_run_leaves_config_metrics_checkpoints_and_the_network(tmp_path: pathlib.Path) -> None:
    folder = train(small_config(), tmp_path / "run")
    rows = list(folder.rows())
    assert [(row["step"], row["split"]) for row in rows] == [
        (5, "train"),
        (6, "train"),
        (6, "evaluation"),
        (10, "train"),
        (12, "train"),
        (12, "evaluation"),
    ]
    assert all(np.isfinite(row["loss"]) for row in rows)
    assert folder.config() == small_config()
    assert "tensorflow" in json.loads((folder.path / "versions.json").read_text())
    again = build(folder.config())
    found = evaluate(again, folder.last)
    for name, value in found.items():
        assert value == pytest.approx(rows[-1][name], rel=1e-5), name


TASKS = {
    "action": {"model.name": "vgg8", "model.options": {"width": 0.02}, "plan.subnetworks": 4},
    "keypoints": {"model.name": "par_densenet", "model.options": {"width": 0.05}},
    "autoencoding": {"model.name": "autoencoder", "model.options": {"width": 0.1}},
    "future_frame": {"model.name": "full_res", "model.options": {"width": 0.1}},
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_trains_from_a_config(task: str, tmp_path: pathlib.Path) -> None:
    config = small_config(
        clip__frames=12, task__name=task, task__latency=1, training__steps=3, training__batch_size=2
    )
    config.model.options = {}
    config.update_from_flattened_dict(TASKS[task])
    config.training.evaluate_every = 3
    config.clip.evaluated = 0
    *_, last = train(config, tmp_path / "run").rows()
    assert last["split"] == "evaluation"
    assert np.isfinite(last["loss"])


def test_training_lowers_the_loss(tmp_path: pathlib.Path) -> None:
    config = small_config(training__steps=100, training__evaluate_every=100)
    config.task.name = "autoencoding"
    config.model.name = "autoencoder"
    config.model.options = {"width": 0.25}
    config.optimizer.name, config.optimizer.learning_rate = "adam", 0.003
    config.training.checkpoint_every = 25
    rows = [row for row in train(config, tmp_path / "run").rows() if row["split"] == "train"]
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]


# --- stopped and begun again --------------------------------------------------------------------


def command(config: pathlib.Path, run: pathlib.Path) -> list[str]:
    return [sys.executable, "-m", "mpvn.cli", "train", "--config", str(config), "--run", str(run)]


@pytest.fixture
def config_file(tmp_path: pathlib.Path) -> pathlib.Path:
    """A config of bit-equal runs, with dropout, momentum and a schedule that must go on too."""
    path = tmp_path / "config.py"
    path.write_text(
        "import sys\n"
        f"sys.path[:0] = {[str(p) for p in pathlib.Path(__file__).parents[:2]]!r}\n"
        "from test_training import small_config\n"
        "def get_config():\n"
        "    config = small_config(training__deterministic=True, training__steps=40,\n"
        "        optimizer__schedule='cosine', augmentation__brightness=0.2)\n"
        "    config.model.name = 'vgg8'\n"
        "    config.model.options = {'width': 0.05, 'dropout': 0.5}\n"
        "    config.optimizer.learning_rate = 0.01\n"
        "    return config\n"
    )
    return path


def test_killed_at_random_a_run_ends_with_the_same_weights(
    tmp_path: pathlib.Path, config_file: pathlib.Path
) -> None:
    """kill -9, SIGTERM and Ctrl-C at random moments of training; MPVN_KILLS says how many."""
    subprocess.run(command(config_file, tmp_path / "whole"), check=True, capture_output=True)
    expected = weights(RunFolder(tmp_path / "whole"))
    chance = random.Random(5)
    killed = RunFolder(tmp_path / "killed")
    kills = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT] * int(os.environ.get("MPVN_KILLS", 1))
    for number in kills:
        before = steps(killed)
        run = subprocess.Popen(
            command(config_file, killed.path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        while run.poll() is None and steps(killed) <= before:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.3))
        run.send_signal(number)
        output, _ = run.communicate()
        assert b"Traceback" not in output, output.decode()
    subprocess.run(command(config_file, killed.path), check=True, capture_output=True)
    found = weights(killed)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    final = [
        [row for row in run.rows() if row["split"] == "evaluation"][-1] for run in both(tmp_path)
    ]
    assert final[0] == final[1]


def both(folder: pathlib.Path) -> list[RunFolder]:
    return [RunFolder(folder / "whole"), RunFolder(folder / "killed")]


def steps(folder: RunFolder) -> int:
    """Batches that the last checkpoint has."""
    if not folder.last.exists():
        return 0
    with np.load(folder.last) as stored:
        return json.loads(stored["about"].tobytes())["step"]


def test_a_finished_run_stays_as_it_is(tmp_path: pathlib.Path) -> None:
    first = weights(train(small_config(), tmp_path / "run"))
    folder = train(small_config(), tmp_path / "run")
    for name, value in weights(folder).items():
        np.testing.assert_array_equal(value, first[name])
    assert len(list(folder.rows())) == 6


# --- trainers of their own ----------------------------------------------------------------------

TRAINERS = {
    "sideways, every 4 steps": {"training.trainer": "sideways", "training.update_every": 4},
    "bp in real time": {
        "training.trainer": "bp",
        "training.realtime": True,
        "training.update_every": 1,
    },
    "gpipe": {
        "training.trainer": "gpipe",
        "clip.frames": 3,
        "plan.subnetworks": 2,
        "task.latency": 1,
    },
    "montage": {"training.trainer": "sideways", "clip.montage": 2, "clip.interleaved": True},
    "montage along time": {
        "clip.montage": 2,
        "clip.frames": 6,
        "clip.evaluated": 0,
        "training.batch_size": 1,
    },
}


def trained_otherwise(name: str) -> ConfigDict:
    config = small_config(
        clip__frames=12, task__latency=5, plan__subnetworks=6, optimizer__schedule="cosine"
    )
    config.training.batch_size = 2
    config.update_from_flattened_dict(TRAINERS[name])
    return config


@pytest.mark.parametrize("name", TRAINERS)
def test_trainers_go_on_where_they_were_stopped(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of all optimizers, seeds and statistics are in a checkpoint."""
    from mpvn.training import run as training

    class Power(Exception):
        """Fails."""

    def fails(*_: object) -> None:
        raise Power

    config = trained_otherwise(name)
    whole = train(config, tmp_path / "whole")
    assert [row["learning_rate"] for row in whole.rows() if row["split"] == "train"][-1] == 0
    with monkeypatch.context() as patched:
        save = training._save
        saved: list[object] = []
        patched.setattr(training, "_save", lambda *a: saved.append(save(*a)))
        patched.setattr(training, "_evaluate_if_due", lambda *_: fails() if saved else None)
        with pytest.raises(Power):
            train(config, tmp_path / "stopped")
    assert steps(RunFolder(tmp_path / "stopped")) == 5
    stopped = weights(train(config, tmp_path / "stopped"))
    expected = weights(whole)
    assert stopped.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(stopped[key], value, rtol=1e-3, atol=1e-5, err_msg=key)


def test_what_a_trainer_cannot_do_is_refused(tmp_path: pathlib.Path) -> None:
    for changes, message in (
        ({"training__trainer": "forward"}, "known are bp, gpipe, sideways.*'forward'"),
        ({"training__trainer": "gpipe", "training__realtime": True}, "realtime is of trainer bp"),
        ({"training__trainer": "bp", "teacher": "runs/a"}, "cannot follow a teacher"),
        (
            {
                "training__trainer": "sideways",
                "model__name": "par_densenet",
                "model__options": {"width": 0.05, "clocks": True},
            },
            "Sideways is defined for.*clock rate",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            config = small_config(**changes)
            if config.teacher:
                config.teacher = str(train(small_config(training__steps=1), tmp_path / "t").path)
            train(config, tmp_path / "run")


# --- taught -------------------------------------------------------------------------------------


def test_a_run_learns_from_a_teacher(tmp_path: pathlib.Path) -> None:
    """Its loss has the distance from the teacher in it, and the teacher does not learn."""
    teacher = train(small_config(clip__evaluated=0), tmp_path / "teacher")
    changes = {
        "teacher": str(teacher.path),
        "model.initial": str(teacher.path),
        "plan.subnetworks": 4,
        "task.latency": 3,
        "clip.evaluated": 0,
        "model.options": {"width": 0.25, "batch_norm": False},
        "optimizer.learning_rate": 0.001,
    }
    student = small_config(training__steps=4)
    student.update_from_flattened_dict(changes)
    student.model.options = {"width": 0.5, "batch_norm": True}
    with pytest.raises(ValueError, match="no layer"):
        build(student)
    student.model.options = {"width": 0.25, "batch_norm": True}
    its = build(teacher.config())
    before = evaluate(its, teacher.best)
    for mine, other in zip(
        build(student).network.get_weights(), its.network.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, other)
    folder = train(student, tmp_path / "student")
    *_, last = folder.rows()
    assert np.isfinite(last["loss"])
    first = next(row for row in folder.rows() if row["split"] == "train")
    assert first["loss"] > first["cross_entropy"] + 1e-4  # the distance is part of it
    assert evaluate(build(teacher.config()), teacher.best) == before  # the teacher learned nothing
    with pytest.raises(ValueError, match="is no folder of a run"):
        build(small_config(teacher=str(tmp_path / "nobody")))
    unfinished = RunFolder(tmp_path / "unfinished")
    unfinished.begin(small_config())
    with pytest.raises(ValueError, match="has no network.keras yet: train it to its end first"):
        build(small_config(model__initial=str(unfinished.path)))
    early = small_config(teacher=str(tmp_path / "student"))
    with pytest.raises(ValueError, match="answers later .* 3 steps below"):
        build(early)


# --- rewired ------------------------------------------------------------------------------------


def test_a_trained_network_is_evaluated_under_another_plan(tmp_path: pathlib.Path) -> None:
    """A chain of six units answers five steps late: with latency 5 it says the same, later."""
    folder = train(small_config(), tmp_path / "run")
    whole = override(folder.config(), ["--config.clip.evaluated=0"])
    late = override(whole, ["--config.plan.subnetworks=6", "--config.task.latency=5"])
    late.clip.frames = whole.clip.frames + 5
    found = {}
    for name, config in {"as trained": whole, "late": late}.items():
        experiment = build(config)
        clips = next(iter(build(whole).evaluation.dataset()))
        frames = clips["frames"]
        if name == "late":
            frames = np.concatenate([frames, frames[:, -5:]], axis=1)
        evaluate(experiment, folder.best)
        found[name] = experiment.network(frames).numpy()
    np.testing.assert_allclose(found["late"][:, 5:], found["as trained"], rtol=1e-4, atol=1e-5)
    assert np.abs(found["late"][:, :6] - found["as trained"]).max() > 1e-3


def test_the_command_trains_and_evaluates(
    tmp_path: pathlib.Path, config_file: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    run = tmp_path / "run"
    options = ["--config.training.steps=4", "--config.training.deterministic=False"]
    arguments = ["train", "--config", str(config_file), "--run", str(run), *options]
    assert cli.main(arguments) == 0
    assert f"written to {run}" in capsys.readouterr().out
    arguments = ["eval", str(run), "--config.plan.subnetworks=8", "--config.task.latency=2"]
    assert cli.main(arguments) == 0
    assert "subnetworks: 8" in capsys.readouterr().out


def test_a_folder_of_class_folders_is_trained_on(tmp_path: pathlib.Path) -> None:
    for number, name in enumerate(("run", "jump", "run", "jump")):
        place = tmp_path / "videos" / name / f"{number}.mp4"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_rendered_video(place, frames=10, size=(48, 64), seed=number)
    config = small_config(data__name="folder", data__path=str(tmp_path / "videos"))
    config.data.train, config.data.evaluation = {"split": None}, {"split": None}
    config.training.steps = 4
    experiment = build(config)
    assert experiment.training.videos.classes == ("jump", "run")
    *_, last = train(config, tmp_path / "run").rows()
    assert np.isfinite(last["loss"])


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.name=ucf11", "config.data.name: known are rendered_figures, .*'ucf11'"),
        ("data.name=ucf101", "config.data.path must say where ucf101 is"),
        ("task.name=poses", "config.task.name: known are action.*'poses'"),
        ("model.name=par_densnet", "Did you mean par_densenet"),
        ("optimizer.name=lbfgs", "config.optimizer.name: known are sgd, adam"),
        ("optimizer.schedule=linear", "known are constant, steps, cosine"),
        ("plan.subnetworks=7", "expected 1 to 6, because.*Received: 7"),
        ("clip.frames=99", "at least 99 frames. Received: 12 frames"),
        ("clip.short=cut", "short: expected one of error, loop, hold"),
    ],
)
def test_a_run_refuses(change: str, message: str, tmp_path: pathlib.Path) -> None:
    config = override(small_config(), [f"--config.{change}"])
    with pytest.raises(ValueError, match=message):
        train(config, tmp_path / "run")


def test_misspelled_keys_and_values_are_refused() -> None:
    path = CONFIGS / "rendered_keypoints.py"
    assert load_config(path, ["--config.seed=4"]).seed == 4
    for option, message in {
        "--config.sed=3": 'Did you mean "seed"',
        "--config.training.setps=3": 'Did you mean "steps"',
        "--config.seed=x": "config.seed=x",
        "--sed=3": "command line flag .sed",
    }.items():
        with pytest.raises(ValueError, match=message):
            load_config(path, [option])
    with pytest.raises(ValueError, match="there is no config 'nowhere.py'"):
        load_config("nowhere.py")


def test_a_folder_of_another_run_is_refused(tmp_path: pathlib.Path) -> None:
    train(small_config(training__steps=2), tmp_path / "run")
    with pytest.raises(ValueError, match="another config: training.steps differ"):
        train(small_config(training__steps=3), tmp_path / "run")


def test_a_checkpoint_of_another_network_is_refused(tmp_path: pathlib.Path) -> None:
    folder = train(small_config(training__steps=2), tmp_path / "run")
    other = small_config()
    other.model.options = {"width": 0.5, "batch_norm": False}
    experiment = build(other)
    before = experiment.network.get_weights()
    with pytest.raises(ValueError, match="best.npz is of another network .* tensors differ"):
        evaluate(experiment, folder.best)
    for old, new in zip(before, experiment.network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    folder.best.write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="is no checkpoint"):
        evaluate(experiment, folder.best)
