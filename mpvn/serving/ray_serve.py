"""Streams on many machines, on Ray Serve: each one is pinned to a replica that has its state.

    client -> proxy of Serve -> Front (any number) -> Streams (replicas with an engine)
                                      |   Directory (one): which replica has which stream

    serve run mpvn.serving.ray_serve:app model=runs/finetune_tsm replicas=4

A request names its replica, the router sends it there, and a replica refuses what is meant for
another one; `mpvn.serving.machines.on_ray` has the reasons.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mpvn.serving.errors import ServingError, TooLarge
from mpvn.serving.machines.directory import BEAT, Ticket
from mpvn.serving.machines.directory_replica import DirectoryReplica
from mpvn.serving.machines.front import Front
from mpvn.serving.machines.rest import Rest, refusal
from mpvn.serving.machines.settings import Settings, read
from mpvn.serving.server.access import Access
from mpvn.serving.server.signatures import Arrays, Signature

try:
    from ray import serve
    from ray.serve.config import RequestRouterConfig
    from ray.serve.handle import DeploymentHandle
    from starlette.requests import Request
    from starlette.responses import Response

    from mpvn.serving.machines.on_ray import (
        UNANSWERED,
        Elsewhere,
        PinnedRouter,
        ServeMachines,
        answer_of,
    )
except ImportError as error:
    raise ImportError(
        "Many machines need the package ray with Ray Serve. Expected it to be installed. Received: "
        f"{error}. Install mpvn[ray]."
    ) from error

_MANY = 10_000  # requests of a replica at a time: its engine drops frames, not Serve
_REQUESTS = 128  # of a front at a time, and of a proxy that wait: their bodies are in memory


class StreamsReplica:
    """The streams of one process, as a deployment."""

    def __init__(self, settings: Settings, directory: DeploymentHandle) -> None:
        from mpvn.serving.machines.worker import create_worker, use_threads

        use_threads(settings.threads)
        self._name = serve.get_replica_context().replica_id.unique_id
        self._directory = directory
        self._capacity = settings.streams
        self._worker = create_worker(settings)
        self._beats = asyncio.create_task(self._beat())

    async def run(
        self,
        replica: str,
        signature: str,
        inputs: Arrays,
        tickets: Sequence[Ticket],
        deadline: float | None,
    ) -> Any:
        """Return what `Worker.run` returns, or the refusal that it raises.

        Args:
            replica: the name of the replica that is meant; empty for any.
            signature, inputs, tickets, deadline: see `Worker.run`.
        """
        if replica not in ("", self._name):
            return Elsewhere()
        try:
            return await self._worker.run(signature, inputs, tickets, deadline)
        except ServingError as error:
            return error.with_traceback(None)

    async def describe(self, _: str) -> tuple[str, Mapping[str, Signature]]:
        """Return the name of the model and what it offers."""
        service = self._worker.service
        return service.name, service.signatures

    async def check_health(self) -> None:
        """Raise an error if the replica cannot answer; Serve replaces it then."""
        if self._beats.done():
            raise RuntimeError("The replica has stopped to tell the directory that it lives.")
        if not self._worker.service.engine.is_running:
            raise RuntimeError("The engine has stopped.")

    async def _beat(self) -> None:
        while True:
            with contextlib.suppress(*UNANSWERED):
                ended = await answer_of(self._tell, 10 * BEAT)
                await self._worker.forget(ended)
            await asyncio.sleep(BEAT)

    def _tell(self) -> Any:
        tickets = self._worker.tickets
        return self._directory.ask.remote("beat", self._name, self._capacity, tickets)


class FrontReplica:
    """A front, as a deployment that Serve's proxies send HTTP requests to."""

    def __init__(
        self, settings: Settings, directory: DeploymentHandle, streams: DeploymentHandle
    ) -> None:
        self._settings = settings
        self._machines = ServeMachines(directory, streams, settings.timeout)
        self._starting = asyncio.Lock()
        self._rest: Rest | None = None

    async def __call__(self, request: Request) -> Response:
        """Answer a request of HTTP."""
        path = request.scope["path"].removeprefix(request.scope.get("root_path", "").rstrip("/"))
        client = request.client.host if request.client else ""
        try:
            rest, body = await self._started(), await self._body(request)
            answered = await rest.answer(request.method, path, request.headers, body, client)
        except ServingError as error:
            answered = refusal(error)
        return Response(answered.body, answered.status, media_type="application/json")

    async def predict(
        self, inputs: Mapping[str, np.ndarray], signature: str = "serving_default"
    ) -> Arrays:
        """Return the outputs of a request by name, for callers with a handle of Serve.

        Raises:
            ServingError: the request is refused; Ray wraps it.
        """
        return await (await self._started()).front.predict(signature, inputs)

    async def streams(self) -> dict[str, int]:
        """Return the number of streams of each replica."""
        return await self._machines.ask("streams")

    async def _started(self) -> Rest:
        """Return what answers; at the first request, ask a replica what it offers."""
        async with self._starting:
            if self._rest is None:
                name, signatures = await self._machines.describe()
                access = _access(self._settings)
                front = Front(self._machines, name, signatures, self._settings, access)
                self._rest = Rest(front)
            return self._rest

    async def _body(self, request: Request) -> bytes:
        body, most = bytearray(), self._settings.body
        async for part in request.stream():
            body += part
            if len(body) > most:
                raise TooLarge(f"Expected a body of at most {most} bytes. Received: more.")
        return bytes(body)


