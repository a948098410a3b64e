"""How a client reaches a model server, whatever the protocol.

A transport is for one model. What comes back from the server is kept as it came until `decode`: a
state that only goes back is neither converted nor rounded.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from mpvn.serving.model_signature import Spec

Tensor = Any
"""A tensor in the form of a transport: a protocol buffer, or a value of JSON."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A model on a server, and how to be let in.

    Attributes:
        host: name or number of the host, and the port.
        path: what stands before the paths of REST, such as that of a gateway.
        is_secure: whether to use TLS.
        model: name of the model.
        token: bearer token, if any.
        certificates: file of trusted certificates (PEM), if those of the system are not enough.
    """

    host: str
    path: str
    is_secure: bool
    model: str
    token: str | None
    certificates: str | None

    def __str__(self) -> str:
        return f"model {self.model!r} at {self.host}{self.path}"


class Transport(Protocol):
    """Asks one model of a server. Every method raises a `ServerError`."""

    def model(self, version: int | None, timeout: float) -> tuple[int | None, Mapping[str, Any]]:
        """Return the version of the model, and its `SignatureDef`s as JSON, by name.

        Args:
            version: None for the one that the server chooses.
            timeout: seconds to wait for the answer.
        """

    def predict(
        self,
        version: int | None,
        signature: str,
        inputs: Mapping[str, Tensor],
        timeout: float,
    ) -> dict[str, Tensor]:
        """Return the outputs of a signature."""

    def encode(self, array: np.ndarray, spec: Spec) -> Tensor:
        """Return an array, batch axis included, to be sent."""

    def zeros(self, spec: Spec) -> Tensor:
        """Return zeros with a batch axis of 1, to be sent."""

    def decode(self, name: str, tensor: Tensor, spec: Spec) -> np.ndarray:
        """Return an output as an array, batch axis included."""

    def reconnect(self) -> None:
        """Connect anew at the next request."""

    def close(self) -> None:
        """Close the connection."""
