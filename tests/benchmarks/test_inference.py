"""The small form of the inference benchmark: its candidates, its tables, and what is left out."""

import pathlib
from types import ModuleType

import pytest
from small_models import chain

from mpvn import Plan

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks/inference/run.py"


@pytest.fixture
def script(load, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with the thread count of this process."""
    script = load(SCRIPT)
    monkeypatch.setitem(script.THREADS, "intra", None)
    return script


@pytest.fixture
def tiny(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """One network of three convolutions in place of a family."""
    import networks

    model = chain(2, 3, 4, channels=3)
    plans = {
        "frame model": Plan(model),
        "3 subnetworks, chain": Plan(model, 3, clocks=[1, 2, 2]),
        "3 subnetworks, flat": Plan(model, 3, clocks=[1, 2, 2], phases="flat"),
    }
    network = networks.Network("tiny", model, plans)
    monkeypatch.setattr(networks, "network_family", lambda name, small: [network])


@pytest.mark.usefixtures("tiny")
def test_table_compares_tools_runtimes_and_plans(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import outside

    class Missing(outside.OpenVINO):
        def __init__(self, *_: object) -> None:
            raise ImportError("No module named 'openvino'")

    monkeypatch.setattr(outside, "OpenVINO", Missing)
    *rows, ceiling = script.QUESTIONS["par_densenet"](small=True)
    assert ceiling["frames/s"].endswith(" GFLOP/s")
    columns = ["network", "plan", "runtime", "precision", "frames/s", *script.COMPARED]
    assert all([*row] == columns for row in rows)
    whole, chained, flat = "frame model", "3 subnetworks, chain", "3 subnetworks, flat"
    assert [(row["plan"], row["runtime"]) for row in rows] == [
        *((whole, "plain Keras"), (whole, "OpenVINO alone")),
        *((whole, "TensorFlow, pattern"), (whole, "TensorFlow, buffered")),
        *((whole, "OpenVINO, block"), (whole, "OpenVINO, buffered"), (chained, "OpenVINO, block")),
        *((flat, f"TensorFlow, {units}") for units in ("block", "pattern", "buffered")),
        *((flat, f"OpenVINO, {units}") for units in ("block", "pattern", "buffered")),
    ]
    assert rows[0]["x plain Keras"] == "1.00"
    assert rows[1]["frames/s"] == "left out: No module named 'openvino'"
    assert rows[2]["worst/mean step"] == "1.00"
    assert all(row["frames/s"] > 0 for row in (rows[0], *rows[2:]))


@pytest.mark.usefixtures("tiny")
def test_one_thread_measures_fewer_plans(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import networks

    monkeypatch.setitem(script.THREADS, "intra", 1)
    (network,) = networks.network_family("tiny", False)
    found = [(each.plan, each.runtime) for each in script.ours(network, None, small=True)]
    assert {plan for plan, _ in found} == {"frame model", "3 subnetworks, flat"}
    assert len(found) == 4 and not any("buffered" in runtime for _, runtime in found)
    costs = {each.multiply_adds for each in script.ours(network, None, small=True)}
    assert costs == {8 * 8 * (6 + 6 + 12), 8 * 8 * (6 + 6 / 2 + 12 / 2)}


@pytest.mark.parametrize("question", ["overhead", "long"])
def test_other_questions_have_a_row_for_each_runtime(script: ModuleType, question: str) -> None:
    rows = script.QUESTIONS[question](small=True)
    assert {row["runtime"] for row in rows} == {"tensorflow", "openvino"}
    assert len({tuple(row) for row in rows}) == 1


def test_thread_counts_become_a_column(load) -> None:
    reporting = load(SCRIPT.parents[1] / "reporting.py")
    results = {
        count: {"rows": [{"a": count}], "environment": {"threads": {}, "seconds": 3, "b": 1}}
        for count in (2, 1)
    }
    assert reporting._joined({2: results[2]}) == results[2]
    joined = reporting._joined(results)
    assert joined["rows"] == [{"threads": 2, "a": 2}, {"threads": 1, "a": 1}]
    assert joined["environment"] == {"seconds": 6, "b": 1}
