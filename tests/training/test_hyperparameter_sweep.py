"""Hyper-parameter sweeps: run in processes, resumed, rewired, measured, drawn."""

import contextlib
import pathlib
from typing import IO, Any

import keras
import numpy as np
import pytest
from small_runs import small_config, untrained_run

from mpvn import cli
from mpvn.network import VideoNetwork
from mpvn.plan import Plan
from mpvn.report.sweep import main_metric, sweep_figures, write_sweep_report
from mpvn.training import Experiment, RunFolder, build, hyperparameter_sweep
from mpvn.training.grids import changed_keys, config_grid
from mpvn.training.hyperparameter_sweep import (
    Cell,
    collect,
    grid_cells,
    read_results,
    rewired_cells,
    run_cells,
)
from mpvn.training.run_folder import flat


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


def call_here(command: list[str], output: IO[str], *_: object) -> int:
    """Run the command of a cell in this process, which is faster."""
    with contextlib.redirect_stderr(output):
        return cli.main(command[3:])


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hyperparameter_sweep, "_call", call_here)


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands of cells in this process, except the first, which gets a new one."""
    calls = [hyperparameter_sweep._call]

    def call(*arguments: Any) -> int:
        return (calls.pop() if calls else call_here)(*arguments)

    monkeypatch.setattr(hyperparameter_sweep, "_call", call)


def run(*arguments: str) -> int:
    return cli.main(arguments)


@pytest.mark.usefixtures("one_process")
def test_a_sweep_trains_in_processes_resumes_and_reports(
    tmp_path: pathlib.Path, config_file: pathlib.Path, capfd: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "sweep"
    arguments = ["sweep", "--config", str(config_file), "--output", str(folder), "--jobs", "2"]
    arguments += [f"--config.training.{key}=2" for key in ("steps", "evaluate_every")]
    assert run(*arguments) == 0
    rows = read_results(folder)
    assert [(row["plan.subnetworks"], row["seed"]) for row in rows] == [(1, 0), (3, 0)]
    for row in rows:
        cell = RunFolder(folder / f"plan.subnetworks={row['plan.subnetworks']},seed=0")
        *_, last = cell.rows()
        assert row["loss"] == last["loss"]
        assert row["frames/s"] > 0
        assert row["information_latency"] == row["plan.subnetworks"] - 1
    page = (folder / "report.html").read_text()
    assert "2 runs in 2 settings" in page
    assert "subnetworks" in page and "loss in training" in page

    written = [path.stat().st_mtime_ns for path in sorted(folder.rglob("last.npz"))]
    assert run(*arguments) == 0
    assert [path.stat().st_mtime_ns for path in sorted(folder.rglob("last.npz"))] == written


@pytest.mark.usefixtures("in_process")
def test_a_sweep_rewires_sequential_and_parallel_networks(
    trained: RunFolder, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figure 8 left: each frame model under the other plan, with the loss of its outputs."""
    monkeypatch.setattr(hyperparameter_sweep, "stream_speeds", lambda networks, _: [9.0, 8.0])
    config = small_config(plan__subnetworks=6)
    parallel = untrained_run(tmp_path / "parallel", config)
    runs = [str(trained.path), str(parallel.path)]
    output, grid = tmp_path / "rewired", ["--grid", "plan.subnetworks=1,6"]
    assert run("sweep", "--rewire", *runs, *grid, "--output", str(output)) == 0
    rows = read_results(output)
    seen = [(row["weights"], row["plan.subnetworks"]) for row in rows]
    assert seen == [(f"{kind}. weights", number) for kind in ("Seq", "Par") for number in (1, 6)]
    best = min(row["loss"] for row in trained.rows() if row["split"] == "evaluation")
    assert rows[0]["loss"] == pytest.approx(best, rel=1e-5)
    experiment = build(config, to_train=False)
    for row, folder, number in ((rows[1], trained, 6), (rows[2], parallel, 1)):
        assert row["loss"] == pytest.approx(loss_under(experiment, folder, number), rel=1e-5)
    assert len({round(row["loss"], 4) for row in rows}) == 4
    page = (output / "report.html").read_text()
    assert "Seq. weights" in page and "Par. weights" in page and "4 runs in 4 settings" in page
    twice = run("sweep", "--rewire", runs[0], runs[0], *grid, "--output", str(output))
    assert twice == cli.EXIT_MISTAKE


def loss_under(experiment: Experiment, folder: RunFolder, subnetworks: int) -> float:
    """Return the mean loss over the evaluation videos of a run's frame model under a plan."""
    model = keras.saving.load_model(folder.network).frame_model
    network = VideoNetwork(model, Plan(model, subnetworks, partition="units"))
    clips = experiment.evaluation.dataset().map(experiment.prepare_evaluation)
    losses = [experiment.task.loss(target, network(clip), weight) for clip, target, weight in clips]
    return float(np.mean(losses))


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
    assert [row["seed"] for row in collect([first, longer], ["seed"])] == [0]


