"""Cluster files: what they say, and what is wrong with wrong ones, all faults at once."""

import json
import pathlib
from typing import Any

import pytest

from mpvn.cluster import Cluster


def test_a_file_names_chief_workers_and_spares_in_the_order_of_tasks(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "cluster.json"
    path.write_text('{"chief": "a:1", "workers": ["b:1", "[::1]:2"], "spares": ["c-d.e:65535"]}')
    cluster = Cluster.read(path)
    assert cluster == Cluster("a:1", ("b:1", "[::1]:2"), ("c-d.e:65535",))
    assert [cluster.server(task) for task in range(3)] == ["b:1", "[::1]:2", "c-d.e:65535"]
    with pytest.raises(ValueError, match="from 0 to 2.*Received: 3"):
        cluster.server(3)
    with pytest.raises(ValueError, match="Received: -1"):
        cluster.server(-1)


GOOD = {"chief": "a:1", "workers": ["b:1"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "Received: a list"),
        ({"chief": "a:1"}, "no workers"),
        ({"workers": ["b:1"]}, "no chief"),
        ({**GOOD, "chief": 9000}, "chief: expected .* Received: 9000"),
        ({**GOOD, "workers": "b:1"}, "workers: expected .* Received: 'b:1'"),
        ({**GOOD, "workers": [1]}, r"workers: expected .* Received: \[1\]"),
        ({**GOOD, "workers": []}, "at least one worker"),
        ({**GOOD, "spares": {}}, "spares: expected"),
        ({**GOOD, "worker": []}, "Received: worker too"),
        ({**GOOD, "chief": "b:1"}, "Received: b:1 twice"),
        ({**GOOD, "spares": ["a:1"]}, "Received: a:1 twice"),
        ({**GOOD, "chief": "a"}, "Received: 'a'"),
        ({**GOOD, "chief": "a:"}, "Received: 'a:'"),
        ({**GOOD, "chief": "a:0"}, "Received: 'a:0'"),
        ({**GOOD, "chief": "a:65536"}, "Received: 'a:65536'"),
        ({**GOOD, "chief": "grpc://a:1"}, "Received: 'grpc://a:1'"),
        ({**GOOD, "chief": ":1", "workers": ["b"]}, "Received: ':1'.*Received: 'b'"),
        ({"chief": 1, "workers": 2, "x": 3}, "x too.*chief: .*workers: "),
    ],
)
def test_faults_are_named(tmp_path: pathlib.Path, content: Any, message: str) -> None:
    path = tmp_path / "cluster.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"Cluster file {path}.*{message}"):
        Cluster.read(path)


def test_a_file_that_is_no_json_is_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "cluster.json"
    path.write_bytes(b"\xff{")
    with pytest.raises(ValueError, match=f"Cluster file {path}. Expected JSON"):
        Cluster.read(path)
    with pytest.raises(OSError, match="cannot be read. No such file"):
        Cluster.read(tmp_path / "none")
