"""The client's stream through `mpvn serve` is the network's: it is the protocol of TF Serving."""

from collections.abc import Iterator

import numpy as np
import pytest
from serving_networks import Served, alone, compiled_classes

from mpvn.serving import AccessError, Client, RequestError, StreamRestarted
from mpvn.serving.server.access import Access

CLIP = np.random.default_rng(8).normal(size=(6, 8, 10, 3)).astype("float32")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(streams=4, grpc=True, access=Access("secret")) as server:
        yield server


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_stream_of_the_client_is_the_networks(protocol: str, served: Served) -> None:
    port = served.server.grpc_port if protocol == "grpc" else served.server.port
    address = f"{protocol}://127.0.0.1:{port}"
    with pytest.raises(AccessError):
        Client(address, "actions", token="other", retry_for=0)
    expected = alone(compiled_classes(), [*CLIP])
    with Client(address, "actions", token="secret", timeout=30) as client:
        for frame, value in zip(CLIP, expected, strict=True):
            np.testing.assert_allclose(client.step(frame)["logits"], value, atol=1e-6)
        with pytest.raises(RequestError, match="finite"):
            client.step(CLIP[0] * np.float32("nan"))
        client.reset()
        np.testing.assert_allclose(client.step(CLIP[0])["logits"], expected[0], atol=1e-6)
        served.service.engine.reset(client.stream_id)  # as a restart does
        with pytest.raises(StreamRestarted, match="begun it anew") as caught:
            client.step(CLIP[0])
        np.testing.assert_allclose(caught.value.outputs["logits"], expected[0], atol=1e-6)
        np.testing.assert_allclose(client.step(CLIP[1])["logits"], expected[1], atol=1e-6)
    assert served.service.engine.reset(client.stream_id) == 0, "its place is free"
