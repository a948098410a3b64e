"""Streams on a local cluster of Ray, whose replicas are killed, removed and added.

`MPVN_CLUSTER=1` starts it: about a minute of processor time, most of it to start processes.
"""

import os
import pathlib
import re
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from serving_networks import alone, classes_model

from mpvn.serving import Client, StreamRestarted

CLUSTER = bool(int(os.environ.get("MPVN_CLUSTER", 0)))
STREAMS = range(1, 7)
SIZE = (8, 10, 3)

pytestmark = pytest.mark.skipif(not CLUSTER, reason="MPVN_CLUSTER is not set; see `make soak`")


def import_ray() -> None:
    with warnings.catch_warnings():  # Ray's own imports
        warnings.filterwarnings("ignore", "Using extra keyword arguments on `Field` is deprecated")
        import ray.serve  # noqa: F401


class Cluster:
    """An application on a cluster of this machine.

    Args:
        model: the path of the network.

    Attributes:
        handle: of its fronts.
    """

    def __init__(self, model: pathlib.Path) -> None:
        import ray
        from ray import serve

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._model = str(model)
        ray.init(
            num_cpus=4,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=80 << 20,
            _node_ip_address="127.0.0.1",
        )
        serve.start(http_options={"host": "127.0.0.1", "port": self._port})
        self.scale(2)
        self.handle = serve.get_app_handle("mpvn")

    def scale(self, replicas: int) -> None:
        """Do what `serve deploy` does with a file, for which Ray would need its dashboard."""
        from ray.serve.context import _get_global_client
        from ray.serve.schema import ServeDeploySchema

        arguments = {
            "model": self._model,
            "streams": "8",
            "deadline": 30.0,
            "runtime": "tensorflow",
            "num_cpus": 0.25,
            "front_actor_options": {"num_cpus": 0.25},
            "grace": 5.0,
        }
        application = {
            "name": "mpvn",
            "route_prefix": "/",
            "import_path": "mpvn.serving.ray_serve:app",
            "args": arguments,
            "deployments": [{"name": "Streams", "num_replicas": replicas}],
        }
        client = _get_global_client()
        client.deploy_apps(ServeDeploySchema.model_validate({"applications": [application]}))
        client._wait_for_application_running("mpvn", timeout_s=200)

    def streams(self) -> dict[str, int]:
        """Return the number of streams of each replica."""
        return self.handle.streams.remote().result(timeout_s=30)

    def wait_for(self, replicas: int) -> None:
        """Wait until so many replicas run."""
        end = time.monotonic() + 120
        while len(self.streams()) != replicas:
            assert time.monotonic() < end, f"{self.streams()} in place of {replicas} replicas"
            time.sleep(0.5)

    def kill(self, kind: str) -> None:
        """Kill an actor of Serve whose name has a part."""
        import ray

        actors = ray.util.list_named_actors(all_namespaces=True)
        (found,) = [each for each in actors if kind in each["name"]]
        ray.kill(ray.get_actor(found["name"], found["namespace"]))

    def client(self, stream_id: int, told: list[StreamRestarted]) -> Client:
        address = f"http://127.0.0.1:{self._port}"
        return Client(
            address,
            "actions",
            stream_id=stream_id,
            on_restart=told.append,
            timeout=60,
            retry_for=60,
        )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    import_ray()
    import ray
    from ray import serve

    path = tmp_path_factory.mktemp("model") / "actions.keras"
    classes_model().network.save(path)
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        yield Cluster(path)
    finally:
        serve.shutdown()
        ray.shutdown()
        patch.undo()


class Camera:
    """A stream that sends frames and checks each answer against the stream alone.

    Attributes:
        told: what the client was told.
    """

    def __init__(self, cluster: Cluster, stream_id: int) -> None:
        self.told: list[StreamRestarted] = []
        self._rng = np.random.default_rng(stream_id)
        self._client = cluster.client(stream_id, self.told)
        self._frames: list[np.ndarray] = []
        self._outputs: list[Any] = []

    def send(self, count: int) -> None:
        for _ in range(count):
            frame = self._rng.normal(size=SIZE).astype("float32")
            before = len(self.told)
            outputs = self._client.step(frame)
            if len(self.told) > before:
                assert self.told[-1].step == 0
                self._frames, self._outputs = [], []
            self._frames.append(frame)
            self._outputs.append(outputs["logits"])
            assert self._client.step_number == len(self._frames)

    def check(self) -> None:
        """Compare all answers since the stream began with those of the network alone."""
        expected = alone(classes_model().network, self._frames)
        np.testing.assert_allclose(
            self._outputs, keras.tree.map_structure(np.asarray, expected), atol=1e-5
        )

    def close(self) -> None:
        self._client.close()


def send_all(cameras: dict[int, Camera], count: int) -> None:
    """Let all cameras send frames at the same time."""
    failed: list[BaseException] = []

    def work(camera: Camera) -> None:
        try:
            camera.send(count)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=[each]) for each in cameras.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    if failed:
        raise failed[0]


def told(cameras: dict[int, Camera]) -> list[int]:
    return [stream for stream, camera in cameras.items() if camera.told]


def test_streams_stay_and_are_told_if_they_cannot(cluster: Cluster) -> None:
    cameras = {stream: Camera(cluster, stream) for stream in STREAMS}
    send_all(cameras, 6)
    assert sorted(cluster.streams().values()) == [3, 3]
    lost = next(iter(cluster.streams()))

    cluster.kill("Directory")  # replicas tell the next one what they have
    send_all(cameras, 5)
    assert not told(cameras)

    sending = threading.Thread(target=send_all, args=[cameras, 12])
    sending.start()
    time.sleep(0.1)
    cluster.kill(lost)
    sending.join(180)
    send_all(cameras, 4)
    first = told(cameras)
    assert len(first) == 3 and all(len(cameras[each].told) == 1 for each in first)

    cluster.wait_for(2)  # Serve has started another one
    send_all(cameras, 2)
    extra = {9: Camera(cluster, 9)}
    send_all(extra, 5)
    assert told(cameras) == first, "a replica that is added takes no stream from others"

    sizes = cluster.streams()
    cluster.scale(1)
    send_all(cameras, 9)
    send_all(extra, 9)
    cluster.wait_for(1)
    moved = sum(len(each.told) for each in (*cameras.values(), *extra.values())) - 3
    assert moved in sizes.values(), f"{sizes}: those of the replica that was removed"
    for each in (*cameras.values(), *extra.values()):
        each.check()
        each.close()
    assert cluster.streams() and not any(cluster.streams().values())


def test_the_arguments_of_the_document_and_of_a_command_line_build_an_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import_ray()
    from mpvn.serving import ray_serve

    text = (pathlib.Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    section = text[text.index("## Many machines") :]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    monkeypatch.setattr(ray_serve, "deploy", ray_serve.build_app)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/serving.md", "exec"), names)
    (command,) = re.findall(r"serve run mpvn\.serving\.ray_serve:app (.*)", section)
    built = ray_serve.app(dict(each.split("=") for each in command.split()))
    assert type(built) is type(names["handle"])
    with pytest.raises(ValueError, match="Expected model=PATH"):
        ray_serve.app({"model": "a.keras", "replica": "4"})
