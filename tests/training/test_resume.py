"""Runs that are stopped at any moment resume, and end with the same weights.

`MPVN_KILLS=n` kills a run 3 n times instead of once.
"""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_runs import small_config, steps, weights

from mpvn.training import Interrupted, RunFolder, train
from mpvn.training import run as training

CONFIG = f"""
import sys
sys.path[:0] = [{str(pathlib.Path(__file__).parents[1])!r}]
from small_runs import small_config

def get_config():
    config = small_config(training__deterministic=True, training__steps=24)
    config.augmentation.brightness = 0.2
    config.model.name, config.model.size = "vgg8", 32
    config.model.options = {{"width": 0.05, "dropout": 0.5}}
    config.optimizer.learning_rate, config.optimizer.schedule = 0.01, "cosine"
    return config
"""
"""Bit-equal runs with dropout, momentum and a schedule, whose states must be restored, too."""


def test_a_run_killed_at_random_ends_with_the_same_weights(tmp_path: pathlib.Path) -> None:
    """By kill -9, SIGTERM or Ctrl-C at random moments of training."""
    config = tmp_path / "config.py"
    config.write_text(CONFIG)

    def command(run: str) -> list[str]:
        arguments = ["train", "--config", str(config), "--run", str(tmp_path / run)]
        return [sys.executable, "-m", "mpvn.cli", *arguments]

    subprocess.run(command("whole"), check=True, capture_output=True)
    whole, killed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    chance = random.Random(5)
    rounds = int(os.environ.get("MPVN_KILLS", 0))
    kills = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT] * rounds or [signal.SIGKILL]
    for number in kills:
        before = steps(killed)
        process = subprocess.Popen(
            command("killed"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        while process.poll() is None and steps(killed) <= before:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(number)
        output, _ = process.communicate()
        assert b"Traceback" not in output, output.decode()
    subprocess.run(command("killed"), check=True, capture_output=True)
    expected, resumed = weights(whole), weights(killed)
    assert resumed.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    last = [[row for row in run.rows() if row["split"] == "evaluation"] for run in (whole, killed)]
    assert last[0][-1] == last[1][-1]


VARIANTS = {
    "sideways on a montage, every 2 steps": {
        "training.trainer": "sideways",
        "training.update_every": 2,
        "clip.montage": 2,
        "clip.interleaved": True,
    },
    "bp in real time": {
        "training.trainer": "bp",
        "training.realtime": True,
        "training.update_every": 1,
    },
    "gpipe": {"training.trainer": "gpipe", "clip.frames": 3},
    "montage along time": {
        "clip.montage": 2,
        "clip.evaluated": None,
        "training.batch_size": 1,
        "task.latency": 2,
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_trainers_resume_from_a_checkpoint(
    variant: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optimizer states, seeds and statistics are in it: a copy of batch 2 ends like the run."""
    config = small_config(
        plan__subnetworks=3,
        optimizer__schedule="cosine",
        training__checkpoint_every=2,
        training__steps=4,
        training__evaluate_every=4,
    )
    config.update_from_flattened_dict(VARIANTS[variant])
    whole, copy = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "copy")
    save = training._save

    def save_and_copy(path: pathlib.Path, *arguments: object) -> None:
        save(path, *arguments)
        if path == whole.last and not copy.path.exists():
            shutil.copytree(whole.path, copy.path)

    with monkeypatch.context() as patched:
        patched.setattr(training, "_save", save_and_copy)
        train(config, whole.path)
    assert [row["learning_rate"] for row in whole.rows() if row["split"] == "train"][-1] == 0
    assert steps(copy) == 2
    train(config, copy.path)
    expected, resumed = weights(whole), weights(copy)
    assert resumed.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(resumed[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


def test_a_signal_stops_a_run_after_its_batch(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = training._Stop.on_train_batch_end
    for number, signal_number in enumerate((signal.SIGTERM, signal.SIGINT), 1):

        def kill_and_check(*arguments: object, logs: object, number: int = signal_number) -> None:
            os.kill(os.getpid(), number)
            check(*arguments, logs=logs)

        monkeypatch.setattr(training._Stop, "on_train_batch_end", kill_and_check)
        with pytest.raises(Interrupted, match=f"stopped after {number} batches; run again"):
            train(small_config(), tmp_path / "run")
        assert steps(RunFolder(tmp_path / "run")) == number
