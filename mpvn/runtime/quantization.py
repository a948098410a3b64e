"""What int8 has changed: the report of a quantized network."""

import dataclasses
import math
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class QuantizedUnit:
    """A unit, after quantization.

    Attributes:
        name: its name.
        int8: whether any of its layers computes in int8.
        kept: names of layers that stay in higher precision, though it computes in int8.
        error: the relative error (rms) of what it makes, computed from the same values; None if it
            was not measured.
        reason: why all or some of it stays in higher precision; empty if nothing does.
        samples: number of steps on which it was calibrated.
    """

    name: str
    int8: bool
    kept: tuple[str, ...] = ()
    error: float | None = None
    reason: str = ""
    samples: int = 0

    def __str__(self) -> str:
        kept = f", layers {', '.join(self.kept)}" if self.kept else ""
        return f"{self.name}{kept}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class OutputChange:
    """How an output differs from that in float32, on steps on which nothing was calibrated.

    Attributes:
        name: name of its tensor.
        error: relative error (rms).
        same_top: of a vector, the share of steps whose largest value has the same index; None for
            others.
    """

    name: str
    error: float
    same_top: float | None = None

    def __str__(self) -> str:
        top = "" if self.same_top is None else f", same largest value {self.same_top:.1%}"
        return f"{self.name} {self.error:.2%}{top}"


class Change:
    """The sums that an `OutputChange` is made of.

    Args:
        name: name of the output.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._change = self._size = 0.0
        self._same = self._rows = 0

    def add(self, expected: np.ndarray, actual: np.ndarray) -> None:
        """Add the outputs `[B, T, ...]` of some steps."""
        expected, actual = expected.astype(np.float64), actual.astype(np.float64)
        self._change += float(np.square(actual - expected).sum())
        self._size += float(np.square(expected).sum())
        if expected.ndim == 3 and expected.shape[-1] > 1:
            same = expected.argmax(axis=-1) == actual.argmax(axis=-1)
            self._same += int(same.sum())
            self._rows += same.size

    def result(self) -> OutputChange:
        error = math.sqrt(self._change / self._size) if self._size else float(self._change > 0)
        return OutputChange(self._name, error, self._same / self._rows if self._rows else None)


@dataclasses.dataclass(frozen=True)
class Quantization:
    """What int8 has changed in a network.

    Attributes:
        precision: that of what does not compute in int8.
        max_error: the bound of the errors of units.
        clips: number of clips on which it was calibrated.
        skipped: number of clips that were too short for that.
        steps: number of steps on which it was calibrated.
        held_out: number of steps on which outputs were compared.
        outputs: the change of each output.
        units: the units with convolutions or dense layers.
    """

    precision: str
    max_error: float
    clips: int
    skipped: int
    steps: int
    held_out: int
    outputs: tuple[OutputChange, ...]
    units: tuple[QuantizedUnit, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Quantization":
        """Return what `to_json` described."""
        outputs = tuple(OutputChange(**output) for output in data["outputs"])
        return cls(**{**data, "outputs": outputs, "units": (*map(unit_from_json, data["units"]),)})

    def __str__(self) -> str:
        count = sum(unit.int8 for unit in self.units)
        short = f" ({self.skipped} were too short)" * bool(self.skipped)
        lines = [
            f"int8: {count} of {len(self.units)} units with convolutions or dense layers, "
            f"calibrated on {self.steps} steps of {self.clips} clips{short}; the rest is "
            f"{self.precision}",
            f"change of outputs on {self.held_out} other steps, relative rms: "
            f"{'; '.join(map(str, self.outputs))}",
        ]
        kept = [f"  {unit}" for unit in self.units if unit.reason]
        return "\n".join([*lines, *([f"kept in {self.precision}:"] * bool(kept)), *kept])


def unit_from_json(data: dict[str, Any]) -> QuantizedUnit:
    """Return the unit that `dataclasses.asdict` described."""
    return QuantizedUnit(**{**data, "kept": tuple(data["kept"])})
