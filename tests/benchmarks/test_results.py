"""The benchmarks' scripts, results and READMEs agree with each other."""

import argparse
import json
import pathlib
import sys

import pytest

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
RESULTS = sorted(BENCHMARKS.glob("*/results/*.json"))
SCRIPTS = [
    *sorted(BENCHMARKS.glob("*/run.py")),
    BENCHMARKS / "depth_parallel_training/speed.py",
    BENCHMARKS / "depth_parallel_training/memory.py",
    BENCHMARKS / "distributed/bounds.py",
    BENCHMARKS / "distributed/tables.py",
    BENCHMARKS / "distributed/break_even.py",
    BENCHMARKS / "distributed/large_batch.py",
    BENCHMARKS / "distributed/scaling.py",
]


def name_of(path: pathlib.Path) -> str:
    return str(path.relative_to(BENCHMARKS))


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_script_has_help(path: pathlib.Path, load, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load(path)
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit) as finished:
        if hasattr(script, "main"):
            script.main()
        else:
            script.run_questions(str(path), script.__doc__, script.QUESTIONS)
    assert finished.value.code == 0


@pytest.mark.parametrize(
    "path",
    [p for p in RESULTS if p.parts[-3] != "training_memory"],
    ids=name_of,
)
def test_table_is_that_of_the_results(path: pathlib.Path, load, tmp_path: pathlib.Path) -> None:
    reporting = load(BENCHMARKS / "reporting.py")
    text = (path.parents[1] / "README.md").read_text()
    copy = tmp_path / "README.md"
    copy.write_text(text)
    reporting.insert_table(copy, path.stem, json.loads(path.read_text()))
    assert copy.read_text() == text


def test_table_of_memory_is_that_of_the_results(
    load, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load(BENCHMARKS / "training_memory/run.py")
    text = (script.HERE / "README.md").read_text()
    (tmp_path / "README.md").write_text(text)
    (tmp_path / "results").symlink_to(script.HERE / "results")
    monkeypatch.setattr(script, "HERE", tmp_path)
    script.update_table()
    assert (tmp_path / "README.md").read_text() == text


@pytest.mark.parametrize("name", ["tables.py", "break_even.py", "scaling.py"])
def test_each_table_of_devices_has_its_place_in_the_readme(name: str, load) -> None:
    script = load(BENCHMARKS / "distributed" / name)
    text = (script.HERE / "README.md").read_text()
    for table in script.QUESTIONS:
        assert text.count(f"<!-- {table} -->\n") == text.count(f"<!-- end of {table} -->\n") == 1


def runs(path: str) -> list[str]:
    return [row["run"] for row in json.loads((BENCHMARKS / path).read_text())["rows"]]


OPTIONS = argparse.Namespace(small=False, runs=pathlib.Path("runs"))


@pytest.mark.parametrize(
    "section", ["autoencoding", "classification", "future_frame", "robustness"]
)
def test_sideways_settings_are_valid_and_in_the_results(section: str, load) -> None:
    script = load(BENCHMARKS / "sideways_learning/run.py")
    settings = list(script.SECTIONS[section].settings())
    assert [s.name for s in settings] == runs(f"sideways_learning/results/{section}.json")
    for setting in settings:
        assert script.cell(section, setting, 0, OPTIONS).config.seed == 0


@pytest.mark.parametrize("task", ["actions", "keypoints"])
def test_learning_settings_are_valid_and_in_the_results(task: str, load) -> None:
    script = load(BENCHMARKS / "learning/run.py")
    settings = list(script.SETTINGS[task]())
    names = [setting.name.replace(",", ", ") for setting in settings]
    assert names == runs(f"learning/results/{task}.json")
    for setting in settings:
        if not setting.rewired:  # their config is that of a finished run
            assert script.cell(task, setting, 0, OPTIONS.runs, small=False).config.seed == 0


def test_networks_of_order_of_frames_are_valid(load) -> None:
    script = load(BENCHMARKS / "order_of_frames/run.py")
    for name in script.NETWORKS:
        assert script.cell(name, 0, OPTIONS).config.seed == 0


def test_large_batches_see_the_same_clips_at_rates_in_proportion(load) -> None:
    script = load(BENCHMARKS / "distributed/large_batch.py")
    for setting in script.SETTINGS:
        config = script.cell(setting, 0, OPTIONS).config
        clips = script.clips_of_update(config)
        assert clips == config.training.batch_size * setting.factor
        assert config.training.steps % setting.factor == 0
        scaled = setting.rule != "rate not scaled"
        rate = 0.02 * (setting.factor if scaled else 1)
        assert script.scaled_rate(config) == pytest.approx(rate)
