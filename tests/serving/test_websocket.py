"""WebSockets: a stream of image files for each connection; answers in order."""

import asyncio
import json
import pathlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import pytest
from serving_networks import NAMES, Served, eventually, image_file, picture, predicted

from mpvn.serving.server.access import Access

FILES = [image_file(picture(number)) for number in range(6)]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(streams=4, depth=8) as server:
        yield server


class Socket:
    """A client whose waits are limited."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def get(self) -> dict[str, Any]:
        return json.loads(await asyncio.wait_for(self.socket.receive_str(), 30))

    async def ask(self, content: bytes) -> dict[str, Any]:
        await self.socket.send_bytes(content)
        return await self.get()

    async def closed(self) -> tuple[int | None, str | None]:
        """Return the code with which the server closes, and the message before it, if any."""
        said = None
        while True:
            message = await asyncio.wait_for(self.socket.receive(), 30)
            if message.type == aiohttp.WSMsgType.TEXT:
                said = json.loads(message.data).get("message", said)
            else:
                is_told = message.type == aiohttp.WSMsgType.CLOSE
                return message.data if is_told else self.socket.close_code, said


@asynccontextmanager
async def connect(served: Served, query: str = "", **options: Any) -> AsyncIterator[Socket]:
    path = options.pop("path", "/v1/models/actions/stream")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(served.url + path + query, **options) as socket,
    ):
        yield Socket(socket)


def test_answers_are_those_of_mpvn_predict(served: Served, tmp_path: pathlib.Path) -> None:
    expected = predicted(tmp_path, FILES, "JPEG")

    async def talk() -> None:
        async with connect(served) as client:
            hello = await client.get()
            assert hello["type"] == "hello"
            assert (hello["model"], hello["task"]) == ("actions", "action")
            assert (hello["size"], hello["fps"], hello["names"]) == ([8, 10], 12.5, [*NAMES])
            assert [lane["name"] for lane in hello["subnetworks"]] == [
                f"subnetwork {number}" for number in range(3)
            ]
            rates = [[clock[0] for clock in lane["clocks"]] for lane in hello["subnetworks"]]
            assert (rates, hello["period"]) == ([[1], [2], [4]], 4)
            for number, content in enumerate(FILES):
                answer = await client.ask(content)
                assert (answer["type"], answer["frame"]) == ("answer", number)
                assert (answer["step"], answer["restarted"]) == (number, False)
                shares = np.exp(expected[number]) / np.exp(expected[number]).sum()
                best = np.argsort(-shares)[:5]
                assert [name for name, _ in answer["answer"]["classes"]] == [NAMES[i] for i in best]
                scores = [score for _, score in answer["answer"]["classes"]]
                np.testing.assert_allclose(scores, shares[best], atol=1e-5)
                assert answer["wait_ms"] >= 0
                assert answer["compute_ms"] > 0
                lanes = {unit[0] for unit in answer["units"]}
                ticking = {
                    index
                    for index, lane in enumerate(hello["subnetworks"])
                    if any(number % rate == phase for rate, phase, _ in lane["clocks"])
                }
                assert lanes == ticking
                assert all(unit[2] <= unit[3] for unit in answer["units"])

    asyncio.run(talk())
    assert eventually(lambda: served.service.engine.streams == 0), "its connection has ended"


def test_bad_images_are_errors_of_their_frames_and_the_stream_goes_on(
    served: Served, tmp_path: pathlib.Path
) -> None:
    expected = predicted(tmp_path, [FILES[0], FILES[1]], "JPEG")

    async def talk() -> None:
        async with connect(served) as client:
            await client.get()
            await client.ask(FILES[0])
            for number, content in enumerate([b"nonsense", FILES[0][:200], b""], start=1):
                answer = await client.ask(content)
                assert (answer["type"], answer["frame"]) == ("error", number)
                assert "JPEG" in answer["message"]
            await client.socket.send_str("{")
            assert (await client.get())["frame"] is None
            answer = await client.ask(FILES[1])
            assert (answer["frame"], answer["step"]) == (4, 1)
            shares = np.exp(expected[1]) / np.exp(expected[1]).sum()
            assert answer["answer"]["classes"][0][1] == pytest.approx(shares.max(), abs=1e-5)

    asyncio.run(talk())


def test_a_reset_begins_the_stream_anew_and_a_lost_stream_is_told(served: Served) -> None:
    async def talk() -> None:
        async with connect(served, "?stream_id=77") as client:
            assert (await client.get())["stream_id"] == 77
            steps = [await client.ask(content) for content in FILES[:2]]
            await client.socket.send_str('{"type": "reset"}')
            steps.append(await client.ask(FILES[2]))
            served.service.engine.reset(77)
            steps.append(await client.ask(FILES[3]))
            told = [(each["step"], each["restarted"]) for each in steps]
            assert told == [(0, False), (1, False), (0, False), (0, True)]
            async with connect(served, "?stream_id=77") as other:
                closing = asyncio.create_task(client.closed())
                assert (await other.get())["type"] == "hello"
                assert (await closing)[0] == 4409
                assert (await other.ask(FILES[0]))["step"] == 1, "the stream goes on"

    asyncio.run(talk())
    served.service.engine.reset(77)


def test_frames_that_come_too_fast_are_dropped_and_told(served: Served) -> None:
    async def talk() -> list[dict[str, Any]]:
        async with connect(served) as client:
            await client.get()
            for content in FILES * 5:
                await client.socket.send_bytes(content)
            return [await client.get() for _ in FILES * 5]

    messages = asyncio.run(talk())
    assert [message["frame"] for message in messages] == [*range(30)], "in order"
    answers = [message for message in messages if message["type"] == "answer"]
    assert [answer["step"] for answer in answers] == [*range(len(answers))]
    assert messages[-1]["type"] == "answer", "the newest frame is kept"
    dropped = [message for message in messages if message["type"] == "dropped"]
    assert {message["reason"] for message in dropped} <= {"queue"}
    assert len(answers) + len(dropped) == 30


def test_the_rate_of_a_client_is_limited() -> None:
    clock = [0.0]
    access = Access(rate=2.0, clock=lambda: clock[0])

    async def talk(served: Served) -> list[str]:
        async with connect(served) as client:
            await client.get()
            return [(await client.ask(FILES[0])).get("reason", "") for _ in range(4)]

    with Served(access=access) as served:
        assert asyncio.run(talk(served)) == ["", "", "rate", "rate"]
        clock[0] += 1.0
        assert asyncio.run(talk(served)) == ["", "", "rate", "rate"]
        assert 'dropped_total{reason="rate"} 4.0' in served.service.metrics.text().decode()


def test_refused_connections_are_told_why() -> None:
    async def talk(served: Served) -> None:
        for query, headers in (("", {}), ("?token=wrong", {}), ("", {"Authorization": "Basic x"})):
            async with connect(served, query, headers=headers) as client:
                code, said = await client.closed()
                assert code == 4401
                assert "token" in str(said)
        for query, headers in (
            ("?token=secret", {}),
            ("", {"Authorization": "Bearer secret"}),
        ):
            async with connect(served, query, headers=headers) as client:
                assert (await client.get())["type"] == "hello"
        async with connect(served, "?token=secret", path="/v1/models/b/stream") as client:
            assert (await client.closed())[0] == 4404
        async with connect(served, "?token=secret&stream_id=x") as client:
            assert (await client.closed())[0] == 4400
        own = f"http://127.0.0.1:{served.server.port}"
        async with connect(served, "?token=secret", origin=own) as client:
            assert (await client.get())["type"] == "hello"
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                async with connect(served, "?token=secret", origin=origin):
                    pass
            assert caught.value.status == 403

    with Served(access=Access("secret")) as served:
        asyncio.run(talk(served))


def test_connections_beyond_the_streams_are_told_and_a_stop_closes_all() -> None:
    async def talk(served: Served) -> None:
        async with connect(served) as one, connect(served) as two:
            for client in (one, two):
                await client.get()
            assert (await one.ask(FILES[0]))["type"] == "answer"
            refused = await two.ask(FILES[0])
            assert (refused["type"], refused["frame"]) == ("error", 0)
            assert "at most 1 streams" in refused["message"]
            await asyncio.get_running_loop().run_in_executor(None, served.stop)
            assert (await one.closed())[0] == (await two.closed())[0] == 1001

    served = Served(streams=1)
    try:
        asyncio.run(talk(served))
    finally:
        served.stop()


def test_an_error_of_the_server_is_one_of_its_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a path of this machine")

    async def talk(served: Served) -> None:
        async with connect(served) as client:
            await client.get()
            for name in ("mpvn.serving.server.websocket.say", None):
                with monkeypatch.context() as patched:
                    if name:
                        patched.setattr(name, fail)
                    else:
                        patched.setattr(served.service.images, "decode", fail)
                    message = await client.ask(FILES[0])
                assert message["message"] == "The server failed. Its log tells why."
            assert (await client.ask(FILES[1]))["type"] == "answer"

    with Served() as served:
        asyncio.run(talk(served))


def test_a_client_that_does_not_read_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages for it wait; too many of them end the connection."""
    monkeypatch.setattr("mpvn.serving.server.websocket._MOST_UNSENT", 5)

    async def talk(served: Served) -> int | None:
        async with connect(served) as client:
            await client.get()
            gate = asyncio.run_coroutine_threadsafe(_hold(served), served._loop)
            for _ in range(20):
                await client.socket.send_bytes(FILES[0])
            code, _ = await client.closed()
            gate.result(30)
            return code

    async def _hold(served: Served) -> None:
        (connection,) = served.server._http.sockets._open

        async def stuck(message: str) -> None:
            await asyncio.sleep(1000)

        connection._socket.send_str = stuck

    with Served() as served:
        assert asyncio.run(talk(served)) == 1008
    assert eventually(lambda: served.service.engine.streams == 0)
