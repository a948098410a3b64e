"""Writes what TensorFlow Serving needs beside exported SavedModels.

    ROOT/
      models.config                          the models, by name
      batching.config                        threads for batches, if any model is batched
      NAME/VERSION/
        saved_model.pb, ...                  from `network.export(ROOT/NAME/VERSION)`
        batching_params.pbtxt                how requests to this model are batched
        assets.extra/tf_serving_warmup_requests

Requests are batched where the state goes in and out. Models that keep the state themselves are not:
one bad request, or two frames of one stream, would fail the whole batch, and the server fills a
batch up by repeating a row, which would be the same stream twice. They take many streams in one
request. Models that take frames of any size are not batched either: frames of two sizes cannot be
joined, and all requests of their batch would fail.
"""

import dataclasses
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format

from mpvn.export.description import EXTRA, is_described, read_description
from mpvn.files import AtomicPath
from mpvn.serving.model_signature import STREAM_ID
from mpvn.serving.tf_serving_warm_up import NAME as WARM_UP
from mpvn.serving.tf_serving_warm_up import warm_up_records

try:
    from tensorflow_serving.config import model_server_config_pb2
except ImportError as error:
    raise ImportError(
        "The files of TensorFlow Serving need the package tensorflow-serving-api. Expected it to "
        f"be installed. Received: {error}. Install mpvn[grpc]."
    ) from error

MODELS = "models.config"
BATCHING = "batching.config"
MODEL_BATCHING = "batching_params.pbtxt"
"""TensorFlow Serving looks for this name in the folder of a version."""

MOUNTED = "/models"
"""Where the container has the folder."""

_WAITING_BATCHES = 8
"""Full batches that may wait. Later requests are refused at once, so that no stream gets late."""


@dataclasses.dataclass(frozen=True)
class Served:
    """One version of a model.

    Attributes:
        name: name on the server.
        version: its number.
        form: where the states are; None for a SavedModel of others.
        bytes_per_stream: of the state.
        batches: sizes of the batches that the server forms.
        records: number of warm-up records.
    """

    name: str
    version: int
    form: str | None = None
    bytes_per_stream: int = 0
    batches: tuple[int, ...] = ()
    records: int = 0


def write_tf_serving(
    root: str | os.PathLike[str], batch: int = 32, wait_ms: float = 2.0
) -> list[Served]:
    """Write what TensorFlow Serving needs to serve the SavedModels in a folder.

    Files from before are replaced, so it can be called again after each export.

    Args:
        root: the folder; the models are in `root/NAME/VERSION`.
        batch: the most requests of different streams that are computed at once.
        wait_ms: how long a request waits for others, in milliseconds.

    Returns:
        What is served, by name and version.

    Raises:
        ValueError: there are no models, one is at another place, or an argument is invalid.
        WriteError: a file cannot be written.
    """
    if batch < 1 or wait_ms < 0:
        raise ValueError(
            "Invalid batching. Expected a batch of at least 1 and a wait of at least 0 ms. "
            f"Received: {batch} and {wait_ms}."
        )
    root = Path(root)
    versions = sorted(_versions(root), key=lambda path: (path.parent.name, int(path.name)))
    served = [_write_version(path, batch, wait_ms) for path in versions]
    _write(root / MODELS, _models_config({each.name for each in served}))
    if any(each.batches for each in served):
        _write(root / BATCHING, 'thread_pool_name { value: "batches" }\n')
    else:
        (root / BATCHING).unlink(missing_ok=True)
    return served


