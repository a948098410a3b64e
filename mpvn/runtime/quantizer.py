"""Quantizes units one by one, each on what it reads in the stream.

error of the unit in int8 <= bound?          the unit is in int8
with one half of its layers kept?            the other half is; look for fewer layers to keep
otherwise                                    the unit stays in higher precision
"""

import dataclasses
import json
import math
import pathlib
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import tqdm

from mpvn.runtime.cache import content_key, read_cached, write_cached
from mpvn.runtime.freeze import Frozen
from mpvn.runtime.nncf_models import nncf_version, quantize, run, weighted_operations, weights_of
from mpvn.runtime.openvino_models import CONVERSION, import_openvino, openvino_core
from mpvn.runtime.quantization import QuantizedUnit, unit_from_json
from mpvn.runtime.samples import Sample, progress
from mpvn.runtime.shifts import fold_shifts
from mpvn.runtime.unit import Unit

_RECIPE = 2
"""Version of how units are quantized: part of what names them in the cache."""

Samples = Mapping[Unit, Sequence[Sample]]


class Quantizer:
    """Quantizes the models of units; a `Transform` of `mpvn.runtime.openvino_models`.

    Use it in a `with` block: when that ends, what was sampled is freed.

    Args:
        key: names the network and the clips.
        units: the units that run again and again; others stay as they are.
        max_error: the bound of the relative error of a unit.
        samples: returns what each unit reads; called when first needed.

    Attributes:
        name: names the network, the clips and what is done with them.
    """

    def __init__(
        self, key: str, units: Collection[Unit], max_error: float, samples: Callable[[], Samples]
    ) -> None:
        self.name = content_key([key, nncf_version(), repr((CONVERSION, _RECIPE, max_error))])
        self._units = units
        self._max_error = max_error
        self._samples: Callable[[], Samples] | None = samples
        self._bar: tqdm.tqdm | None = None
        self._reports: dict[Unit, QuantizedUnit | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._samples = None
        if self._bar is not None:
            self._bar.close()

    def key(self, frozen: Frozen) -> str:
        return content_key([self.name, repr((frozen.unit.position, frozen.unit.nodes))])

    def __call__(self, frozen: Frozen, model: Any) -> Any:
        if frozen.unit not in self._units:
            return model
        stored = self._read(frozen)
        if stored is None:
            stored = _Stored.of(*self._quantized(frozen, model))
            write_cached(self._unit_key(frozen), stored.pack())
        self._reports[frozen.unit] = stored.report
        return stored.model() or model

    def reports(
        self, frozen: Mapping[Unit, Frozen], convert: Callable[[Frozen], Any]
    ) -> tuple[QuantizedUnit, ...]:
        """Return what became of the units with convolutions or dense layers.

        Args:
            frozen: the units.
            convert: returns OpenVINO's model of a unit.
        """
        for unit in self._units:
            if unit in self._reports or frozen[unit].function is None:
                continue  # its compiled model was not in the cache; or it computes nothing
            stored = self._read(frozen[unit])
            if stored is None:
                self(frozen[unit], convert(frozen[unit]))
            else:
                self._reports[unit] = stored.report
        found = (self._reports.get(unit) for unit in self._units)
        return tuple(report for report in found if report is not None)

    def _quantized(self, frozen: Frozen, model: Any) -> tuple[QuantizedUnit | None, Any]:
        """Return the report and the model of a unit; None and None if it multiplies nothing."""
        if self._samples is None or not weighted_operations(model):
            return None, None
        sampled = self._samples()[frozen.unit]
        samples = [[sample[place] for place in frozen.entering] for sample in sampled]
        if self._bar is None:
            self._bar = progress(len(self._units), "quantizing", "unit")
        self._bar.update(len(self._reports) - self._bar.n)
        return _Search(frozen.unit, model, samples, self._max_error).result()

    def _read(self, frozen: Frozen) -> "_Stored | None":
        content = read_cached(self._unit_key(frozen))
        return None if content is None else _Stored.unpack(content)

    def _unit_key(self, frozen: Frozen) -> str:
        return content_key(["unit", self.key(frozen), frozen.fingerprint])


class _Search:
    """The search for the layers of a unit that int8 does not harm.

    Args:
        unit: the unit.
        model: its model.
        samples: what it reads.
        max_error: the bound of its error.
    """

    def __init__(
        self, unit: Unit, model: Any, samples: list[list[np.ndarray]], max_error: float
    ) -> None:
        self._unit = unit
        self._model = model.clone()
        fold_shifts(import_openvino(), self._model)
        self._samples = samples
        self._max_error = max_error
        self._expected = run(model, samples)

    def result(self) -> tuple[QuantizedUnit, Any]:
        """Return the report, and the model in int8; None if the unit stays as it is."""
        name, count = self._unit.name, len(self._samples)
        try:
            tried = self._try(())
        except Exception as refusal:  # NNCF has no common class of errors
            reason = f"NNCF cannot quantize it: {' '.join(str(refusal).split())[:200]}"
            return QuantizedUnit(name, False, reason=reason), None
        if tried.error <= self._max_error:
            return QuantizedUnit(name, True, (), tried.error, samples=count), tried.model
        reason = f"its error in int8 is {tried.error:.3g}, above {self._max_error:.3g}"
        best = self._with_fewest_kept()
        if best is None:
            return QuantizedUnit(name, False, (), tried.error, reason, count), None
        return QuantizedUnit(name, True, best.kept, best.error, reason, count), best.model

    def _with_fewest_kept(self) -> "_Tried | None":
        """Return the unit with some neighbors kept; None if a half of its layers is not enough."""
        found, candidates = None, weighted_operations(self._model)
        while len(candidates) > 1:
            middle = len(candidates) // 2
            halves = candidates[:middle], candidates[middle:]
            tried = [self._try(half) for half in halves]
            best = min((0, 1), key=lambda half: tried[half].error)
            if tried[best].error > self._max_error:
                break
            found, candidates = tried[best], halves[best]
        return found

    def _try(self, kept: Sequence[Any]) -> "_Tried":
        """Quantize with some operations kept."""
        model = quantize(self._model, self._samples, [x.get_friendly_name() for x in kept])
        error = relative_error(self._expected, run(model, self._samples))
        return _Tried(error, model, tuple(layer_name(self._unit, x) for x in kept))


class _Tried(NamedTuple):
    """A unit in int8: its error, its model, and the names of the layers that are kept."""

    error: float
    model: Any
    kept: tuple[str, ...]


def relative_error(expected: list[list[np.ndarray]], actual: list[list[np.ndarray]]) -> float:
    """Return the largest relative error (rms) of several results, over all samples.

    Args:
        expected: the results of each sample.
        actual: those to compare.
    """
    errors = [0.0]
    for theirs, ours in zip(zip(*expected, strict=True), zip(*actual, strict=True), strict=True):
        a, b = (np.stack(each).astype(np.float64) for each in (theirs, ours))
        change, size = np.square(a - b).sum(), np.square(a).sum()
        error = math.sqrt(change / size) if size else math.inf if change else 0.0
        errors.append(error if math.isfinite(error) else math.inf)
    return max(errors)


def layer_name(unit: Unit, operation: Any) -> str:
    """Return the name of the layer that has the weights of an operation.

    OpenVINO does not keep names of convolutions, but it keeps their weights.
    """
    weights = weights_of(operation)
    for index in unit.nodes:
        node = unit.plan.graph.nodes[index]
        if any(_same_values(weights, np.asarray(variable)) for variable in node.variables):
            return node.name
    return str(operation.get_friendly_name())


def _same_values(first: np.ndarray | None, second: np.ndarray) -> bool:
    """Return whether arrays have the same values in any order, but for zeros of folded shifts."""
    if first is None:
        return False
    a, b = (np.sort(values[values != 0], axis=None) for values in (first, second))
    return a.size == b.size > 0 and np.allclose(a, b, 1e-5, 1e-7)


class _Stored(NamedTuple):
    """A unit after quantization, as it is kept on disk.

    Attributes:
        report: what became of it; None if there was nothing to quantize.
        graph, weights: its model as OpenVINO writes it; empty if the unit stays as it was.
    """

    report: QuantizedUnit | None
    graph: bytes
    weights: bytes

    @classmethod
    def of(cls, report: QuantizedUnit | None, model: Any) -> "_Stored":
        if model is None:
            return cls(report, b"", b"")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "unit.xml"
            import_openvino().save_model(model, path, compress_to_fp16=False)
            return cls(report, path.read_bytes(), path.with_suffix(".bin").read_bytes())

    def model(self) -> Any:
        """Return the model, or None."""
        return openvino_core().read_model(self.graph, self.weights) if self.graph else None

    def pack(self) -> bytes:
        """Return it as bytes."""
        head = {"report": self.report and dataclasses.asdict(self.report), "graph": len(self.graph)}
        return b"".join([json.dumps(head).encode(), b"\n", self.graph, self.weights])

    @classmethod
    def unpack(cls, content: bytes) -> "_Stored":
        """Return what `pack` made bytes of."""
        line, _, rest = content.partition(b"\n")
        head = json.loads(line)
        report = head["report"] and unit_from_json(head["report"])
        return cls(report, rest[: head["graph"]], rest[head["graph"] :])
