"""The names of weights: those of checkpoints, and those of our layers, in torchvision's terms.

    mit-han-lab/temporal-shift-module ("official") --+
    mmaction2 ---------------------------------------+--> torchvision <-- layers of mpvn.models.tsm
    torchvision -------------------------------------+

A `.net` in a checkpoint's name marks a module that reads shifted maps. MobileNetV2 is an exception:
each of its blocks is a flat list of convolutions and batch norms, as in the official code.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable

from mpvn.models.mobilenet import STAGES

NO_BIAS = ".nl.W.0.bias"
"""Ending of the weights that mmaction2's non-local blocks lack: the bias before the batch norm."""

_WRAPPERS = re.compile(r"^((module|model|net|network)\.)+(?=.)")
"""Modules around a network: those of DataParallel, Lightning, and others. `torch.compile` adds
`_orig_mod` around any module."""

_COUNTERS = re.compile(r"(^|\.)num_batches_tracked$|^(steps|n_averaged)$")
"""Tensors that count: batches of batch norm, updates of averaged weights."""

_Rule = tuple[str, str | Callable[[re.Match], str]]
"""A pattern and its replacement, as `re.sub` takes them."""


@dataclasses.dataclass(frozen=True)
class CheckpointNames:
    """The tensors of a checkpoint by torchvision's names.

    Attributes:
        layout: `"official"`, `"mmaction2"` or `"torchvision"`.
        keys: The key in the file of each weight, by torchvision's name.
        shifts: The shifted blocks and their placement, such as `"layer1.0 residual"`.
        counters: Keys of tensors that count batches or updates.
        duplicates: A message for each weight that the file has twice.
    """

    layout: str
    keys: dict[str, str]
    shifts: frozenset[str]
    counters: tuple[str, ...]
    duplicates: tuple[str, ...]


def checkpoint_names(keys: Iterable[str]) -> CheckpointNames:
    """Return the names of a checkpoint's tensors, from their keys in the file."""
    inner_of = {key: _WRAPPERS.sub("", key.replace("_orig_mod.", "")) for key in keys}
    counters = tuple(key for key, inner in inner_of.items() if _COUNTERS.search(inner))
    layout, rules = _layout(list(inner_of.values()))
    key_of: dict[str, str] = {}
    shifts: set[str] = set()
    duplicates: list[str] = []
    for key, inner in inner_of.items():
        if key in counters:
            continue
        name = inner.replace(".net.", ".", 1)
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        if name in key_of:
            duplicates.append(f"{key}: the same weight as {key_of[name]}")
        key_of[name] = key
        block = re.match(r"layer\d\.\d+|features\.\d+", name)
        if ".net." in inner and block:
            whole_block = re.search(r"layer\d\.\d+\.net\.", inner)
            shifts.add(f"{block[0]} {'in_place' if whole_block else 'residual'}")
    return CheckpointNames(layout, key_of, frozenset(shifts), counters, tuple(duplicates))


def _layout(keys: list[str]) -> tuple[str, tuple[_Rule, ...]]:
    """The code base that wrote a checkpoint, and the rules for its names."""
    if any(key.startswith("backbone.") for key in keys):
        mobilenet = any(key.startswith("backbone.conv2.") for key in keys)
        return "mmaction2", (*_MMACTION, *(_MMACTION_MOBILENET if mobilenet else _MMACTION_RESNET))
    if any(re.match(r"(fc\.|features\.\d+\.conv\.\d\.\d)", key) for key in keys):
        return "torchvision", (*_OFFICIAL, *_TORCHVISION)
    return "official", _OFFICIAL


def _mmaction_mobilenet_name(match: re.Match) -> str:
    """From stage and block within the stage to the number of the block."""
    stage, block, convolution, kind = match.groups()
    blocks_before = sum(count for _, _, count, _ in STAGES[: int(stage) - 1])
    part = 3 * int(convolution) + (kind == "bn")
    return f"features.{1 + blocks_before + int(block)}.conv.{part}."


