"""The option `--devices`: where the subnetworks of a plan run."""

import argparse
import json
import pathlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpvn.plan import Plan


def add_devices_option(parser: Any) -> None:
    """Add `--devices` to a parser, or to a group of one."""
    parser.add_argument(
        "--devices",
        metavar="A,B,...|auto",
        help="one for each subnetwork, such as /GPU:0,/GPU:1, /CPU:0,/CPU:1 (logical CPUs) or "
        "/job:worker/task:0,/job:worker/task:1; auto: one for each, in order, over the workers of "
        "a connected cluster, else the GPUs, else logical CPUs (default: where TensorFlow puts "
        "them)",
    )


def named_devices(arguments: argparse.Namespace) -> Any:
    """Return the devices that `--devices`, or else the file of `--plan`, names; None for none."""
    if getattr(arguments, "devices", None) is not None:
        return arguments.devices
    try:
        content = json.loads(pathlib.Path(arguments.plan).read_text())
        return [name for name in content["devices"] if isinstance(name, str)] or None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # no file, or no plan: what makes the plan says so


def placed(plan: "Plan", arguments: argparse.Namespace) -> "Plan":
    """Return a plan on its devices: those of `--devices`, or its own.

    Commands that have no `--devices` run anywhere, so they drop devices that do not exist.

    Raises:
        DeviceError: a device does not exist.

    Warns:
        RuntimeWarning: a device does not exist, and is not needed.
    """
    from mpvn.cluster.devices import present_devices, resolve_devices

    given = getattr(arguments, "devices", None)
    if given is None and not any(plan.devices):
        return plan
    resolve = resolve_devices if hasattr(arguments, "devices") else present_devices
    devices = plan.devices if given is None else given
    return plan.with_devices(resolve(devices, plan.subnetworks))


def planned(plan: "Plan", arguments: argparse.Namespace) -> "Plan":
    """Return a plan as `placed` does, but devices need not exist: it may be for another machine."""
    from mpvn.cluster.devices import AUTO, check_devices, parse_devices

    devices = parse_devices(arguments.devices)
    if devices == [AUTO]:
        return placed(plan, arguments)
    plan = plan if devices is None else plan.with_devices(devices)
    try:
        check_devices(plan.devices)
    except ValueError as missing:
        print(f"a plan for another machine: {missing}", file=sys.stderr)
    return plan