def docker_command(root: str | os.PathLike[str], image: str = "tensorflow/serving") -> list[str]:
    """Return the command that serves a folder, on this machine alone.

    Args:
        root: a folder that `write_tf_serving` has written to.
        image: the image, with or without a tag. Its version should not be below that of the
            TensorFlow that wrote the models.
    """
    ports = [word for port in (8500, 8501) for word in ("-p", f"127.0.0.1:{port}:{port}")]
    command = [
        *("docker", "run", "--rm", *ports),
        *("-v", f"{Path(root).resolve()}:{MOUNTED}:ro", image),
        f"--model_config_file={MOUNTED}/{MODELS}",
    ]
    if (Path(root) / BATCHING).exists():
        command += [
            "--enable_batching",
            f"--batching_parameters_file={MOUNTED}/{BATCHING}",
            "--enable_per_model_batching_parameters",
        ]
    return command


def as_shell(command: Sequence[str]) -> str:
    """Return a command for a shell, one option a line."""
    words = [shlex.quote(word) for word in command]
    return "".join(f" \\\n  {word}" if word.startswith("-") else f" {word}" for word in words)[1:]


def _versions(root: Path) -> Iterator[Path]:
    """Yield the folders of all versions of models."""
    found = list(root.glob("*/*/saved_model.pb"))
    wrong = [path.parent for path in root.glob("*/saved_model.pb")]
    wrong += [root] if (root / "saved_model.pb").exists() else []
    wrong += [path.parent for path in found if not path.parent.name.isdecimal()]
    if wrong or not found:
        received = f"a SavedModel in {wrong[0]}" if wrong else "none there"
        raise ValueError(
            f"{root}: expected SavedModels in NAME/VERSION, where the version is a whole number, "
            f"such as {root / 'actions' / '1'}. Received: {received}. Export to such a folder, or "
            "move it."
        )
    yield from (path.parent for path in found)


def _write_version(folder: Path, batch: int, wait_ms: float) -> Served:
    name, version = folder.parent.name, int(folder.name)
    if not is_described(folder):
        return Served(name, version)
    description = read_description(folder)
    inputs = description["signatures"][description["default_signature"]]["inputs"]
    sizes = _sizes(batch) if batch > 1 and _can_batch(inputs) else ()
    if sizes:
        _write(folder / MODEL_BATCHING, _batching_config(sizes, wait_ms))
    else:
        (folder / MODEL_BATCHING).unlink(missing_ok=True)
    records = warm_up_records(description, name, sizes)
    _write_records(folder / EXTRA / WARM_UP, records)
    form, size = description["form"], description["bytes_per_stream"]
    return Served(name, version, form, size, sizes, len(records))


def _can_batch(inputs: Mapping[str, Any]) -> bool:
    """Return whether any requests to a step can share a batch."""
    shapes = [each["shape"] for each in inputs.values()]
    has_open_sizes = any(None in shape[1:] for shape in shapes)
    return STREAM_ID not in inputs and not has_open_sizes and shapes[0][0] is None


def _sizes(most: int) -> tuple[int, ...]:
    """Return 1, 2, 4, ... and `most`: other batches are filled up to the next of these sizes."""
    powers = (2**power for power in range(most.bit_length()))
    return tuple(sorted({*powers, most}))


def _models_config(names: set[str]) -> str:
    config = model_server_config_pb2.ModelServerConfig()
    for name in sorted(names):
        config.model_config_list.config.add(
            name=name, base_path=f"{MOUNTED}/{name}", model_platform="tensorflow"
        )
    return text_format.MessageToString(config)


def _batching_config(sizes: Sequence[int], wait_ms: float) -> str:
    """Return `BatchingParameters` as text: the Python package does not have this message."""
    values = {
        "max_batch_size": sizes[-1],
        "batch_timeout_micros": round(1000 * wait_ms),
        "max_enqueued_batches": _WAITING_BATCHES,
    }
    lines = [f"{name} {{ value: {value} }}" for name, value in values.items()]
    lines += [f"allowed_batch_sizes: {size}" for size in sizes]
    return "\n".join(lines) + "\n"


def _write_records(path: Path, records: Sequence[bytes]) -> None:
    with AtomicPath(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
        for record in records:
            writer.write(record)


def _write(path: Path, text: str) -> None:
    with AtomicPath(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
