"""Sweeps: a process a run, resumed, rewired, measured, drawn."""

import json
import pathlib

import pytest

from mpvn import cli
from mpvn.report.sweep import main_metric, sweep_figures, write_sweep_report
from mpvn.training import RunFolder
from mpvn.training.hyperparameter_sweep import Cell, collect, default_grid, grid_cells, run_cells


@pytest.fixture
def config_file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "small.py"
    path.write_text(
        "import sys\n"
        f"sys.path[:0] = {[str(p) for p in pathlib.Path(__file__).parents[:2]]!r}\n"
        "from test_training import small_config\n"
        "def get_config():\n"
        "    return small_config(training__steps=2, clip__evaluated=0)\n"
        "def get_grid():\n"
        "    return {'plan.subnetworks': (1, 3), 'seed': (0, 1)}\n"
    )
    return path


def run(*arguments: str) -> int:
    return cli.main(arguments)


def test_a_sweep_trains_resumes_rewires_and_reports(
    tmp_path: pathlib.Path, config_file: pathlib.Path, capfd: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "sweep"
    arguments = ["sweep", "--config", str(config_file), "--output", str(folder), "--jobs", "2"]
    assert run(*arguments) == 0
    rows = json.loads((folder / "results.json").read_text())
    assert [(row["plan.subnetworks"], row["seed"]) for row in rows] == [
        (1, 0),
        (1, 1),
        (3, 0),
        (3, 1),
    ]
    for row in rows:
        cell = RunFolder(folder / f"plan.subnetworks={row['plan.subnetworks']},seed={row['seed']}")
        *_, last = cell.rows()
        assert row["loss"] == last["loss"]
        assert row["frames/s"] > 0
        assert row["information_latency"] == row["plan.subnetworks"] - 1
    page = (folder / "report.html").read_text()
    assert "4 runs in 2 settings, 2 seeds" in page
    assert "subnetworks" in page

    weights = [path.stat().st_mtime_ns for path in sorted(folder.rglob("last.npz"))]
    assert run(*arguments) == 0
    assert [path.stat().st_mtime_ns for path in sorted(folder.rglob("last.npz"))] == weights

    trained = folder / "plan.subnetworks=1,seed=0"
    rewired = tmp_path / "rewired"
    grid = ["--grid", "plan.subnetworks=1,6"]
    assert run("sweep", "--rewire", str(trained), *grid, "--output", str(rewired)) == 0
    same, other = json.loads((rewired / "results.json").read_text())
    assert same["loss"] == pytest.approx(rows[0]["loss"], rel=1e-5)
    assert other["loss"] != pytest.approx(rows[0]["loss"], rel=1e-5)


def test_what_was_asked_differently_is_not_taken_for_done(
    tmp_path: pathlib.Path, config_file: pathlib.Path
) -> None:
    (first,) = grid_cells(tmp_path / "sweep", config_file, {"seed": (0,)})
    run_cells([first])
    assert first.done
    longer = Cell(first.folder, config_file, (*first.overrides, "--config.training.steps=3"))
    assert not longer.done
    with pytest.raises(ValueError, match="1 of 1 runs failed:\n.*training.steps differ"):
        run_cells([longer])
    assert [row["seed"] for row in collect([first, longer], {"seed": (0,)})] == [0]


def test_a_sweep_refuses(tmp_path: pathlib.Path, config_file: pathlib.Path) -> None:
    with pytest.raises(ValueError, match='Did you mean "subnetworks"'):
        grid_cells(tmp_path, config_file, {"plan.subnetwork": (1,)})
    bare = tmp_path / "bare.py"
    bare.write_text("def get_config(): pass\n")
    with pytest.raises(ValueError, match=r"has no get_grid\(\): say what to try"):
        default_grid(bare)
    assert run("sweep") == cli.EXIT_MISTAKE
    assert run("sweep", "--config", str(config_file), "--grid", "seed") == cli.EXIT_MISTAKE


def test_figures_and_table_are_of_means_over_seeds(tmp_path: pathlib.Path) -> None:
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
