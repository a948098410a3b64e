"""Runs: what they write, what they learn, and what they refuse."""

import json
import pathlib

import numpy as np
import pytest
from command_line import assert_mistake
from small_runs import small_config, weights

from mpvn import cli
from mpvn.report.run import write_run_report
from mpvn.tasks.registry import TASKS
from mpvn.training import RunFolder, build, evaluate, override, train


def test_a_run_writes_config_metrics_checkpoints_and_the_network(trained: RunFolder) -> None:
    rows = list(trained.rows())
    assert [(row["step"], row["split"]) for row in rows] == [
        (3, "train"),
        (3, "evaluation"),
        (4, "train"),
        (6, "train"),
        (6, "evaluation"),
    ]
    assert all(np.isfinite(row["loss"]) for row in rows)
    assert trained.config() == small_config()
    assert "tensorflow" in json.loads((trained.path / "versions.json").read_text())
    assert trained.skipped == {}
    metrics = evaluate(build(trained.config()), trained.last)
    for name, value in metrics.items():
        assert value == pytest.approx(rows[-1][name], rel=1e-5), name


NETWORKS = {
    "action": {"model.name": "vgg8", "model.options": {"width": 0.02}, "plan.subnetworks": 4},
    "keypoints": {"model.name": "par_densenet", "model.options": {"width": 0.05, "clocks": False}},
    "autoencoding": {"model.name": "autoencoder", "model.options": {"width": 0.25}},
    "future_frame": {"model.name": "full_res", "model.options": {"width": 0.1}},
}

TRAINED_ELSEWHERE = {"multi_label_action"}  # in tests/cli/test_predictions_command.py


@pytest.mark.usefixtures("eager", "short_par_densenet")
@pytest.mark.parametrize("task", sorted(TASKS.keys() - TRAINED_ELSEWHERE))
def test_every_task_trains_and_has_a_report(task: str, tmp_path: pathlib.Path) -> None:
    config = small_config(
        clip__frames=10, clip__evaluated=None, task__name=task, task__latency=1, model__size=32
    )
    config.data.train.frames = config.data.evaluation.frames = 12
    config.training.steps = config.training.evaluate_every = 2
    config.model.options = {}
    config.update_from_flattened_dict(NETWORKS[task])
    folder = train(config, tmp_path / "run")
    *_, last = folder.rows()
    assert last["split"] == "evaluation"
    assert np.isfinite(last["loss"])
    page = write_run_report(folder, build(config, to_train=False)).read_text()
    assert page.count("<svg") == (5 if task == "action" else 3)  # and the confusion of classes
    pictures = page.count("<img")
    assert pictures >= 5 if task == "action" else pictures == (2 if task == "future_frame" else 5)
    assert "after 2 batches:" in page
    assert "not finished" not in page
    assert "data.train.count = 12\n" in page
    assert "clip.stride" not in page
    assert "tensorflow" in page


def test_training_lowers_the_loss(tmp_path: pathlib.Path) -> None:
    config = small_config(training__steps=30, training__evaluate_every=30)
    config.data.train.count = 4
    config.training.checkpoint_every = 10
    config.optimizer.name, config.optimizer.learning_rate = "adam", 0.01
    rows = [row for row in train(config, tmp_path / "run").rows() if row["split"] == "train"]
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]


def test_a_trained_network_is_evaluated_with_another_plan(
    trained: RunFolder, capsys: pytest.CaptureFixture
) -> None:
    """A chain of six units answers five steps late: the same outputs, five steps later."""
    late = ["--config.plan.subnetworks=6", "--config.task.latency=5"]
    sequential = build(trained.config(), to_train=False)
    parallel = build(override(trained.config(), late), to_train=False)
    frames = next(iter(sequential.evaluation.dataset()))["frames"]
    evaluate(sequential, trained.best)
    parallel.network.set_weights(sequential.network.get_weights())
    expected = sequential.network(frames).numpy()
    outputs = parallel.network(np.concatenate([frames, frames[:, -5:]], axis=1)).numpy()
    np.testing.assert_allclose(outputs[:, 5:], expected, rtol=1e-4, atol=1e-5)
    assert np.abs(outputs[:, : expected.shape[1]] - expected).max() > 1e-3

    assert cli.main(["eval", str(trained.path), *late]) == 0
    printed = capsys.readouterr()
    assert "subnetworks: 6" in printed.out
    assert "skipped" not in printed.err