def test_a_grid_is_a_product_of_values_and_of_named_changes(
    tmp_path: pathlib.Path, config_file: pathlib.Path
) -> None:
    """The rows of a table are no product of keys. Their names are those of the folders."""
    network = {"first": {"plan.subnetworks": 2, "clip.frames": 7}, "second": {"seed": 5}}
    cells = grid_cells(tmp_path, config_file, {"network": network, "task.latency": (0, "2")})
    names = [f"network={name},task.latency={latency}" for name in network for latency in (0, 2)]
    assert [cell.folder.name for cell in cells] == names
    keys = ("plan.subnetworks", "clip.frames", "seed", "task.latency")
    seen = [[flat(cell.config.to_dict())[key] for key in keys] for cell in cells]
    assert seen == [[2, 7, 0, 0], [2, 7, 0, 2], [1, 6, 5, 0], [1, 6, 5, 2]]
    assert changed_keys({"network": network, "task.latency": (0, 2)}) == [*keys]
    for fault, grid in {
        "not a key of the config": {"seed": {"a": {}}},
        "has no dot": {"a.b": {"c": {}}},
        "without '/', ',' and '='. Received: 'a,b'": {"network": {"a,b": {}}},
        "config.seed on two axes": {"network": {"a": {"seed": 1}}, "seed": (0, 1)},
        "no values on the axis 'seed'": {"seed": ()},
        "a value twice on the axis 'seed'": {"seed": (0, 1, "0")},
    }.items():
        with pytest.raises(ValueError, match=fault):
            grid_cells(tmp_path, config_file, grid)
    with pytest.raises(ValueError, match="for all of its runs.*Received: --config.clip.frames"):
        grid_cells(tmp_path, config_file, {"network": network}, ["--config.clip.frames=3"])


def test_a_config_has_several_grids(config_file: pathlib.Path) -> None:
    text = config_file.read_text() + "def get_grid_table_1():\n    return {'seed': (3,)}\n"
    config_file.write_text(text)
    assert config_grid(config_file) == {"plan.subnetworks": (1, 3), "seed": (0,)}
    assert config_grid(config_file, "table_1") == {"seed": (3,)}
    with pytest.raises(ValueError, match="has no grid 'tabel_1'.*Did you mean 'table_1'"):
        config_grid(config_file, "tabel_1")


def test_a_sweep_refuses(tmp_path: pathlib.Path, config_file: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="Did you mean 'subnetworks'"):
        grid_cells(tmp_path, config_file, {"plan.subnetwork": (1,)})
    bare = tmp_path / "bare.py"
    bare.write_text("def get_config(): pass\n")
    with pytest.raises(ValueError, match="is a run, which has no grid. Expected values to try"):
        config_grid(tmp_path)
    with pytest.raises(ValueError, match=r"has no get_grid\(\). Expected values to try"):
        config_grid(bare)
    assert run("sweep") == cli.EXIT_MISTAKE
    assert run("sweep", "--config", str(config_file), "--grid", "seed") == cli.EXIT_MISTAKE
    twice = ("--grid", "seed=0", "--grid", "seed=1")
    assert run("sweep", "--config", str(config_file), *twice) == cli.EXIT_MISTAKE


def test_values_on_the_command_line_may_be_tuples() -> None:
    key, values = cli.sweep._grid_key("model.surgery.shortcuts.offsets=(3,),(),((1, 2), 4),5")
    assert (key, values) == ("model.surgery.shortcuts.offsets", ["(3,)", "()", "((1, 2), 4)", "5"])


def test_networks_are_told_apart_by_what_decides_them(
    tmp_path: pathlib.Path, config_file: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Assignments decide the number of subnetworks, and data sets the size of the head."""

    def speeds(networks: list[VideoNetwork], _: int) -> list[float]:
        """Return the number of each network, and a half more if it computes in bfloat16."""
        kinds = [network.frame_model.layers[1].compute_dtype for network in networks]
        return [number + (kind == "bfloat16") / 2 for number, kind in enumerate(kinds)]

    monkeypatch.setattr(hyperparameter_sweep, "stream_speeds", speeds)
    fewer = {f"data.{split}.directions": False for split in ("train", "evaluation")}
    named = {
        "all": {},
        "divided": {"plan.assignment": "conv3=1,conv5=2"},
        "fewer": fewer,
        "half": {"training.dtype_policy": "mixed_bfloat16"},
    }
    cells = grid_cells(tmp_path, config_file, {"network": named})
    rows: list[dict] = [{} for _ in cells]
    hyperparameter_sweep.add_speeds(rows, cells)
    assert [row["plan.subnetworks"] for row in rows] == [1, 3, 1, 1]
    assert [row["frames/s"] for row in rows] == [0.0, 1.0, 2.0, 3.5]
    assert rows[0]["parameters"] == rows[1]["parameters"] > rows[2]["parameters"]
    untrained_run(tmp_path / "divided", cells[1].config)
    (cell,) = rewired_cells(tmp_path, [tmp_path / "divided"], {"seed": (0,)})
    assert cell.labels["weights"] == "Par. weights"


@pytest.mark.usefixtures("in_process")
def test_an_axis_has_no_name_of_a_metric(copied: RunFolder, config_file: pathlib.Path) -> None:
    options = {"count": 12, "frames": 8}
    cell = Cell(copied.path, config_file, (), {"accuracy": "high", "data.train": options})
    assert collect([cell], ["data.train"])[0]["data.train"] == str(options)
    with pytest.raises(ValueError, match="axis 'accuracy', which is also the name of a metric"):
        collect([cell], ["accuracy"])


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
    named = [
        {
            **row,
            "teacher": "runs/a",  # a key without a dot
            "network": f"row {row['seed']}",
            "frames/s": row["frames/s"] if row["seed"] else None,
        }
        for row in rows[:2]
    ]
    page = write_sweep_report(path, named, ["network"]).read_text()
    assert "Best pck 10: 0.510 (row 1), at 10 frames per second" in page
    assert "row 0" in page and "task.latency" not in page
    with pytest.raises(ValueError, match="at least one row"):
        write_sweep_report(path, [], keys)
