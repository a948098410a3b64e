"""What a server says about its model, as TensorFlow Serving's JSON has it."""

from collections.abc import Mapping
from typing import Any

from mpvn.serving.errors import NotFound
from mpvn.serving.server.signatures import Signature

VERSION = 1
"""Version of the model: the only one of a server."""


class Offer:
    """A model that a server offers.

    Args:
        name: name of the model.
        signatures: its signatures by name.

    Attributes:
        name, signatures: the arguments.
        is_ready: whether it takes requests.
    """

    def __init__(self, name: str, signatures: Mapping[str, Signature]) -> None:
        self.name, self.signatures = name, signatures
        self.is_ready = True

    def check_model(self, name: str, version: int | None) -> None:
        """Raise NotFound unless a request means this model."""
        if name != self.name or version not in (None, VERSION):
            wanted = name if version is None else f"{name}, version {version}"
            raise NotFound(
                f"Unknown model. Expected {self.name}, version {VERSION}. Received: {wanted}."
            )

    def models(self) -> dict[str, Any]:
        """Return the names of all models."""
        return {"models": [{"name": self.name, "versions": [str(VERSION)]}]}

    def status(self) -> dict[str, Any]:
        """Return the status of the model."""
        version = {
            "version": str(VERSION),
            "state": "AVAILABLE" if self.is_ready else "UNLOADING",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return {"model_version_status": [version]}

    def metadata(self) -> dict[str, Any]:
        """Return the signatures of the model."""
        signatures = {name: each.to_json() for name, each in self.signatures.items()}
        return {
            "model_spec": {"name": self.name, "signature_name": "", "version": str(VERSION)},
            "metadata": {"signature_def": {"signature_def": signatures}},
        }
