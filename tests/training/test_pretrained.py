"""Runs that take their initial weights or a teacher from another run."""

import pathlib

import numpy as np
import pytest
import torch_files
from small_runs import small_config, untrained_run
from torch_states import WIDTH, torchvision_mobilenet_state, with_small_kernels

from mpvn.training import RunFolder, build, run, train
from mpvn.training.build.pretrained import load_trained
from mpvn.training.evaluation import load_weights


@pytest.mark.usefixtures("eager")
def test_a_run_learns_from_a_teacher_and_starts_with_its_weights(
    trained: RunFolder, tmp_path: pathlib.Path
) -> None:
    """The loss contains the distance from the teacher, whose files do not change."""
    path = str(trained.path)
    config = small_config(
        teacher=path,
        model__initial=path,
        plan__subnetworks=4,
        task__latency=3,
        clip__evaluated=None,
        training__steps=2,
        optimizer__learning_rate=0.001,
    )
    network = trained.network.read_bytes()
    teacher = build(trained.config(), to_train=False).network
    student = build(config)
    teacher.set_weights(student.network.get_weights())  # the same architecture
    assert student.model.lag == 3
    before = [np.array(w) for w in student.network.get_weights()]
    folder = train(config, tmp_path / "student")
    first = next(row for row in folder.rows() if row["split"] == "train")
    assert first["loss"] > first["cross_entropy"] + 1e-4
    assert trained.network.read_bytes() == network
    with np.load(trained.best) as stored:
        for name, value in zip((n for n in stored if n.startswith("model")), before, strict=False):
            np.testing.assert_array_equal(stored[name], value)

    slower = small_config(teacher=str(folder.path))
    with pytest.raises(ValueError, match="answers later.*3 steps below the teacher's"):
        build(slower)


@pytest.mark.usefixtures("eager")
def test_a_run_needs_the_file_of_its_weights_no_more(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """Evaluation read the pretrained file again, and failed where it was moved."""
    path = tmp_path / "images.pth"
    torch_files.write(with_small_kernels(torchvision_mobilenet_state()), path)
    config = small_config(model__name="tsm_mobilenet_v2", model__size=32, model__weights=str(path))
    config.model.options = {"width": WIDTH, "dropout": 0.5}
    folder = untrained_run(tmp_path / "run", config)
    path.unlink()
    experiment = build(config, to_train=False)
    load_weights(experiment, folder.best)
    frames = rng.uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
    expected = load_trained(folder).frame_model(frames)
    assert np.std(expected) > 0
    np.testing.assert_array_equal(experiment.network.frame_model(frames), expected)
    with pytest.raises(ValueError, match="there are no weights .*images.pth"):
        build(config)
    # Nor does the training that goes on from a checkpoint.
    started, built = RunFolder(tmp_path / "started"), []
    monkeypatch.setattr(run, "build", lambda config, resumed, **_: built.append(resumed) or 1 / 0)
    for file in (started.path / "other", started.last):
        file.parent.mkdir(parents=True)
        file.touch()
        with pytest.raises(ZeroDivisionError):
            train(config, started.path)
    assert built == [False, True]


def test_another_architecture_cannot_teach(trained: RunFolder) -> None:
    config = small_config(teacher=str(trained.path))
    config.model.options.width = 0.25
    with pytest.raises(ValueError, match="Expected a teacher of the same architecture"):
        build(config)
    config.model.options.norm = None
    with pytest.raises(ValueError, match="no layer|same architecture"):
        build(config)


def test_weights_of_another_normalization_are_refused(trained: RunFolder) -> None:
    config = small_config(model__initial=str(trained.path))
    config.model.options.norm = "group"
    with pytest.raises(ValueError, match="Expected group norm. Received: batch norm"):
        build(config)


def test_the_latency_of_a_trainer_s_run_is_derived_for_the_teacher_too(
    tmp_path: pathlib.Path,
) -> None:
    """A teacher trained by Sideways over three subnetworks answers two steps late."""
    teacher = untrained_run(
        tmp_path / "teacher", small_config(training__trainer="sideways", plan__subnetworks=3)
    )
    config = small_config(teacher=str(teacher.path), plan__subnetworks=4, task__latency=3)
    assert build(config).model.lag == 1


def test_unfinished_runs_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="is not the folder of a run"):
        build(small_config(teacher=str(tmp_path / "nobody")))
    unfinished = RunFolder(tmp_path / "unfinished")
    unfinished.start(small_config())
    with pytest.raises(ValueError, match="has no network.keras yet. Train that run to its end"):
        build(small_config(model__initial=str(unfinished.path)))
