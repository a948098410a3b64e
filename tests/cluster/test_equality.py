"""Workers compute what one process computes: streams, clips, and every trainer.

One chief computes everything, once (`equality.py`); the tests check its results. Networks of two
and three subnetworks have one worker for each of them.
"""

from typing import Any

import numpy as np
import pytest
from cluster.local_cluster import local_cluster

STREAMS = ("streams", "primed streams")
TRAINED = (
    "sideways, learn",
    "network",
    "sideways gradient",
    "sideways",
    "sideways, an update at every frame",
    "back-propagation, updates within clips",
    "gpipe",
)

PROGRAM = """
import equality
answer = {name: case(devices[:workers]) for name, (workers, case) in equality.CASES.items()}
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with local_cluster(tmp_path_factory.mktemp("cluster"), workers=3) as cluster:
        answer: dict[str, Any] = cluster.run(PROGRAM, timeout=600)
        return answer


def test_every_case_is_checked(results: dict[str, Any]) -> None:
    assert results.keys() == {*STREAMS, *TRAINED}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_and_clips_equal_those_of_one_process(name: str, results: dict[str, Any]) -> None:
    differences = results[name]
    assert differences.pop("the order of frames") > 0.1  # a lost or late value would show
    assert max(differences.values()) < 1e-6, differences


@pytest.mark.parametrize("name", TRAINED)
def test_training_equals_that_of_one_process(name: str, results: dict[str, Any]) -> None:
    result = results[name]
    assert result["learned"] > 0.01
    np.testing.assert_allclose(result["losses"], result["expected"], rtol=1e-6)
    assert result["weights"] < 1e-5
    ours, theirs = result["updates"]
    assert ours == theirs
