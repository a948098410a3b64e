"""State dicts of the networks, as the official code, mmaction2 and torchvision name them.

Names, shapes and order are written out from those code bases, not derived from our networks. The
values depend on the seed and the order only, so the same network has the same values everywhere.
"""

from typing import Any

import numpy as np

WIDTH = 0.05
"""Width of our networks that these state dicts fit."""

CLASSES = 5
"""Classes of these networks."""

FEW_RESNET_BLOCKS = (2, 2, 2, 1)
FEW_MOBILENET_STAGES = ((1, 1), (2, 2), (3, 2), (1, 2))
"""Blocks, and blocks and strides, of the networks that the fixture `few_blocks` builds."""

State = dict[str, np.ndarray]


class Layout:
    """Collects the tensors of a network under the names of one code base."""

    def __init__(self, seed: int = 0, mmaction: bool = False) -> None:
        self.state: State = {}
        self.mmaction = mmaction
        self.prefix = "backbone." if mmaction else "module.base_model."
        self._rng = np.random.default_rng(seed)

    def put(self, name: str, *shape: int) -> None:
        self.state[name] = self._rng.uniform(0.5, 1.5, shape).astype("float32")

    def norm(self, name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            self.put(f"{self.prefix}{name}.{part}", channels)
        self.state[f"{self.prefix}{name}.num_batches_tracked"] = np.array(7, "int64")

    def conv(self, name: str, *shape: int) -> None:
        self.put(f"{self.prefix}{name}.weight", *shape)

    def head(self, channels: int) -> State:
        name = "cls_head.fc_cls" if self.mmaction else "module.new_fc"
        self.put(f"{name}.weight", CLASSES, channels)
        self.put(f"{name}.bias", CLASSES)
        return self.state


def resnet_state(
    mmaction: bool = False,
    shift: bool = True,
    non_local: bool = False,
    seed: int = 0,
    inner: tuple[int, ...] = (8, 8, 16, 32),
    groups: int = 1,
    blocks: tuple[int, ...] = (3, 4, 6, 3),
) -> State:
    """ResNet-50 of width 0.05: 8 channels in conv1, and `inner` in the stages."""
    outer = (16, 32, 56, 104)
    layout = Layout(seed, mmaction)
    conv, norm = (".conv", ".bn") if mmaction else ("", "")
    net = ".net" if shift else ""
    layout.conv(f"conv1{conv}", 8, 3, 7, 7)
    layout.norm("conv1.bn" if mmaction else "bn1", 8)
    channels = 8
    for stage, count in enumerate(blocks):
        for block in range(count):
            with_non_local = non_local and stage in (1, 2) and block % 2 == 0
            outside = f"layer{stage + 1}.{block}"
            name = f"{outside}.block" if with_non_local else outside
            shapes = ((inner[stage], channels, 1, 1), (inner[stage], inner[stage] // groups, 3, 3),
                      (outer[stage], inner[stage], 1, 1))  # fmt: skip
            for number, shape in enumerate(shapes, 1):
                layout.conv(f"{name}.conv{number}{conv}{net if number == 1 else ''}", *shape)
                bn = f"{name}.conv{number}{norm}" if mmaction else f"{name}.bn{number}"
                layout.norm(bn, shape[0])
            if block == 0:
                layout.conv(f"{name}.downsample{conv or '.0'}", outer[stage], channels, 1, 1)
                layout.norm(f"{name}.downsample{norm or '.1'}", outer[stage])
            channels = outer[stage]
            if with_non_local:
                _non_local(layout, f"{outside}.{'non_local_block' if mmaction else 'nl'}", channels)
    return layout.head(channels)


def _non_local(layout: Layout, name: str, channels: int) -> None:
    conv = ".conv" if layout.mmaction else ""
    for part in ("g.0", "theta", "phi.0"):
        layout.conv(f"{name}.{part}{conv}", channels // 2, channels, 1, 1, 1)
        layout.put(f"{layout.prefix}{name}.{part}{conv}.bias", channels // 2)
    last = f"{name}.conv_out.conv" if layout.mmaction else f"{name}.W.0"
    layout.conv(last, channels, channels // 2, 1, 1, 1)
    if not layout.mmaction:
        layout.put(f"{layout.prefix}{last}.bias", channels)
    layout.norm(f"{name}.conv_out.bn" if layout.mmaction else f"{name}.W.1", channels)


def mobilenet_state(
    mmaction: bool = False,
    online: bool = False,
    seed: int = 0,
    stages: tuple[tuple[int, int], ...] = ((1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1)),
) -> State:
    """MobileNetV2 of width 0.05: 8 channels in most places, 16 in the last block.

    `stages` are the blocks and the stride of each stage.
    """
    layout = Layout(seed, mmaction)
    if online:
        layout.prefix = ""
    # A shift wraps convolution and batch norm in mmaction2, and only the convolution officially.
    layout.conv("conv1.conv" if mmaction else "features.0.0", 8, 3, 3, 3)
    layout.norm("conv1.bn" if mmaction else "features.0.1", 8)
    number, channels = 0, 8
    for stage, (count, stride) in enumerate(stages, 1):
        outer = 16 if stage == len(stages) else 8
        for block in range(count):
            number += 1
            strided = block == 0 and stride == 2
            shifted = not online and not strided and number > 1 and channels == outer
            inner = 8 if stage == 1 else 6 * channels
            shapes = [(inner, 1, 3, 3), (outer, inner, 1, 1)]
            if stage > 1:
                shapes.insert(0, (inner, channels, 1, 1))
            for index, shape in enumerate(shapes):
                net = ".net" if shifted and index == 0 else ""
                if mmaction:
                    name = f"layer{stage}.{block}.conv.{index}{net}"
                    names = (f"{name}.conv", f"{name}.bn")
                else:
                    name = f"features.{number}.conv."
                    names = (f"{name}{3 * index}{net}", f"{name}{3 * index + 1}")
                layout.conv(names[0], *shape)
                layout.norm(names[1], shape[0])
            channels = outer
    layout.conv("conv2.conv" if mmaction else "features.18.0", 1280, 16, 1, 1)
    layout.norm("conv2.bn" if mmaction else "features.18.1", 1280)
    state = layout.head(1280)
    for part in ("weight", "bias"):
        if online:
            state[f"classifier.{part}"] = state.pop(f"module.new_fc.{part}")
    return state


def torchvision_resnet_state(**options: Any) -> State:
    """The same as `resnet_state`, without shifts and under torchvision's names."""
    state = resnet_state(shift=False, **options)
    return {
        key.removeprefix("module.base_model.").replace("module.new_fc.", "fc."): value
        for key, value in state.items()
    }


def torchvision_mobilenet_state(**options: Any) -> State:
    """The same as `mobilenet_state`, without shifts and under torchvision's names.

    torchvision nests each convolution and its batch norm, except the last of a block.
    """
    first = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}
    others = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
    state = {}
    for key, value in mobilenet_state(online=True, **options).items():
        name = key.replace("classifier.", "classifier.1.")
        if ".conv." in name:
            block, _, inside = name.partition(".conv.")
            part, _, rest = inside.partition(".")
            nested = (first if block == "features.1" else others)[part]
            name = f"{block}.conv.{nested}.{rest}"
        state[name] = value
    return state


def with_small_kernels(state: State) -> State:
    """The state with kernels scaled so that the network's outputs are finite and not zero."""
    return {
        key: value
        if value.ndim < 2
        else ((value - 1) * np.sqrt(24 / value[0].size)).astype("float32")
        for key, value in state.items()
    }
