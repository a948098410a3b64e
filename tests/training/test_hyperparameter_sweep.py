"""Hyper-parameter sweeps: run in processes, resumed, rewired, measured, drawn."""

import contextlib
import json
import pathlib
from typing import IO

import pytest

from mpvn import cli
from mpvn.report.sweep import main_metric, sweep_figures, write_sweep_report
from mpvn.training import RunFolder, hyperparameter_sweep
from mpvn.training.hyperparameter_sweep import Cell, collect, default_grid, grid_cells, run_cells


@pytest.fixture
def config_file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "small.py"
    path.write_text(
        "import sys\n"
        f"sys.path[:0] = [{str(pathlib.Path(__file__).parents[1])!r}]\n"
        "from small_runs import small_config as get_config\n"
        "def get_grid():\n"
        "    return {'plan.subnetworks': (1, 3), 'seed': (0,)}\n"
    )
    return path


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands of cells in this process, which is faster."""

    def call(command: list[str], output: IO[str], *_: object) -> int:
        with contextlib.redirect_stderr(output):
            return cli.main(command[3:])

    monkeypatch.setattr(hyperparameter_sweep, "_call", call)


def run(*arguments: str) -> int:
    return cli.main(arguments)


def test_a_sweep_trains_in_processes_resumes_and_reports(
    tmp_path: pathlib.Path, config_file: pathlib.Path, capfd: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "sweep"
    arguments = ["sweep", "--config", str(config_file), "--output", str(folder), "--jobs", "2"]
    arguments += [f"--config.training.{key}=2" for key in ("steps", "evaluate_every")]
    assert run(*arguments) == 0
    rows = json.loads((folder / "results.json").read_text())
    assert [(row["plan.subnetworks"], row["seed"]) for row in rows] == [(1, 0), (3, 0)]
    for row in rows:
        cell = RunFolder(folder / f"plan.subnetworks={row['plan.subnetworks']},seed=0")
        *_, last = cell.rows()
        assert row["loss"] == last["loss"]
        assert row["frames/s"] > 0
        assert row["information_latency"] == row["plan.subnetworks"] - 1
    page = (folder / "report.html").read_text()
    assert "2 runs in 2 settings" in page
    assert "subnetworks" in page

    written = [path.stat().st_mtime_ns for path in sorted(folder.rglob("last.npz"))]
    assert run(*arguments) == 0
    assert [path.stat().st_mtime_ns for path in sorted(folder.rglob("last.npz"))] == written


@pytest.mark.usefixtures("in_process")
def test_a_sweep_rewires_a_trained_network(trained: RunFolder, tmp_path: pathlib.Path) -> None:
    best = min(row["loss"] for row in trained.rows() if row["split"] == "evaluation")
    output, grid = tmp_path / "rewired", ["--grid", "plan.subnetworks=1,6"]
    assert run("sweep", "--rewire", str(trained.path), *grid, "--output", str(output)) == 0
    same, other = json.loads((output / "results.json").read_text())
    assert same["loss"] == pytest.approx(best, rel=1e-5)
    assert other["loss"] != pytest.approx(best, rel=1e-5)


@pytest.mark.usefixtures("in_process")
def test_a_run_with_another_config_is_not_done(
    copied: RunFolder, config_file: pathlib.Path
) -> None:
    first = Cell(copied.path, config_file, ())
    assert first.done
    longer = Cell(copied.path, config_file, ("--config.training.steps=7",))
    assert not longer.done
    with pytest.raises(ValueError, match="1 of 1 runs failed:\n.*other values of training.steps"):
        run_cells([longer])
    assert [row["seed"] for row in collect([first, longer], {"seed": (0,)})] == [0]


def test_a_sweep_refuses(tmp_path: pathlib.Path, config_file: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="Did you mean 'subnetworks'"):
        grid_cells(tmp_path, config_file, {"plan.subnetwork": (1,)})
    bare = tmp_path / "bare.py"
    bare.write_text("def get_config(): pass\n")
    with pytest.raises(ValueError, match=r"has no get_grid\(\). Expected values to try"):
        default_grid(bare)
    assert run("sweep") == cli.EXIT_MISTAKE
    assert run("sweep", "--config", str(config_file), "--grid", "seed") == cli.EXIT_MISTAKE


def test_figures_and_tables_show_means_over_seeds(tmp_path: pathlib.Path) -> None:
    keys = ("plan.subnetworks", "task.latency", "seed")
    rows = []
    for number, (subnetworks, latency, seed) in enumerate(
        [(1, 0, 0), (1, 0, 1), (4, 0, 0), (4, 0, 1), (4, 2, 0), (4, 2, 1), (1, 2, 0), (1, 2, 1)]
    ):
        rows.append(
            {
                **dict(zip(keys, (subnetworks, latency, seed), strict=True)),
                "loss": 0.1 * number,
                "pck_10": 0.5 + 0.01 * number,
                "frames/s": 10.0 * subnetworks,
                "clock_speedup": 1.0,
                "parallel_bound": float(subnetworks),
                "information_latency": subnetworks - 1,
                "multiply_adds": 1,
                "parameters": 1,
            }
        )
    assert main_metric(rows[0], keys) == "pck_10"
    captions = [figure.caption for figure in sweep_figures(rows, keys)]
    assert len(captions) == 5
    path = write_sweep_report(tmp_path / "report.html", rows, keys)
    page = path.read_text()
    assert "0.565" in page  # mean pck_10 of the last setting, the best
    assert "8 runs in 4 settings, 2 seeds" in page
    with pytest.raises(ValueError, match="at least one row"):
        write_sweep_report(path, [], keys)