def _flat_mobilenet_name(match: re.Match) -> str:
    """torchvision nests all convolutions of a block but the last, and their batch norms."""
    block, part, inner = match.groups()
    last = 1 if block == "1" else 2
    number = 2 * last + int(part) if inner is None else 3 * int(part) + int(inner)
    return f"features.{block}.conv.{number}."


_OFFICIAL: tuple[_Rule, ...] = (
    (r"^base_model\.", ""),
    (r"^(new_fc|classifier(\.1)?)\.", "fc."),
    (r"\.block\.", "."),
    (r"\.nl\.(g|phi)\.0\.", r".nl.\1."),
)
_MMACTION: tuple[_Rule, ...] = (
    (r"^backbone\.", ""),
    (r"^cls_head\.(fc_cls|new_fc)\.", "fc."),
    (r"\.block\.", "."),
    (r"\.non_local_block\.(theta|phi|g)(\.0)?\.conv\.", r".nl.\1."),
    (r"\.non_local_block\.conv_out\.conv\.", ".nl.W.0."),
    (r"\.non_local_block\.conv_out\.bn\.", ".nl.W.1."),
    (r"\.downsample\.conv\.", ".downsample.0."),
    (r"\.downsample\.bn\.", ".downsample.1."),
    (r"^layer(\d)\.(\d+)\.conv\.(\d)\.(conv|bn)\.", _mmaction_mobilenet_name),
)
_MMACTION_RESNET: tuple[_Rule, ...] = (
    (r"\bconv(\d)\.conv\.", r"conv\1."),
    (r"\bconv(\d)\.bn\.", r"bn\1."),
)
_MMACTION_MOBILENET: tuple[_Rule, ...] = (
    (r"^conv1\.conv\.", "features.0.0."),
    (r"^conv1\.bn\.", "features.0.1."),
    (r"^conv2\.conv\.", "features.18.0."),
    (r"^conv2\.bn\.", "features.18.1."),
)
_TORCHVISION: tuple[_Rule, ...] = (
    (r"^features\.(\d+)\.conv\.(\d)\.(?:(\d)\.)?", _flat_mobilenet_name),
)


def module_name(layer: str, mobilenet: bool) -> str:
    """Return torchvision's name of the module that is layer `layer` of `mpvn.models.tsm`.

    Raises:
        ValueError: If the networks of `mpvn.models.tsm` have no such layer.
    """
    if layer == "head.logits":
        return "fc"
    unit, _, part = layer.partition(".")
    norm = int(part.endswith("bn"))
    if mobilenet:
        return _mobilenet_module(unit, part, norm)
    if unit == "stem":
        return "bn1" if norm else "conv1"
    module = block_name(unit, mobilenet)
    if part.startswith("nl"):
        return f"{module}.nl" + ("" if part == "nl" else f".W.{norm}")
    if part.startswith("0"):
        return f"{module}.downsample.{norm}"
    if part[:1] not in ("1", "2", "3"):
        raise ValueError(f"{layer!r} is not a layer of a ResNet")
    return f"{module}.{'bn' if norm else 'conv'}{part[0]}"


def block_name(unit: str, mobilenet: bool) -> str:
    """Return torchvision's name of a residual block, such as `"layer1.0"`.

    Raises:
        ValueError: If `unit` is not a block.
    """
    if mobilenet:
        return f"features.{int(unit.removeprefix('block'))}"
    stage, block = re.findall(r"\d+", unit)
    return f"layer{int(stage) - 1}.{int(block) - 1}"


def _mobilenet_module(unit: str, part: str, norm: int) -> str:
    if unit in ("stem", "last"):
        return f"features.{0 if unit == 'stem' else 18}.{norm}"
    module = block_name(unit, mobilenet=True)
    first = unit == "block1"  # expansion 1: it has no first 1x1 convolution
    convolutions = ("depthwise", "project") if first else ("expand", "depthwise", "project")
    return f"{module}.conv.{3 * convolutions.index(part.partition('_')[0]) + norm}"
