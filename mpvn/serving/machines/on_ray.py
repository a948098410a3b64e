"""Messages between the deployments of Ray Serve: a request goes to the replica that it names.

Serve's own means do not pin. Multiplexing (`multiplexed_model_id`) prefers a replica: a new id goes
to several replicas until the controller has told all handles where it is, and a busy replica is
passed over after a second. Consistent hashing moves streams when replicas are added. Then two
replicas would have two histories of one stream.
"""

import asyncio
import contextvars
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.exceptions import ActorDiedError, RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from mpvn.serving.errors import ServingError, Unreachable
from mpvn.serving.machines.directory import Pin, Ticket
from mpvn.serving.machines.front import Gone
from mpvn.serving.server.signatures import Arrays, Signature

UNANSWERED = (RayError, RayServeException, TimeoutError)
"""What is raised if a deployment does not answer."""

_UNKNOWN = 5.0  # seconds until a router that was never told of a replica says that it is gone
_READY = 10.0  # seconds to wait for a directory, and for replicas at the beginning
_PAUSE = 0.2  # seconds between two questions whether they are there


class Elsewhere(Exception):
    """A request came to a replica that it was not meant for."""


class PinnedRouter(RequestRouter):
    """Sends each request to the replica that its first argument names; without a name, to any.

    A request whose replica is gone goes to another one, which refuses it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known: set[str] = set()

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Note which replicas run, and which ones have run."""
        super().update_replicas(replicas)
        self._known.update(replica.replica_id.unique_id for replica in replicas)

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Return the replica of a request; none as long as the router may yet be told of it."""
        if pending_request is None or not pending_request.args[0]:
            return [candidate_replicas]
        name = pending_request.args[0]
        named = [each for each in candidate_replicas if each.replica_id.unique_id == name]
        age = time.time() - pending_request.created_at
        if named or (name not in self._known and age < _UNKNOWN):
            return [named] if named else []
        return [candidate_replicas]


class ServeMachines:
    """How a front reaches the others through Serve; see `mpvn.serving.machines.front.Machines`.

    Args:
        directory, streams: handles of the deployments.
        timeout: seconds in which a replica must answer.
    """

    def __init__(
        self, directory: DeploymentHandle, streams: DeploymentHandle, timeout: float
    ) -> None:
        self._directory, self._streams = directory, streams
        self._timeout = timeout

    async def place(self, stream_ids: Sequence[int]) -> list[Pin]:
        return await self.ask("place", stream_ids)

    async def find(self, stream_ids: Sequence[int]) -> list[Pin | None]:
        return await self.ask("find", stream_ids)

    async def free(self, tickets: Mapping[int, Ticket]) -> None:
        await self.ask("free", tickets)

    async def lost(self, replica: str) -> None:
        await self.ask("lost", replica)

    async def run(
        self,
        replica: str,
        signature: str,
        inputs: Arrays,
        tickets: Sequence[Ticket],
        deadline: float | None,
    ) -> Arrays:
        arguments = replica, signature, inputs, tickets, deadline
        try:
            answer = await answer_of(lambda: self._streams.run.remote(*arguments), self._timeout)
        except ActorDiedError as error:
            raise Gone(replica) from error
        except RayTaskError as error:
            raise ServingError(f"Replica {replica} failed: {error.cause}.") from error
        except UNANSWERED as error:
            raise Unreachable(
                f"Replica {replica} does not answer ({type(error).__name__}). Expected an answer "
                f"in {self._timeout:g} s. The frame may have been seen."
            ) from error
        if isinstance(answer, Elsewhere):
            raise Gone(replica)
        return answer

    async def describe(self) -> tuple[str, Mapping[str, Signature]]:
        """Return the name of the model and what it offers."""
        try:
            return await answer_of(lambda: self._streams.describe.remote(""), self._timeout)
        except UNANSWERED as error:
            raise Unreachable("No replica is ready yet. Expected one. Ask again.") from error

    async def ask(self, method: str, *arguments: Any) -> Any:
        """Return the answer of the directory. Wait for one that begins."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _READY

        def ask() -> Any:
            return self._directory.ask.remote(method, *arguments)

        while True:
            try:
                return await answer_of(ask, end - loop.time())
            except (Unreachable, *UNANSWERED) as error:
                if loop.time() + _PAUSE >= end:
                    raise Unreachable(
                        f"The directory of streams is not ready ({error}). Ask again."
                    ) from error
            await asyncio.sleep(_PAUSE)


async def answer_of(call: Callable[[], Any], timeout: float) -> Any:
    """Return what a deployment returns; raise the refusal that it returns.

    The call is not part of the request that is being answered: Serve tells calls of one request
    apart by nothing, and would send one to the replica of another one. So it is made in an empty
    context.
    """
    response = contextvars.Context().run(call)
    answer = await asyncio.wait_for(_wait(response), timeout)
    if isinstance(answer, ServingError):
        raise answer
    return answer


async def _wait(response: Any) -> Any:
    return await response
