"""The file that names the processes of a cluster:

    {"chief": "10.0.0.1:9000", "workers": ["10.0.0.2:9000", "10.0.0.3:9000"]}

The chief is the process that runs the command, such as `mpvn train`. It computes no subnetwork
unless the plan says so. `"spares"` may list further workers, which replace lost ones. Each process
reads the same file.
"""

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

_ADDRESS = re.compile(r"(?P<host>[\w.-]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")
_KEYS = ("chief", "workers", "spares")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The addresses of a cluster's processes, each `"host:port"`.

    Attributes:
        chief: the process that runs the command.
        workers: the processes that run subnetworks, in the order of their tasks.
        spares: processes that wait to replace a worker. Their tasks follow those of the workers.

    Raises:
        ValueError: an address is invalid, or two are the same, or there is no worker.
    """

    chief: str
    workers: tuple[str, ...]
    spares: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        faults = [*_faults_of_addresses(self)]
        if faults:
            raise ValueError(f"Cluster. {' '.join(faults)}")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Cluster":
        """Return the cluster that a JSON file describes.

        Raises:
            OSError: the file cannot be read.
            ValueError: it does not describe a cluster.
        """
        try:
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
        except OSError as error:
            raise OSError(f"Cluster file {path}: it cannot be read. {error.strerror}.") from error
        except ValueError as error:
            raise ValueError(
                f"Cluster file {path}. Expected JSON. Received: something else: {error}."
            ) from error
        faults = [*_faults_of_keys(content)]
        if faults:
            raise ValueError(f"Cluster file {path}. {' '.join(faults)}")
        try:
            return cls(
                content["chief"], tuple(content["workers"]), tuple(content.get("spares", ()))
            )
        except ValueError as error:
            raise ValueError(f"Cluster file {path}{str(error).removeprefix('Cluster')}") from None

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses of all processes that `mpvn worker` runs, in the order of their tasks."""
        return (*self.workers, *self.spares)

    def server(self, task: int) -> str:
        """Return the address of a task.

        Raises:
            ValueError: there is none with this number.
        """
        if not 0 <= task < len(self.servers):
            raise ValueError(
                f"--task. Expected a number from 0 to {len(self.servers) - 1}, because the cluster "
                f"has {len(self.servers)} workers and spares. Received: {task}."
            )
        return self.servers[task]

    def jobs(self) -> dict[str, list[str]]:
        """Return the addresses as TensorFlow takes them: by job, in the order of tasks."""
        return {"chief": [self.chief], "worker": [*self.workers]}


def host_and_port(address: str) -> tuple[str, int]:
    """Return the parts of an address, without the brackets of a host that is an IPv6 address.

    Raises:
        ValueError: the address is invalid.
    """
    found = _ADDRESS.fullmatch(address)
    if not found or not 0 < int(found["port"]) < 2**16:
        raise ValueError(
            f'Expected addresses "host:port", with a port from 1 to 65535. Received: {address!r}.'
        )
    return found["host"].strip("[]"), int(found["port"])


def _faults_of_keys(content: Any) -> Iterator[str]:
    example = '{"chief": "host:port", "workers": ["host:port", ...]}'
    if not isinstance(content, Mapping):
        yield f"Expected {example}. Received: a {type(content).__name__}."
        return
    unknown = [*content.keys() - {*_KEYS}]
    if unknown:
        yield f"Expected the keys {', '.join(_KEYS)}. Received: {', '.join(sorted(unknown))} too."
    for key in ("chief", "workers"):
        if key not in content:
            yield f"Expected {example}. Received: no {key}."
    if not isinstance(content.get("chief", ""), str):
        yield f'chief: expected "host:port". Received: {content["chief"]!r}.'
    for key in ("workers", "spares"):
        value = content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            yield f'{key}: expected ["host:port", ...]. Received: {value!r}.'


def _faults_of_addresses(cluster: Cluster) -> Iterator[str]:
    if not cluster.workers:
        yield "Expected at least one worker. Received: none."
    places = {}
    for address in (cluster.chief, *cluster.servers):
        try:
            place = host_and_port(address)
        except ValueError as error:
            yield str(error)
            continue
        if place in places:
            yield f"Expected each address once. Received: {address} twice."
        places[place] = address
