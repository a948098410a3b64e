"""The life of a server: state, metrics, access, slow clients, the page, and how it stops."""

import concurrent.futures
import json
import pathlib
import socket
import threading
from typing import Any

import numpy as np
import pytest
from serving_networks import Clock, Served, compiled_classes, eventually

from mpvn.serving.errors import Forbidden, TooOften, Unauthorized
from mpvn.serving.server.access import Access
from mpvn.serving.server.http import HTTPServer
from mpvn.serving.server.run import Server
from mpvn.serving.server.service import Limits

FRAME = np.random.default_rng(8).normal(size=(1, 8, 10, 3)).tolist()


def body(stream: int = 1) -> dict[str, Any]:
    return {"inputs": {"stream_id": [stream], "frame": FRAME}}


class Gate:
    """A network whose steps wait until a test lets them go."""

    def __init__(self) -> None:
        self.began, self.may_go = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(compiled_classes(), name)

    def step(self, frames: Any, state: Any) -> Any:
        self.began.set()
        if not self.may_go.wait(60):
            raise TimeoutError
        return compiled_classes().step(frames, state)


def test_metrics_count_what_happened() -> None:
    with Served(streams=1, idle=0.0) as served:
        for stream in (1, 1, 2):
            assert served.predict(body(stream)).status_code == 200
        served.predict(b"{")
        text = served.ask("GET", "/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines["mpvn_frames_answered_total"]) == 3
    assert float(lines['mpvn_errors_total{code="INVALID_ARGUMENT",protocol="rest"}']) == 1
    assert float(lines["mpvn_streams"]) == 1
    assert float(lines["mpvn_streams_reclaimed_total"]) == 1
    assert float(lines['mpvn_batch_streams_bucket{le="1.0"}']) == 3
    assert float(lines["mpvn_compute_seconds_count"]) == 3
    assert float(lines["mpvn_wait_seconds_count"]) == 3


def test_frames_that_are_late_get_429() -> None:
    """The second frame waits behind a step that takes longer than its deadline."""
    gate, clock = Gate(), Clock()
    options = {"deadline": 0.2, "clock": clock}
    with Served(gate, **options) as served, concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(served.predict, body(1))
        assert gate.began.wait(60)
        second = pool.submit(served.predict, body(2))
        assert eventually(lambda: served.service.engine.waiting == 1)
        clock.now += 0.21
        gate.may_go.set()
        assert first.result(60).status_code == 200
        answer = second.result(60)
        assert (answer.status_code, "in time" in answer.json()["error"]) == (429, True)
        assert served.service.engine.statistics.dropped == {"deadline": 1}


def test_a_server_that_stops_finishes_what_runs_and_refuses_the_rest() -> None:
    gate = Gate()
    served = Served(gate)
    try:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            running = pool.submit(served.predict, body(1))
            assert gate.began.wait(60)
            stopping = pool.submit(served.stop)
            assert eventually(lambda: not served.service.is_ready)
            assert served.ask("GET", "/readyz").status_code == 503
            assert served.ask("GET", "/healthz").status_code == 200
            refused = served.predict(body(2))
            assert (refused.status_code, "stops" in refused.json()["error"]) == (503, True)
            gate.may_go.set()
            assert running.result(60).status_code == 200
            stopping.result(60)
    finally:
        gate.may_go.set()
        served.stop()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", served.server.port), 5)


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    with Served(limits=Limits(seconds=0.05)) as served:
        address = ("127.0.0.1", served.server.port)
        with socket.create_connection(address, 30) as connection:
            head = "POST /v1/models/actions:predict HTTP/1.1\r\nHost: localhost\r\n"
            connection.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
            assert b"408" in connection.recv(4096)


def test_bodies_that_are_read_at_a_time_are_limited() -> None:
    gate = Gate()
    content = json.dumps(body(1)).encode()
    limits = Limits(body=len(content))
    with Served(gate, limits=limits) as served, concurrent.futures.ThreadPoolExecutor(9) as pool:
        asked = [pool.submit(served.predict, body(stream)) for stream in range(8)]
        assert eventually(lambda: served.service._reading == 8 * len(content))
        refused = served.predict(content)
        assert (refused.status_code, "at a time" in refused.json()["error"]) == (429, True)
        gate.may_go.set()
        assert {each.result(60).status_code for each in asked} == {200}
        assert served.predict(content).status_code == 200


def test_a_port_that_is_taken_is_an_error() -> None:
    with Served(grpc=True) as served:
        for ports in ({"port": served.server.port}, {"grpc_port": served.server.grpc_port}):
            with pytest.raises(OSError, match="127.0.0.1"):
                served.run(Server(served.service, **ports).start())


def test_an_engine_that_has_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for an answer that cannot come, and whoever watches the server sees it."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with Served() as served:
        assert served.ask("GET", "/healthz").status_code == 200
        monkeypatch.setattr(served.service.engine._queue, "take", None)
        assert served.predict(body()).status_code == 503
        assert eventually(lambda: served.ask("GET", "/healthz").status_code == 503)


def test_bytes_that_are_no_request_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    head = b"POST /v1/models/actions:predict HTTP/1.1\r\nHost: localhost\r\n"
    garbage = {
        b"\x00\x01\r\n\r\n": b"400",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n": b"400",
        head + b"Content-Length: -5\r\n\r\n": b"400",
        head + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc": b"400",
        head + b"Content-Length: 300\r\n\r\nabc": b"",  # and closes its half
    }
    with Served() as served:
        for content, status in garbage.items():
            with socket.create_connection(("127.0.0.1", served.server.port), 30) as connection:
                connection.sendall(content)
                if not status:
                    connection.shutdown(socket.SHUT_WR)
                assert status in connection.recv(4096)
        assert served.predict(body()).status_code == 200
    assert not caplog.records


def test_tokens_are_wanted_where_there_is_something_to_get() -> None:
    right = {"Authorization": "Bearer se cret"}
    with Served(access=Access("se cret")) as served:
        for method, path in (
            ("GET", "/v1/models/actions"),
            ("GET", "/v1/models/actions/metadata"),
            ("GET", "/metrics"),
            ("POST", "/v1/models/actions:predict"),
        ):
            for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic se cret"}):
                answer = served.ask(method, path, headers=headers, json=body())
                assert (answer.status_code, answer.json().keys()) == (401, {"error"})
                assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert served.ask(method, path, headers=right, json=body()).status_code == 200
        for path in ("/healthz", "/readyz", "/v1/models"):
            assert served.ask("GET", path).status_code == 200


def test_pages_of_others_cannot_use_a_server_of_this_machine() -> None:
    with Served() as served:
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            answer = served.predict(body(), headers=headers)
            assert (answer.status_code, answer.json().keys()) == (403, {"error"})
        assert served.predict(body(), headers={"Origin": served.url}).status_code == 200
    access = Access(host="box.local")
    for host in ("localhost:1", "127.0.0.1", "[::1]:8501", "10.1.2.3:80", "BOX.local"):
        access.check_origin(host, None)
    for host in ("evil.example", None, "", "127.0.0.1.evil.example"):
        with pytest.raises(Forbidden):
            access.check_origin(host, None)
    Access("token").check_origin("any.example", "https://any.example")
    with pytest.raises(Forbidden):
        Access("token").check_origin("any.example", "https://other.example")


def test_rates_are_those_of_each_client() -> None:
    now = [0.0]
    access = Access(rate=4.0, clock=lambda: now[0])
    access.admit("a", 4)
    access.admit("b", 3)
    for client, frames in (("a", 1), ("b", 2), ("c", 5)):
        with pytest.raises(TooOften, match="at most 4 frames"):
            access.admit(client, frames)
    now[0] += 0.25
    access.admit("a")
    for number in range(5000):
        access.admit(f"client {number}")
    assert len(access._spent) <= 4096


def test_a_wrong_token_of_any_characters_is_refused() -> None:
    for header in ("Bearer ä", "Bearer \udcff", "bearer", "", "Bearer  token x"):
        with pytest.raises(Unauthorized):
            Access("token").check_token(header)
    Access("token").check_token("bearer  token")


def test_the_page_is_served_with_a_policy(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "page.js").write_text("1")
    (tmp_path / "secret.txt").write_text("2")
    original = HTTPServer.__init__
    monkeypatch.setattr(
        HTTPServer, "__init__", lambda self, service: original(self, service, tmp_path)
    )
    with Served() as served:
        for path, kind in (("/", "text/html"), ("/page.js", "text/javascript")):
            answer = served.ask("GET", path)
            assert answer.headers["Content-Type"].startswith(kind)
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert served.ask("GET", "/secret.txt").status_code == 404
        assert served.ask("GET", "/page.css").json().keys() == {"error"}


def test_an_error_of_the_server_itself_does_not_tell_more_than_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a path of this machine")

    monkeypatch.setattr("mpvn.serving.server.http.write_answer", fail)
    with Served() as served:
        answer = served.predict(body())
        assert (answer.status_code, answer.json()) == (
            500,
            {"error": "The server failed. Its log tells why."},
        )
