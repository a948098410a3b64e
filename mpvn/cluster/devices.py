"""The devices of subnetworks: their names, and which ones there are.

    /CPU:0, /GPU:1          of this machine
    /CPU:1, /CPU:2, ...     logical CPUs: places for variables, which share the cores
    /job:worker/task:2      the first GPU of a worker, or its CPU if it has none
    auto                    one for each subnetwork, in order: over the workers of the cluster if it
                            is connected, else the GPUs of this machine, else logical CPUs

TensorFlow puts what belongs on a missing device of this machine on another one, and does not say
so. Hence names are checked here.

With fewer devices than subnetworks, `auto` gives neighbors the same one, because they read each
other.
"""

import contextlib
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

AUTO = "auto"

_MOST_LOGICAL = 64
"""Logical CPUs for `auto`, whose number of subnetworks is not known when TensorFlow starts."""

_WORKER = "worker"

Devices = str | Sequence[str | None] | None
"""Devices as users give them: a list, text with commas, `"auto"`, or None for no placement. A
device may be None, for TensorFlow's choice."""


class DeviceError(ValueError):
    """A device that has no such name, or does not exist."""


def parse_devices(given: Any) -> list[str | None] | None:
    """Return the names that are given; None for no placement, and `["auto"]` for `"auto"`.

    Raises:
        DeviceError: the value is of another kind, or a name is not that of a device.
    """
    if given is None:
        return None
    parts = given.split(",") if isinstance(given, str) else given
    if not isinstance(parts, Sequence) or not all(isinstance(part, str | None) for part in parts):
        raise _invalid(given)
    names: list[str | None] = [part if part is None else part.strip() for part in parts]
    for name in names if names != [AUTO] else ():
        if name is not None and not _is_name(name):
            raise _invalid(name)
    return names


def start_devices(given: Devices) -> None:
    """Create the logical CPUs that are given, unless TensorFlow has started.

    Raises:
        DeviceError: as in `parse_devices`.
    """
    names = parse_devices(given) or []
    if names == [AUTO]:
        count = 1 if tf.config.list_physical_devices("GPU") else _MOST_LOGICAL
    else:
        specs = [tf.DeviceSpec.from_string(name) for name in names if name]
        local = [s.device_index or 0 for s in specs if s.job is None and s.device_type == "CPU"]
        count = 1 + max(local, default=0)
    (cpu,) = tf.config.list_physical_devices("CPU")
    if count > len(tf.config.get_logical_device_configuration(cpu) or [cpu]):
        logical = [tf.config.LogicalDeviceConfiguration()] * count
        with contextlib.suppress(RuntimeError):  # it has started: `resolve_devices` will say so
            tf.config.set_logical_device_configuration(cpu, logical)


def resolve_devices(given: Devices, subnetworks: int) -> list[str | None] | None:
    """Return the device of each subnetwork; None for no placement. Starts TensorFlow.

    Args:
        given: one device for each subnetwork; or `"auto"`, which is no placement where there is but
            one device.
        subnetworks: number of subnetworks.

    Raises:
        DeviceError: as in `parse_devices`; or a device does not exist, or their number is not that
            of the subnetworks.
    """
    start_devices(given)
    names = parse_devices(given)
    if names is None:
        return None
    if names == [AUTO]:
        return _spread(_best_devices(), subnetworks)
    if len(names) != subnetworks:
        raise DeviceError(
            f"Devices: expected one for each of the {subnetworks} subnetworks, or auto. Received: "
            f"{', '.join(map(str, names))}."
        )
    check_devices(names)
    return [name and _completed(name) for name in names]


