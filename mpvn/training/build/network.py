"""The network with its plan and its head, not compiled."""

import warnings
from collections.abc import Sequence

import keras
from ml_collections import ConfigDict

from mpvn.cluster.devices import present_devices, resolve_devices
from mpvn.models.loading import LoadedModel
from mpvn.network import VideoNetwork
from mpvn.plan import Plan
from mpvn.plan.assignment import BRANCHES
from mpvn.plan.units import UNIT_SEPARATOR
from mpvn.training.build.batch_norm import set_batch_norm
from mpvn.training.options import unknown


def build_network(config: ConfigDict, loaded: LoadedModel, to_train: bool = False) -> VideoNetwork:
    """Return the network.

    Args:
        config: the config.
        loaded: its frame model; see `build_frame_model`.
        to_train: whether its devices must exist. Else it is not placed where one is missing.

    Raises:
        ValueError: there is no such unit, plan, or device.

    Warns:
        RuntimeWarning: a device does not exist, and is not needed.
    """
    frame_model = loaded.model
    _freeze(frame_model, config.model.frozen)
    plan = plan_of(config, loaded)
    given = config.plan.devices
    given = given if given is not None or not any(plan.devices) else plan.devices
    place = resolve_devices if to_train else present_devices
    network = VideoNetwork(
        frame_model,
        plan.with_devices(place(given, plan.subnetworks)),
        executor=config.training.executor,
        rematerialize=config.training.rematerialize,
        start=config.model.start,
    )
    set_batch_norm(network, config)
    return network


def plan_of(config: ConfigDict, loaded: LoadedModel) -> Plan:
    """Return the plan that a config describes, with no other devices than those of its file.

    Raises:
        PlanError: the model cannot have it.
    """
    plan = {**config.plan, "devices": None}
    if decides_subnetworks(config.plan):
        plan["subnetworks"] = None
    return loaded.make_plan(plan)


def decides_subnetworks(plan: ConfigDict) -> bool:
    """Return whether the way to divide the network decides the number of subnetworks.

    Args:
        plan: `config.plan`.
    """
    own = plan.file or plan.assignment or plan.partition == BRANCHES
    return plan.subnetworks == 1 and bool(own)


def warn_of_short_clips(network: VideoNetwork, frames: int) -> None:
    """Warn of nodes that read zeros to the end of a training clip.

    Slow clocks let values wait: with aligned phases, up to a full period at each boundary. And a
    node that pools two frames must tick twice to read none of the zeros before the start. If clips
    end before, it learns from zeros, and gives anything later in a stream.

    Args:
        network: the network to train.
        frames: frames of a clip.

    Warns:
        RuntimeWarning: there are such nodes.
    """
    plan = network.plan
    steps = dict(zip(plan.nodes, plan.first_full_steps, strict=True))
    late = [node for node, step in steps.items() if step >= frames]
    if late and network.start == "zeros":
        warnings.warn(
            f"Training clips have {frames} frames, and it takes {max(steps.values()) + 1} until "
            f"all nodes read values made of frames. Received: {len(late)} nodes, {late[0]!r} "
            "first, that learn from the zeros before the start, so streams and longer videos will "
            "show them something new. Use longer clips (config.clip.frames), "
            "config.plan.phases=chain, or config.model.start=primed.",
            RuntimeWarning,
            stacklevel=3,
        )


def _freeze(model: keras.Model, names: Sequence[str]) -> None:
    """Exclude units, or single layers, of `model` from training."""
    layers: dict[str, list[keras.layers.Layer]] = {}
    for layer in model.layers:
        for name in {layer.name, layer.name.partition(UNIT_SEPARATOR)[0]}:
            layers.setdefault(name, []).append(layer)
    for name in names:
        if name not in layers:
            units = dict.fromkeys(layer.partition(UNIT_SEPARATOR)[0] for layer in layers)
            context = f"config.model.frozen: {model.name} has no unit or layer {name!r}"
            raise unknown(context, name, units)
        for layer in layers[name]:
            layer.trainable = False
