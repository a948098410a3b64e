"""What the processes of a deployment are told."""

import dataclasses
import math
import os
import sys
import typing
from collections.abc import Mapping
from typing import Any

IMAGES = (None, "uint8", "jpeg")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a network is served on many machines.

    Attributes:
        model: the path of a `.keras` file or of a run. All machines see the path.
        name: name of the model in addresses; None for that of the network.
        streams: most streams of a replica.
        batch, wait, deadline, idle: see `mpvn.serving.engine.Engine`.
        depth: most frames of a stream that wait. If another one comes, the oldest goes.
        images: what frames are: None for the numbers that the network takes, `"uint8"` for pixels
            of any size, `"jpeg"` for image files.
        classes: how many of the likeliest classes answers name; see `mpvn serve`.
        runtime, precision, threads: what runs the steps of a replica; see `compile_inference`.
        host: the name by which clients call the deployment, besides addresses and `localhost`;
            `"*"` for any.
        token_file: file with the bearer token that clients must send; None lets everybody in who
            reaches the ports of Ray Serve. All machines see the path.
        rate: most frames per second of a client at a front; None for no limit.
        body: most bytes of a request.
        pixels: most pixels of a picture.
        timeout: seconds in which a replica must answer.
    """

    model: str
    name: str | None = None
    streams: int = 64
    batch: int | None = None
    wait: float = 0.0
    deadline: float = 1.0
    idle: float = 60.0
    depth: int = 2
    images: str | None = None
    classes: int | None = None
    runtime: str = "auto"
    precision: str = "float32"
    threads: int | None = None
    host: str = "localhost"
    token_file: str | None = None
    rate: float | None = None
    body: int = 32 << 20
    pixels: int = 1 << 25
    timeout: float = 30.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", os.path.abspath(self.model))
        for name in ("streams", "batch", "depth", "threads", "body", "pixels"):
            value = getattr(self, name)
            is_int = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (is_int and value > 0):
                raise _invalid(name, "a positive int", value)
        for name in ("wait", "deadline", "idle", "rate", "timeout"):
            value = getattr(self, name)
            most = math.inf if name == "idle" else sys.float_info.max
            if value is not None and not 0 <= value <= most:
                raise _invalid(name, "a number, 0 or more", value)
        if self.images not in IMAGES:
            raise _invalid("images", f"one of {IMAGES}", self.images)
        if self.name is not None and (not self.name or {*"/:"} & {*self.name}):
            raise _invalid("name", "a name without / and :, as it stands in addresses", self.name)

    @classmethod
    def of_text(cls, arguments: Mapping[str, Any]) -> "Settings":
        """Return the settings of a command line or a config, whose values may be text.

        Raises:
            ValueError: there is no such setting, or a value is invalid.
        """
        kinds = typing.get_type_hints(cls)
        unknown = arguments.keys() - kinds.keys()
        if unknown or "model" not in arguments:
            raise ValueError(
                f"Invalid settings. Expected model=PATH, and some of {', '.join(kinds)}. Received: "
                f"{', '.join(arguments) or 'nothing'}."
            )
        return cls(**{name: read(name, value, kinds[name]) for name, value in arguments.items()})


def read(name: str, value: Any, kind: Any) -> Any:
    """Return a value of one of the types `kind`, given text; other values are returned as they are.

    Raises:
        ValueError: the text is no such value.
    """
    if not isinstance(value, str):
        return value
    types = typing.get_args(kind) or (kind,)
    if type(None) in types and value.lower() in ("", "none"):
        return None
    for each in (int, float, str):
        if each in types:
            try:
                return each(value)
            except ValueError as error:
                raise _invalid(name, f"a value of type {each.__name__}", value) from error
    return value


def _invalid(name: str, expected: str, received: Any) -> ValueError:
    return ValueError(f"Invalid {name}. Expected {expected}. Received: {received!r}.")