def present_devices(given: Devices, subnetworks: int) -> list[str | None] | None:
    """Return the device of each subnetwork, or None if one of them does not exist.

    For what must run anywhere: values do not depend on devices.

    Args:
        given, subnetworks: as in `resolve_devices`.

    Warns:
        RuntimeWarning: a device does not exist.
    """
    names = parse_devices(given)
    lost = [] if names in (None, [AUTO]) else missing_devices(names or [])
    if lost:
        warnings.warn(
            f"This machine has no {', '.join(lost)}, so nothing is placed: all subnetworks run "
            f"where TensorFlow puts them, with the same values. There are: {_existing()}.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return resolve_devices(given, subnetworks)


def missing_devices(devices: Iterable[str | None]) -> list[str]:
    """Return the devices that do not exist, each once. Starts TensorFlow."""
    known = _all_devices()
    named = dict.fromkeys(device for device in devices if device)
    return [name for name in named if not any(_fits(name, device) for device in known)]


def is_on(name: str | None, device: str) -> bool:
    """Return whether the `device` of a variable or a tensor is the one that `name` means."""
    return name is None or _fits(name, _here().make_merged_spec(tf.DeviceSpec.from_string(device)))


def check_devices(devices: Iterable[str | None]) -> None:
    """Raise DeviceError if a device does not exist. Starts TensorFlow."""
    lost = missing_devices(devices)
    if not lost:
        return
    specs = [tf.DeviceSpec.from_string(name) for name in lost]
    if any(spec.job for spec in specs):
        remedy = "Connect the cluster of the worker first."
    elif any(spec.device_type == "CPU" for spec in specs):
        remedy = (
            "Logical CPUs must be created before TensorFlow starts: call "
            "mpvn.cluster.devices.start_devices at the beginning of the program."
        )
    else:
        remedy = "Name those that there are, or use auto."
    raise DeviceError(
        f"There is no device {', '.join(lost)}. Expected one of {_existing()}. Received: "
        f"{lost[0]!r}. {remedy}"
    )


def _best_devices() -> list[str]:
    """Return the devices that `auto` spreads subnetworks over."""
    known = _all_devices()
    local = [spec for spec in known if _is_local(spec)]
    workers = [spec for spec in known if spec.job == _WORKER]
    if not workers or local[0].job == _WORKER:  # of equal workers, each places on its own devices
        return [_name(spec) for spec in _gpus(local) or local]
    by_task: dict[int, list[tf.DeviceSpec]] = {}
    for spec in workers:
        by_task.setdefault(spec.task or 0, []).append(spec)
    tasks = [by_task[task] for task in sorted(by_task)]
    return [_name(spec) for of_task in tasks for spec in _gpus(of_task) or of_task[:1]]


def _spread(devices: list[str], subnetworks: int) -> list[str | None] | None:
    """Return the device of each subnetwork, in order; neighbors share one where there are few."""
    if len(devices) < 2:
        return None
    count = min(len(devices), subnetworks)
    return [devices[part * count // subnetworks] for part in range(subnetworks)]


def _all_devices() -> list[tf.DeviceSpec]:
    """Return the CPUs and GPUs of this machine and of the connected workers."""
    specs = [tf.DeviceSpec.from_string(each.name) for each in tf.config.list_logical_devices()]
    return [_here().make_merged_spec(s) for s in specs if s.device_type in ("CPU", "GPU")]


def _here() -> tf.DeviceSpec:
    """Return the job and task of this process, which names of its devices may omit."""
    with tf.init_scope(), tf.device("/CPU:0"):
        own = tf.DeviceSpec.from_string(tf.constant(0.0).device)
    return own.replace(device_type=None, device_index=None)


def _is_local(spec: tf.DeviceSpec) -> bool:
    """Return whether a device belongs to this process."""
    here = _here()
    return (spec.job, spec.task) == (here.job, here.task)


def _gpus(specs: list[tf.DeviceSpec]) -> list[tf.DeviceSpec]:
    return [spec for spec in specs if spec.device_type == "GPU"]


def _fits(name: str, device: tf.DeviceSpec) -> bool:
    """Return whether `name`, which may leave parts open, is one of `device`."""
    spec = tf.DeviceSpec.from_string(name)
    if spec.job is None and not _is_local(device):
        return False
    parts = ("job", "replica", "task", "device_type", "device_index")
    return all(getattr(spec, part) in (None, getattr(device, part)) for part in parts)


def _completed(name: str) -> str:
    """Return the name of a worker with its first GPU, or else its CPU; other names as they are."""
    if tf.DeviceSpec.from_string(name).device_type is not None:
        return name
    found = [spec for spec in _all_devices() if _fits(name, spec)]
    return _name((_gpus(found) or found)[0])


def _name(spec: tf.DeviceSpec) -> str:
    """Return the short name of a device: without its job if that is this process."""
    if _is_local(spec):
        return f"/{spec.device_type}:{spec.device_index}"
    return f"/job:{spec.job}/task:{spec.task}/device:{spec.device_type}:{spec.device_index}"


def _existing() -> str:
    """Return the devices that there are as text."""
    names = [_name(spec) for spec in _all_devices()]
    return ", ".join(names if len(names) < 9 else [*names[:4], "...", names[-1]])


def _is_name(name: str) -> bool:
    try:
        spec = tf.DeviceSpec.from_string(name)
    except ValueError:
        return False
    return spec.device_type in ("CPU", "GPU") or (spec.device_type is None and spec.job is not None)


def _invalid(received: Any) -> DeviceError:
    return DeviceError(
        "Invalid devices. Expected names such as /CPU:0, /GPU:1 and /job:worker/task:0, one for "
        f"each subnetwork, or auto. Received: {received!r}."
    )
