"""Runs that are stopped at any moment resume, and end with the same weights.

`MPVN_KILLS=n` kills a run n times at random moments, and also 3 n times as a process: by kill -9,
SIGTERM and Ctrl-C.
"""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from damaged_videos import write_damaged_set
from ml_collections import ConfigDict
from one_build import OneBuild
from small_runs import small_config, steps, weights

from mpvn.training import Interrupted, RunFolder, train
from mpvn.training import run as training
from mpvn.training.callbacks import Stop

KILLS = int(os.environ.get("MPVN_KILLS", 0))

CONFIG = f"""
import sys
sys.path[:0] = [{str(pathlib.Path(__file__).parents[1])!r}]
from small_runs import small_config

def get_config():
    config = small_config(training__deterministic=True, training__steps=24)
    config.augmentation.brightness = 0.2
    config.data.name, config.data.path = "folder", SET
    config.data.train = config.data.evaluation = {{"split": None}}
    config.model.name, config.model.size = "vgg8", 32
    config.model.options = {{"width": 0.05, "dropout": 0.5}}
    config.optimizer.learning_rate, config.optimizer.schedule = 0.01, "cosine"
    return config
"""
"""Bit-equal runs with dropout, momentum and a schedule, whose states must be restored, too."""


def on_damaged_videos(path: pathlib.Path) -> ConfigDict:
    config = small_config(
        seed=7,
        data__name="folder",
        data__path=str(write_damaged_set(path)),
        clip__evaluated=None,
        optimizer__schedule="cosine",
        training__steps=9,
        training__checkpoint_every=2,
        training__evaluate_every=5,
        augmentation__mixup=0.5,
    )
    config.data.train = config.data.evaluation = {"split": None}
    config.model.name, config.model.size = "vgg8", 32
    config.model.options = {"width": 0.02, "dropout": 0.5}
    return config


def assert_ended_alike(run: RunFolder, whole: RunFolder) -> None:
    """Check that two runs have bit-equal weights, results, and records of damaged videos."""
    expected, actual = weights(whole), weights(run)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value, err_msg=name)
    evaluations = [
        [row for row in each.rows() if row["split"] == "evaluation"] for each in (run, whole)
    ]
    assert evaluations[0] == evaluations[1]
    assert (run.skipped, run.damaged) == (whole.skipped, whole.damaged)
    assert [each.name for each in run.path.iterdir()].count("lock") == 0


class Killed(BaseException):
    """Stands for the end of the process."""


@contextlib.contextmanager
def killed_at(moment: int) -> Iterator[list[int]]:
    """Raise `Killed` at one of the moments that change files or weights; yield their number."""
    seen = [0]

    def pass_by() -> None:
        seen[0] += 1
        if seen[0] == moment:
            raise Killed

    def watched(function: Callable) -> Callable:
        def replaced(*arguments: object, **options: object) -> object:
            pass_by()
            result = function(*arguments, **options)
            pass_by()
            return result

        return replaced

    with pytest.MonkeyPatch.context() as patched:
        for owner, name in ((os, "replace"), (RunFolder, "write"), (Stop, "on_train_batch_end")):
            patched.setattr(owner, name, watched(getattr(owner, name)))
        yield seen


def test_a_run_killed_at_random_moments_ends_with_the_same_weights(tmp_path: pathlib.Path) -> None:
    """Before and after batches, rows of metrics, and renamed files.

    The videos are damaged: unreadable, too short, or only near the end. Once, a run that was
    continued replaced other clips than one that was not.
    """
    config, chance = on_damaged_videos(tmp_path / "set"), random.Random(1)
    whole, killed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training, "build", OneBuild(tmp_path))
        with killed_at(-1) as moments:
            train(config, whole.path)
        damaged, skipped = (
            {pathlib.Path(name).stem for name in names} for names in (whole.damaged, whole.skipped)
        )
        assert damaged == {"late", "later"}
        assert skipped == {"text", "short"}
        for _ in range(KILLS or 2):
            with contextlib.suppress(Killed), killed_at(chance.randint(1, moments[0] // 2)):
                train(config, killed.path)
                assert_ended_alike(killed, whole)
                shutil.rmtree(killed.path)
        train(config, killed.path)
    assert_ended_alike(killed, whole)


@pytest.mark.skipif(not KILLS, reason="MPVN_KILLS is not set; see `make soak`")
def test_a_process_killed_at_random_ends_with_the_same_weights(tmp_path: pathlib.Path) -> None:
    config = tmp_path / "config.py"
    config.write_text(CONFIG.replace("SET", repr(str(write_damaged_set(tmp_path / "set")))))

    def command(run: str) -> list[str]:
        arguments = ["train", "--config", str(config), "--run", str(tmp_path / run)]
        return [sys.executable, "-m", "mpvn.cli", *arguments]

    subprocess.run(command("whole"), check=True, capture_output=True)
    whole, killed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    chance = random.Random(5)
    for number in KILLS * [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]:
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
    assert_ended_alike(killed, whole)


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


@pytest.mark.filterwarnings("ignore:GPipe. batch norm")
@pytest.mark.parametrize("variant", VARIANTS)
def test_trainers_resume_from_a_checkpoint(
    variant: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optimizer states, seeds and statistics are in it: a copy of batch 2 ends like the run.

    Without evaluations, which change nothing in training: the tests above compare them.
    """
    monkeypatch.setattr(training, "evaluate", lambda *_, **__: {"loss": 0.0})
    monkeypatch.setattr(training, "example", lambda *_: None)
    config = small_config(
        plan__subnetworks=3,
        optimizer__schedule="cosine",
        training__checkpoint_every=2,
        training__steps=4,
        training__evaluate_every=4,
    )
    config.update_from_flattened_dict(VARIANTS[variant])
    whole, copy = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "copy")
    save = training.save_checkpoint

    def save_and_copy(path: pathlib.Path, *arguments: object) -> None:
        save(path, *arguments)
        if pathlib.Path(path) == whole.last and not copy.path.exists():
            shutil.copytree(whole.path, copy.path)

    monkeypatch.setattr(training, "build", OneBuild(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(training, "save_checkpoint", save_and_copy)
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
    """The third signal comes with an evaluation due, which the resumed run makes up for."""
    monkeypatch.setattr(training, "build", OneBuild(tmp_path))
    check = Stop.on_train_batch_end
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in signals]
    for number, signal_number in enumerate(signals, 1):

        def kill_and_check(*arguments: object, logs: object, number: int = signal_number) -> None:
            os.kill(os.getpid(), number)
            check(*arguments, logs=logs)

        monkeypatch.setattr(Stop, "on_train_batch_end", kill_and_check)
        with pytest.raises(Interrupted, match=f"stopped after {number} batches; run again"):
            train(small_config(), tmp_path / "run")
        assert steps(RunFolder(tmp_path / "run")) == number
    assert [signal.getsignal(number) for number in signals] == handlers
    monkeypatch.setattr(Stop, "on_train_batch_end", check)
    train(small_config(), tmp_path / "run")
    rows = [row["step"] for row in RunFolder(tmp_path / "run").rows() if row["split"] != "train"]
    assert rows == [3, 6]


def test_an_ignored_signal_stays_ignored() -> None:
    """Under `nohup`, a closed terminal does not stop training."""
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, handler)
