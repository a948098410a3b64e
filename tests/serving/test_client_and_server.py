"""Our client speaks with our server as it does with TensorFlow Serving."""

import numpy as np
import pytest
from serving_networks import Served, alone, compiled_classes

from mpvn.serving import Client, OverloadError, RequestError, StreamRestarted
from mpvn.serving.server.access import Access

FRAMES = np.random.default_rng(9).normal(size=(6, 8, 10, 3)).astype("float32")


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_client_follows_its_stream_and_sees_when_it_is_lost(protocol: str) -> None:
    expected = alone(compiled_classes(), [*FRAMES])
    with Served(streams=1, grpc=True, access=Access("secret")) as served:
        port = served.server.grpc_port if protocol == "grpc" else served.server.port
        address = f"{protocol}://127.0.0.1:{port}"
        options = {"token": "secret", "timeout": 60.0}
        with Client(address, "actions", **options) as client:
            for frame, outputs in zip(FRAMES, expected, strict=True):
                np.testing.assert_allclose(client.step(frame)["logits"], outputs, atol=1e-6)
            with Client(address, "actions", **options) as other, pytest.raises(OverloadError):
                other.step(FRAMES[0])
            with pytest.raises((RequestError, ValueError), match="finite"):
                client.step(np.full_like(FRAMES[0], np.nan))
            client.reset()
            np.testing.assert_allclose(client.step(FRAMES[0])["logits"], expected[0], atol=1e-6)
            client.step(FRAMES[1])
            served.service.engine.reset(client.stream_id)
            with pytest.raises(StreamRestarted, match="Expected step 2"):
                client.step(FRAMES[0])
            np.testing.assert_allclose(client.step(FRAMES[1])["logits"], expected[1], atol=1e-6)
        assert served.service.engine.streams == 0, "the client has left"