def test_a_compiled_network_has_the_metrics_of_the_network(
    trained: RunFolder, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    target = tmp_path / "metrics.json"
    late = ["--config.plan.subnetworks=6", "--config.task.latency=5"]  # not all steps count
    options = ["--runtime=tensorflow", f"--json={target}"]
    assert cli.main(["eval", str(trained.path), *options, *late]) == 0
    assert "network  TensorFlow, compiled" in capsys.readouterr().out
    stored = json.loads(target.read_text())
    assert stored["metrics"] == pytest.approx(stored["network_metrics"], rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--precision=int8"], "--precision int8 and --calibrate VIDEOS: expected both"),
        (["--calibrate=training"], "Received: --precision float32, --calibrate training"),
        (["--runtime=network"], "expected what compiles the network"),
        (["--runtime=openvino", "--views"], "Received: --views. Leave it out"),
        (["--calibrate=training", "--calibrate=a.mp4"], "such as ./training"),
    ],
)
def test_ways_to_evaluate_that_do_not_go_together(
    options: list[str], message: str, tmp_path: pathlib.Path
) -> None:
    assert_mistake(message, "eval", tmp_path, *options)


# --- refused ------------------------------------------------------------------------------------


def test_a_finished_run_is_left_as_it_is(copied: RunFolder) -> None:
    before = weights(copied)
    train(small_config(), copied.path)
    for name, value in weights(copied).items():
        np.testing.assert_array_equal(value, before[name])
    assert len(list(copied.rows())) == 5


def test_the_folder_of_another_run_is_refused(copied: RunFolder) -> None:
    with pytest.raises(ValueError, match="another config.*other values of training.steps"):
        train(small_config(training__steps=3), copied.path)


def test_a_checkpoint_of_another_network_is_refused(
    copied: RunFolder, capsys: pytest.CaptureFixture
) -> None:
    other = small_config()
    other.model.options.norm = None
    experiment = build(other)
    before = experiment.network.get_weights()
    with pytest.raises(ValueError, match="best.npz belongs to another network .* tensors differ"):
        evaluate(experiment, copied.best)
    for old, new in zip(before, experiment.network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert cli.main(["eval", str(copied.path), "--config.model.options.width=0.2"]) == 2
    message = capsys.readouterr().err
    assert "best.npz belongs to another network" in message
    assert "with the config of the run" in message
    assert "Traceback" not in message
    copied.best.write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="best.npz is damaged: it is cut, or is not"):
        evaluate(experiment, copied.best)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.name=ucf11", "config.data.name. Expected one of rendered_figures, .*'ucf101'"),
        ("data.name=ucf101", "config.data.path: expected where ucf101 is on disk"),
        ("data.train={}", "config.data.train: expected the options .*missing.*'count'"),
        ("task.name=poses", "config.task.name. Expected one of action.*'poses'"),
        ("model.name=par_densnet", "Did you mean par_densenet"),
        ("optimizer.name=lbfgs", "config.optimizer.name. Expected one of sgd, adam"),
        ("optimizer.schedule=steps", "config.optimizer.boundaries: expected when the rate falls"),
        ("optimizer.schedule=linear", "Expected one of constant, steps, cosine"),
        ("plan.subnetworks=7", "expected 1 to 6, because.*Received: 7"),
        ("clip.frames=99", "at least 99 frames. Received: 8 frames"),
        ("clip.short=cut", "config.clip.short. Expected one of error, loop, hold"),
    ],
)
def test_a_run_refuses_what_does_not_exist(
    change: str, message: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match=message):
        train(override(small_config(), [f"--config.{change}"]), tmp_path / "run")
