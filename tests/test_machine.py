"""What the process runs on, and whether other processes use its cores."""

import collections
import os
import platform
import sys
import types

import keras
import numpy as np
import psutil
import pytest
import tensorflow as tf
from pytest import approx

import mpvn
from mpvn import machine

Times = collections.namedtuple("Times", ["user", "nice", "system", "idle", "steal", "guest"])


def test_versions_are_those_of_the_packages_that_compute() -> None:
    expected = {"mpvn": mpvn, "tensorflow": tf, "keras": keras, "numpy": np}
    found = machine.versions()
    assert {name: found[name] for name in expected} == {
        name: package.__version__ for name, package in expected.items()
    }
    assert f"TensorFlow {tf.__version__}" in machine.versions_text()
    assert machine.environment()["python"] == platform.python_version()


def test_the_build_of_a_package_is_not_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    package = types.SimpleNamespace(__version__="2026.4.1-22982-e213a147257-releases/2026/4")
    monkeypatch.setitem(sys.modules, "openvino", package)
    assert machine.versions()["openvino"] == "2026.4.1"


def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 6}, raising=False)
    assert machine.usable_cores() == 3
    assert ", 3 cores," in machine.machine_text()
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert machine.usable_cores() == 1
    assert ", 1 core," in machine.machine_text()


def test_the_peak_of_memory_stays_when_memory_is_freed() -> None:
    resident = psutil.Process().memory_info().rss
    assert machine.peak_memory() >= 0.99 * resident  # the kernel counts pages in batches
    block = np.ones(2**23)
    peak = machine.peak_memory()
    del block
    assert machine.peak_memory() >= 0.99 * peak > 2**26


def test_others_have_what_the_usable_cores_spent_without_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In 10 s, cores 0 and 2 of 3 were busy for 9 s and 6 s, of which 11 s were our own."""
    wall, own = [100.0, 110.0], [5.0, 16.0]
    before = [Times(1, 2, 3, 50, 4, 1)] * 3
    after = [
        Times(user=6, nice=3, system=4, idle=51, steal=6, guest=9),
        Times(user=11, nice=2, system=3, idle=50, steal=4, guest=1),  # may not be used
        Times(user=7, nice=2, system=3, idle=54, steal=4, guest=1),
    ]
    cores = [before, after]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: cores.pop(0))
    monkeypatch.setattr("time.perf_counter", lambda: wall.pop(0))
    monkeypatch.setattr("time.process_time", lambda: own.pop(0))
    others = machine.OtherProcesses()
    assert others.share() == approx((9 + 6 - 11) / (2 * 10))
