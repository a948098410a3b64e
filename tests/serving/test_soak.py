"""Streams that join, pause and leave under abuse, while the server is restarted: none is mixed.

`make soak` runs the same for many minutes, with servers in processes of their own.
"""

import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from serving_networks import Served
from soak import network as networks
from soak.actors import Pace
from soak.garbage import Abuser
from soak.load import run_load
from soak.run import judge, soak
from soak.servers import MOST_BYTES, MOST_PIXELS, free_ports, mpvn_serve, stand_in
from soak.target import Counts, Target
from tf_serving_stand_in import StandIn

import mpvn
from mpvn.prediction.models import open_model
from mpvn.serving.server.access import Access
from mpvn.serving.server.service import Limits

STREAMS, IDLE, TOKEN = 16, 60.0, "let-me-in"
MINUTES = float(os.environ.get("MPVN_MINUTES", 0))
PLACES = 112  # for 64 callers: some have three streams, others leave theirs behind
GROWTH = 24.0
"""MiB that a server may grow in a long run after it is warm."""


class InProcess:
    """A server in this process that can be stopped and started again on the same ports."""

    def __init__(self, start: Callable[[], Callable[[], object]], target: Target) -> None:
        self.target = target
        self._start, self._stop = start, start()

    def restart(self) -> tuple[float, float]:
        """Return when it was away."""
        begin = time.time()
        self._stop()
        self._stop = self._start()
        return begin, time.time()

    def stop(self) -> None:
        self._stop()


@pytest.fixture(scope="module")
def network() -> mpvn.VideoNetwork:
    return networks.create()


@pytest.fixture(scope="module")
def ours(network: mpvn.VideoNetwork) -> Iterator[InProcess]:
    ports = free_ports(2)
    compiled, model = network.compile_inference(units="block", batch=2), open_model(network)

    def start() -> Callable[[], object]:
        return Served(
            compiled,
            model=model,
            name="soaked",
            streams=STREAMS,
            batch=2,
            idle=IDLE,
            limits=Limits(MOST_BYTES, MOST_PIXELS),
            access=Access(TOKEN),
            ports=ports,
        ).stop

    server = InProcess(start, Target(*ports, "soaked", TOKEN, STREAMS, IDLE, True))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def root(network: mpvn.VideoNetwork, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("soaked")
    network.export(root / "soaked" / "1", streams=STREAMS, idle=IDLE, verbose=False)
    return root


@pytest.fixture(scope="module")
def theirs(root: pathlib.Path) -> Iterator[InProcess]:
    ports = free_ports(2)
    target = Target(*ports, "soaked", None, STREAMS, IDLE, False)
    server = InProcess(lambda: StandIn(root, *ports).kill, target)
    yield server
    server.stop()


@pytest.mark.parametrize("name", ["ours", "theirs"])
def test_streams_equal_themselves_alone_through_a_restart(
    name: str, network: mpvn.VideoNetwork, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(name)
    pace = Pace(interval=0.0, pause=0.0, steps=10)
    away: list[tuple[float, float]] = []
    restart = threading.Timer(0.5, lambda: away.append(server.restart()))
    restart.start()
    try:
        load = run_load(server.target, 1, 4, 1, time.time() + 60, pace, streams=4)
    finally:
        restart.join(60)
    report = judge([load], network, away, IDLE)
    assert not report.faults
    assert report.checked > 50


@pytest.mark.parametrize("name", ["ours", "theirs"])
def test_each_bad_request_gets_one_clear_error(
    name: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    counts, server = Counts(), request.getfixturevalue(name)
    abuser = Abuser(server.target, counts, seed=3)
    for case in abuser.cases:
        abuser.abuse(case)
    assert not counts.faults
    logged = [each for each in caplog.records if not each.name.startswith("grpc.")]
    assert not logged, "a stranger fills no logs"


@pytest.mark.skipif(not MINUTES, reason="a long run: make soak sets MPVN_MINUTES")
@pytest.mark.parametrize("name", ["ours", "theirs"])
def test_servers_soak(name: str, network: mpvn.VideoNetwork, tmp_path: pathlib.Path) -> None:
    """64 callers in two processes, one restart: memory stays flat."""
    if name == "ours":
        network.save(tmp_path / "soaked.keras")
        server = mpvn_serve(tmp_path / "soaked.keras", tmp_path, PLACES, 5.0)
    else:
        network.export(tmp_path / "root" / "soaked" / "1", streams=PLACES, idle=5.0, verbose=False)
        server = stand_in(tmp_path / "root", tmp_path, PLACES, 5.0)
    report = soak(server, network, tmp_path, 60 * MINUTES, interval=1.0)
    print(report, f"growth {report.growth:.1f} MiB")
    assert not report.faults
    assert report.growth < GROWTH
    assert report.handles[-1] < report.handles[len(report.handles) // 4] + 64
