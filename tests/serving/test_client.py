"""A client's stream through a model server is the stream of the network, whatever happens."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
from tf_serving_stand_in import StandIn

from mpvn.serving import Client, StreamRestarted, UnavailableError, retry

PROTOCOLS = ("grpc", "http")
Connect = Callable[..., Client]


@pytest.fixture(params=PROTOCOLS)
def connect(request: pytest.FixtureRequest, server: StandIn) -> Connect:
    """Return a function that opens a client, over either protocol."""

    def connect(model: str, **options: object) -> Client:
        options = {"timeout": 5.0, "retry_for": 5.0, **options}
        return Client(server.address(request.param), model, **options)

    return connect


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.01)


def digits(client: Client, *frames: int) -> list[int]:
    """Send frames to a stream of `served_slots` and return its values."""
    return [int(client.step(np.float64(frame))["value"]) for frame in frames]


def restart(server: StandIn) -> None:
    server.kill()
    server.start()


def test_a_stream_of_carried_state_is_the_networks_also_over_a_restart(
    connect: Connect, server: StandIn, clip: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    with connect("carried") as client:
        for number, frame in enumerate(clip):
            if number == 3:
                restart(server)
            if number == 5:
                server.lose_answers = 2
            outputs = client.step(frame)
            assert outputs.keys() == expected.keys()
            for name, value in outputs.items():
                assert value.dtype == np.float32
                np.testing.assert_allclose(value, expected[name][number], rtol=1e-5, atol=1e-6)
        assert (client.step_number, client.restarts) == (len(clip), 0)
        client.reset()
        np.testing.assert_allclose(client.step(clip[0])["map"], expected["map"][0], atol=1e-6)
        assert client.step_number == 1
        assert client.stream_id is None


def test_streams_on_the_server_are_apart_and_leave_it(connect: Connect) -> None:
    with connect("slots") as one, connect("slots") as other, connect("slots", stream_id=7) as third:
        assert one.stream_id != other.stream_id
        assert 0 <= one.stream_id < 2**63
        assert digits(one, 1, 2) + digits(other, 3) + digits(one, 4) == [1, 12, 3, 124]
        assert (one.step_number, other.step_number) == (3, 1)
        for _ in range(2):  # the server does not know the stream then
            one.reset()
            assert one.step_number == 0
        assert digits(one, 5) + digits(third, 6) == [5, 6]
        assert (third.stream_id, one.restarts, third.restarts) == (7, 0, 0)
    with connect("slots") as one, connect("slots") as other, connect("slots", stream_id=7) as third:
        assert digits(third, 8) + digits(one, 9) + digits(other, 1) == [8, 9, 1], "places are free"


def test_streams_on_the_server_are_the_networks(
    connect: Connect, clip: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    """One begins while the other is at an odd step, on a clock of 2."""
    with connect("served") as one, connect("served") as other:
        for number in range(len(clip)):
            clients = {one: number} | ({other: number - 3} if number >= 3 else {})
            for client, step in clients.items():
                outputs = client.step(clip[step])
                assert outputs.keys() == expected.keys()
                for name, value in outputs.items():
                    np.testing.assert_allclose(value, expected[name][step], rtol=1e-5, atol=1e-6)
        assert (one.step_number, other.step_number) == (len(clip), len(clip) - 3)
        one.reset()
        one.reset()
        np.testing.assert_allclose(one.step(clip[0])["map"], expected["map"][0], atol=1e-6)
        assert (one.restarts, other.restarts) == (0, 0)


def test_ids_keep_all_their_digits(connect: Connect) -> None:
    """As a float64, 2**62 + 1 would be 2**62: two cameras would share a stream."""
    ids = (2**62, 2**62 + 1, -(2**63))
    clients = [connect("slots", stream_id=each) for each in ids]
    for number, client in enumerate(clients):
        assert digits(client, number + 1, 9) == [number + 1, 10 * number + 19]
    for client in clients:
        client.close()


def test_a_restart_that_loses_a_stream_is_told(connect: Connect, server: StandIn) -> None:
    with connect("slots") as client:
        assert digits(client, 1, 2) == [1, 12]
        restart(server)
        with pytest.raises(StreamRestarted, match="begun it anew") as caught:
            client.step(np.float64(3))
        assert int(caught.value.outputs["value"]) == 3
        assert (caught.value.expected, caught.value.step, client.restarts) == (2, 0, 1)
        assert digits(client, 4) == [34]
        assert (client.step_number, client.restarts) == (2, 1)


def test_a_loop_goes_on_over_restarts(connect: Connect, server: StandIn) -> None:
    told: list[StreamRestarted] = []
    with connect("slots", on_restart=told.append) as client:
        assert digits(client, 1, 2) == [1, 12]
        restart(server)
        assert digits(client, 3, 4) == [3, 34]
        assert [event.expected for event in told] == [2]
        client.on_restart = "warn"
        restart(server)
        with pytest.warns(StreamRestarted, match="change 2"):
            assert digits(client, 5, 6) == [5, 56]


def test_a_frame_that_counts_twice_is_told(connect: Connect, server: StandIn) -> None:
    """The server dies after computing: nobody knows that but by the number of the next step."""
    with connect("slots") as client:
        assert digits(client, 1, 2, 3) == [1, 12, 123]
        server.lose_answers = 1
        with pytest.raises(StreamRestarted, match="1 frame counted whose answers") as caught:
            client.step(np.float64(4))
        assert int(caught.value.outputs["value"]) == 12344
        assert digits(client, 5) == [123445]
        assert (client.step_number, client.restarts) == (6, 1)


def test_a_lost_frame_of_a_failed_step_is_told_at_the_next(
    connect: Connect, server: StandIn
) -> None:
    with connect("slots", retry_for=0) as client:
        assert digits(client, 1, 2) == [1, 12]
        server.lose_answers = 1
        with pytest.raises(UnavailableError):
            client.step(np.float64(3))
        with pytest.raises(StreamRestarted) as caught:
            client.step(np.float64(4))
        assert int(caught.value.outputs["value"]) == 1234


def test_a_number_of_steps_that_only_looks_right_is_told(connect: Connect, server: StandIn) -> None:
    """After one step, the server restarts, computes the next frame, and its answer is lost.

    The repeated frame then is step 1, as the client expects. But the stream has seen the second
    frame twice, and the first one never.
    """
    with connect("slots") as client:
        assert digits(client, 1) == [1]
        restart(server)
        server.lose_answers = 1
        with pytest.raises(StreamRestarted, match="may be new") as caught:
            client.step(np.float64(2))
        assert int(caught.value.outputs["value"]) == 22


def test_a_lost_first_answer_is_told_or_harmless(connect: Connect, server: StandIn) -> None:
    server.lose_answers = 1
    with connect("slots") as client, pytest.raises(StreamRestarted, match="counted whose answers"):
        client.step(np.float64(1))


def test_two_clients_of_one_id_are_told(connect: Connect) -> None:
    with connect("slots", stream_id=5) as one, connect("slots", stream_id=5) as other:
        assert digits(one, 1) == [1]
        with pytest.raises(StreamRestarted, match="not new"):
            other.step(np.float64(2))
        with pytest.raises(StreamRestarted, match="another client"):
            one.step(np.float64(3))
        one.reset()
        assert digits(one, 4) == [4]


def test_a_new_version_of_the_model_starts_the_stream_anew(
    connect: Connect, server: StandIn, clip: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    """States belong to the weights that computed them."""
    with connect("carried") as client:
        client.step(clip[0])
        server.models["carried"].version = 2
        with pytest.raises(StreamRestarted, match="version 2 of the model instead of 1") as caught:
            client.step(clip[0])
        np.testing.assert_allclose(caught.value.outputs["map"], expected["map"][0], atol=1e-6)
        np.testing.assert_allclose(client.step(clip[1])["map"], expected["map"][1], atol=1e-6)
    server.models["carried"].version = 1


def test_threads_wait_for_each_other(connect: Connect, server: StandIn) -> None:
    server.delay = 0.01
    with connect("slots") as client:
        threads = [
            threading.Thread(target=client.step, args=(np.float64(frame),)) for frame in (1, 2, 3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert (client.step_number, client.restarts) == (3, 0)
