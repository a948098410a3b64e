"""What goes wrong is one clear error: the server's words are in it, and nothing waits for long."""

import pathlib
import subprocess
import sys

import grpc
import numpy as np
import pytest
from servers import Answer, serving
from tf_serving_stand_in import Refused, StandIn

from mpvn.serving import (
    AccessError,
    Client,
    NotFoundError,
    OverloadError,
    RequestError,
    ServerError,
    UnavailableError,
    retry,
)


@pytest.fixture(params=["grpc", "http"])
def address(request: pytest.FixtureRequest, server: StandIn) -> str:
    return server.address(request.param)


def test_models_and_signatures_that_do_not_exist(address: str) -> None:
    with pytest.raises(NotFoundError, match=r"nope.*Servable not found for request: Latest.nope"):
        Client(address, "nope", retry_for=0)
    with pytest.raises(NotFoundError, match=r"Specific\(slots, 9\)"):
        Client(address, "slots", version=9, retry_for=0)
    with pytest.raises(RequestError, match="one of clip, init_states.*Received: 'stepp'"):
        Client(address, "carried", signature="stepp")
    with pytest.raises(RequestError, match="'clip' is not a step of a stream"):
        Client(address, "carried", signature="clip")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, RequestError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, OverloadError),
        (grpc.StatusCode.UNIMPLEMENTED, RequestError),
        (grpc.StatusCode.UNAVAILABLE, UnavailableError),
    ],
)
def test_errors_of_the_server_keep_its_words(
    code: grpc.StatusCode, error: type[ServerError], address: str, server: StandIn
) -> None:
    client = Client(address, "slots", retry_for=0)
    server.refuse = Refused(code, 'it\'s "that"')
    with pytest.raises(error, match=r"slots.*it\\?'s \\?\"that"):
        client.step(np.float64(1))
    assert client.step_number == 0
    server.refuse = None
    with client:
        assert client.step(np.float64(1))["value"] == 1, "the client goes on"


def test_what_the_model_refuses_is_not_repeated(address: str, server: StandIn) -> None:
    with Client(address, "slots") as client:
        client.step(np.float64(1))
        with pytest.raises(RequestError, match="frame"):
            client.step(np.float64("nan"))
        assert client.step(np.float64(2))["value"] == 12
    assert server.steps == 3, "two steps, and the reset of the end"


def test_tokens(address: str, server: StandIn) -> None:
    server.token = "secret"
    for token in (None, "other"):
        with pytest.raises(AccessError, match=r"who are you\?"):
            Client(address, "slots", token=token)
    with Client(address, "slots", token="secret") as client:
        assert client.step(np.float64(1))["value"] == 1


def test_the_token_is_not_replaced_by_that_of_a_file(
    server: StandIn, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package requests prefers `.netrc` to headers."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    server.token = "secret"
    Client(server.address("http"), "slots", token="secret").close()


def test_a_server_that_is_away_is_waited_for_as_long_as_said(
    address: str, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pauses double up to a bound, and end with the time that the user gave."""
    client = Client(address, "slots", retry_for=100)
    server.kill()
    now, pauses = [0.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(retry.time, "sleep", sleep)
    monkeypatch.setattr(retry.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(retry.random, "uniform", lambda _, high: high)
    with pytest.raises(UnavailableError, match=r"slots.* attempts in \d+\.\d s\)") as caught:
        client.step(np.float64(1))
    assert not caught.value.may_have_arrived
    assert pauses[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert 94 < sum(pauses) <= 100


def test_a_server_that_does_not_answer_is_given_up(address: str, server: StandIn) -> None:
    client = Client(address, "slots", timeout=5, retry_for=0)
    server.delay = 0.5
    client.timeout = 0.05
    with pytest.raises(UnavailableError) as caught:
        client.step(np.float64(1))
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert caught.value.may_have_arrived


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"<html>", ServerError, "expected JSON. Received: '<html>'"),
        (b"[]", ServerError, "expected the metadata of a model"),
    ],
)
def test_other_servers_are_not_taken_for_model_servers(
    content: bytes, error: type[ServerError], message: str
) -> None:
    with serving(Answer(content)) as other, pytest.raises(error, match=message):
        Client(other.url(), "model", retry_for=0)


def test_an_answer_that_breaks_off_is_a_lost_one() -> None:
    with serving(Answer(b'{"metadata": {}}', sent=5)) as other:
        with pytest.raises(UnavailableError) as caught:
            Client(other.url(), "model", retry_for=0)
        assert caught.value.may_have_arrived


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "localhost:8500"}, "Invalid address. Expected grpc://HOST:PORT"),
        ({"address": "grpc://localhost:8500/path"}, "Invalid address"),
        ({"model": "a/b"}, "Invalid model"),
        ({"stream_id": 2**63}, "Invalid stream_id. Expected an int64"),
        ({"stream_id": True}, "Invalid stream_id"),
        ({"timeout": 0}, "Invalid timeout"),
        ({"retry_for": -1.0}, "Invalid retry_for"),
        ({"retry_for": float("inf")}, "Invalid retry_for"),
        ({"on_restart": "ignore"}, "Invalid on_restart"),
    ],
)
def test_arguments(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Client(**{"address": "http://127.0.0.1:1", "model": "m", **options})


def test_ids_belong_to_streams_on_the_server(address: str) -> None:
    with pytest.raises(ValueError, match="has its state in and out"):
        Client(address, "carried", stream_id=3)


def test_a_closed_client_says_so(address: str) -> None:
    client = Client(address, "slots")
    client.close()
    client.close()
    with pytest.raises(ValueError, match="closed"):
        client.step(np.float64(1))


def test_the_client_needs_no_code_of_networks() -> None:
    """What `import mpvn` imports for saved networks is not the client's."""
    code = (
        "import sys; sys.modules['mpvn'] = m = type(sys)('mpvn'); m.__path__ = ['mpvn']\n"
        "from mpvn.serving import Client\n"
        "import mpvn.serving.rest_transport\n"
        "rooms = {n.split('.')[1] for n in sys.modules if n.startswith('mpvn.')}\n"
        "assert rooms == {'serving'}, rooms\n"
        "assert not {'tensorflow', 'keras', 'grpc'} & sys.modules.keys()\n"
    )
    root = pathlib.Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, timeout=60)
