"""Evaluation in real time, against NumPy: late answers, compared with the frames of their steps."""

from typing import Any

import numpy as np
import pytest
from random_weights import randomize
from small_runs import small_config

from mpvn.network import VideoNetwork
from mpvn.sideways.real_time import RealTime
from mpvn.training import build, evaluate

PIPELINE = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
BLOCKED = [0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 10, 10]
"""The frames whose outputs stand at steps 2, 3, ..., 13 of three subnetworks."""


@pytest.fixture(scope="module")
def measured() -> tuple[Any, np.ndarray, np.ndarray]:
    """Return a blocked experiment, its clips, and the outputs of single frames."""
    config = small_config(
        task__name="autoencoding",
        model__name="autoencoder",
        plan__subnetworks=3,
        data__evaluation={"count": 2, "frames": 14, "seed": 0},
        training__trainer="bp",
        training__realtime=True,
        training__evaluate_realtime=True,
    )
    experiment = build(config, to_train=False)
    model = experiment.network.frame_model
    randomize(model, np.random.default_rng(1))
    clips = np.concatenate([batch["frames"] for batch in experiment.evaluation.arrays()])
    return experiment, clips, np.reshape(model(clips.reshape(-1, 16, 16, 3)), clips.shape)


def test_both_protocols_stand_side_by_side(measured: Any) -> None:
    """In real time the newest output meets the present frame; else an output meets its own frame.

    The other protocol runs the network as a pipeline, also if it was blocked in training.
    """
    experiment, clips, outputs = measured
    metrics = evaluate(experiment)
    mse = np.mean((outputs[:, BLOCKED] - clips[:, 2:]) ** 2)
    assert metrics["mse_realtime"] == pytest.approx(mse, rel=1e-4)
    assert metrics["psnr_realtime"] == pytest.approx(10 * np.log10(4 / mse), rel=1e-4)
    of_source = np.mean((outputs[:, :-2] - clips[:, :-2]) ** 2)
    assert metrics["mse"] == pytest.approx(of_source, rel=1e-4)
    assert metrics.keys() == {"loss", "mse", "psnr", "mse_realtime", "psnr_realtime"}


@pytest.mark.parametrize(("blocked", "frames"), [(False, PIPELINE), (True, BLOCKED)])
def test_the_newest_output_stands(measured: Any, blocked: bool, frames: list[int]) -> None:
    experiment, clips, outputs = measured
    model = RealTime(experiment.network, blocked)
    assert model.first_step == 2
    answers = np.asarray(model(clips, training=False))
    np.testing.assert_allclose(answers[:, 2:], outputs[:, frames], rtol=1e-4, atol=1e-5)
    scores = experiment.task.in_real_time(2).score(answers, {"frames": clips})
    mse = np.mean((outputs[:, frames] - clips[:, 2:]) ** 2)
    assert scores["mse"] == pytest.approx(mse, rel=1e-4)


def test_a_blocked_network_reads_no_other_frame(measured: Any) -> None:
    experiment, clips, outputs = measured
    read = np.isin(np.arange(14), BLOCKED)[:, None, None, None]
    answers = RealTime(experiment.network, blocked=True)(np.where(read, clips, np.nan))
    np.testing.assert_allclose(answers[:, 2:], outputs[:, BLOCKED], rtol=1e-4, atol=1e-5)


def test_a_primed_network_is_late_all_the_same(measured: Any) -> None:
    """The first frame fills its subnetworks before step 0, and the next frames take their time."""
    experiment, clips, outputs = measured
    network = VideoNetwork(experiment.network.frame_model, experiment.network.plan, start="primed")
    model = RealTime(network, blocked=True)
    assert model.first_step == 0
    answers = np.asarray(model(clips, training=False))
    np.testing.assert_allclose(answers, outputs[:, [0, 0, *BLOCKED]], rtol=1e-4, atol=1e-5)
