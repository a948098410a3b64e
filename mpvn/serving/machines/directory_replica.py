"""The directory as a deployment of Ray Serve."""

from typing import Any

from mpvn.serving.errors import ServingError
from mpvn.serving.machines.directory import Directory
from mpvn.serving.machines.settings import Settings


class DirectoryReplica:
    """A directory. Refusals are returned: Ray would wrap them.

    Args:
        settings: of the deployment.
    """

    def __init__(self, settings: Settings) -> None:
        self._directory = Directory(settings.idle)

    async def ask(self, method: str, *arguments: Any) -> Any:
        """Return what a method of `Directory` returns, or the refusal that it raises."""
        try:
            return getattr(self._directory, method)(*arguments)
        except ServingError as error:
            return error