def _access(settings: Settings) -> Access:
    token = None
    if settings.token_file is not None:
        with open(settings.token_file, encoding="utf-8") as file:
            token = file.read().strip()
    return Access(token, settings.host, settings.rate, settings.host == "*")


def build_app(
    model: str,
    *,
    replicas: int = 1,
    fronts: int = 1,
    autoscaling: Mapping[str, Any] | None = None,
    ray_actor_options: Mapping[str, Any] | None = None,
    front_actor_options: Mapping[str, Any] | None = None,
    grace: float = 20.0,
    **settings: Any,
) -> serve.Application:
    """Return an application of Ray Serve that runs many streams through a network.

    Args:
        model: the path of a `.keras` file or of a run. All machines see the path.
        replicas: number of replicas, each with its own slots.
        fronts: number of processes that read requests; each reads some dozens of frames as JSON
            per second, more as image files.
        autoscaling: `autoscaling_config` of Ray Serve for replicas, instead of `replicas`. A
            replica that is added gets new streams; streams of one that is removed begin anew
            elsewhere.
        ray_actor_options: resources of a replica, such as `{"num_cpus": 4}`; one processor core by
            default. A step has as many threads as cores, unless there is a GPU or `threads` is
            given.
        front_actor_options: resources of a front.
        grace: seconds that a replica which is removed may take to finish its requests.
        settings: see `mpvn.serving.machines.settings.Settings`.

    Raises:
        ValueError: an argument is invalid.
    """
    options = {"num_cpus": 1, **(ray_actor_options or {})}
    if settings.get("threads") is None and not options.get("num_gpus"):
        settings["threads"] = max(1, int(options["num_cpus"]))
    told = Settings(model, **settings)
    scale: dict[str, Any] = {"num_replicas": replicas}
    if autoscaling:
        scale = {"autoscaling_config": {**autoscaling}}
    logging = {"enable_access_log": False}  # else Serve writes a line for each frame and each beat
    quiet: dict[str, Any] = {"logging_config": logging, "max_ongoing_requests": _MANY}
    deployment: Any = serve.deployment
    router: Any = PinnedRouter
    directory = deployment(
        DirectoryReplica,
        name="Directory",
        num_replicas=1,
        ray_actor_options={"num_cpus": 0},
        health_check_period_s=2.0,
        **quiet,
    ).bind(told)
    streams = deployment(
        StreamsReplica,
        name="Streams",
        ray_actor_options=options,
        request_router_config=RequestRouterConfig(request_router_class=router),
        graceful_shutdown_timeout_s=grace,
        **scale,
        **quiet,
    ).bind(told, directory)
    front = deployment(
        FrontReplica,
        name="Front",
        num_replicas=fronts,
        ray_actor_options={"num_cpus": 1, **(front_actor_options or {})},
        max_ongoing_requests=_REQUESTS,
        max_queued_requests=_REQUESTS,
        graceful_shutdown_timeout_s=grace,
    )
    return front.bind(told, directory, streams)


def deploy(model: str, *, app: str = "mpvn", route: str = "/", **options: Any) -> DeploymentHandle:
    """Run an application on the Ray cluster of this process, and return when it is ready.

    Args:
        model: see `build_app`.
        app: name of the application.
        route: what stands before `/v1` in addresses.
        options: see `build_app`.

    Returns:
        The handle of its fronts: `await handle.predict.remote(inputs)`.
    """
    return serve.run(build_app(model, **options), name=app, route_prefix=route)


def app(arguments: dict[str, Any]) -> serve.Application:
    """Return an application, for `serve run mpvn.serving.ray_serve:app model=PATH ...`.

    Args:
        arguments: those of `build_app`; values may be text. `num_cpus` and `num_gpus` are resources
            of a replica.
    """
    own = {"replicas": int, "fronts": int, "grace": float}
    nested = ("autoscaling", "ray_actor_options", "front_actor_options")
    resources = {"num_cpus": float, "num_gpus": float}
    given = {**arguments}
    options: dict[str, Any] = {name: given.pop(name) for name in nested if name in given}
    for name in own.keys() & given.keys():
        options[name] = read(name, given.pop(name), own[name])
    sizes = {n: read(n, given.pop(n), resources[n]) for n in resources.keys() & given.keys()}
    if sizes:
        options["ray_actor_options"] = {**options.get("ray_actor_options", {}), **sizes}
    told = Settings.of_text(given)
    named = {key: getattr(told, key) for key in given if key != "model"}
    return build_app(told.model, **options, **named)
