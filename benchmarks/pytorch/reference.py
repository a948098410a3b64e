"""TSM in plain PyTorch, and checkpoints as the code bases write them. Needs PyTorch alone.

    python benchmarks/pytorch/reference.py FOLDER [SIZE]

It is written from the paper and the published code, and shares nothing with this package. Weights
are random; so are the statistics of batch norm. For each checkpoint, `FOLDER/NAME.npz` has frames
uint8 `[T, H, W, 3]` and the logits `[T, classes]` that PyTorch computes.
"""

import argparse
import collections
import pathlib
import sys
import types

import numpy as np
import torch
from torch import nn

FRAMES = 8
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Shift(nn.Module):
    """Moves an eighth of the channels back in time, another forth, and applies `net`."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [T, C, H, W]
        fold, out = x.shape[1] // 8, torch.zeros_like(x)
        out[:-1, :fold] = x[1:, :fold]
        out[1:, fold : 2 * fold] = x[:-1, fold : 2 * fold]
        out[:, 2 * fold :] = x[:, 2 * fold :]
        return self.net(out)


class ConvModule(nn.Module):
    """A convolution and a batch norm, as mmcv names them."""

    def __init__(self, conv: nn.Module, channels: int) -> None:
        super().__init__()
        self.conv, self.bn = conv, nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(x))


def conv(inner: int, outer: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inner, outer, size, stride, size // 2, bias=False)


class Bottleneck(nn.Module):
    """The residual block of a ResNet, under the names of torchvision or of mmcv."""

    def __init__(self, inner: int, channels: int, stride: int, first: bool, mmcv: bool) -> None:
        super().__init__()
        outer = 4 * channels
        convs = (Shift(conv(inner, channels, 1)), conv(channels, channels, 3, stride))
        for number, each in enumerate((*convs, conv(channels, outer, 1)), 1):
            norm = outer if number == 3 else channels
            setattr(self, f"conv{number}", ConvModule(each, norm) if mmcv else each)
            if not mmcv:
                setattr(self, f"bn{number}", nn.BatchNorm2d(norm))
        self.downsample = None
        if first:
            parts = conv(inner, outer, 1, stride)
            plain = nn.Sequential(parts, nn.BatchNorm2d(outer))
            self.downsample = ConvModule(parts, outer) if mmcv else plain
        self.mmcv = mmcv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for number in (1, 2, 3):
            y = getattr(self, f"conv{number}")(y)
            y = y if self.mmcv else getattr(self, f"bn{number}")(y)
            y = y if number == 3 else y.relu()
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet50(nn.Module):
    """ResNet-50 with a shift in each block, up to the pooled features `[T, 2048]`."""

    def __init__(self, mmcv: bool = False) -> None:
        super().__init__()
        first = conv(3, 64, 7, 2)
        self.conv1 = ConvModule(first, 64) if mmcv else first
        self.bn1 = nn.Identity() if mmcv else nn.BatchNorm2d(64)
        inner = 64
        for stage, count in enumerate((3, 4, 6, 3), 1):
            blocks, channels = [], 32 * 2**stage
            for index in range(count):
                stride = 2 if index == 0 and stage > 1 else 1
                blocks.append(Bottleneck(inner, channels, stride, index == 0, mmcv))
                inner = 4 * channels
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        for stage in (1, 2, 3, 4):
            x = getattr(self, f"layer{stage}")(x)
        return x.mean((2, 3))


class OfficialTSM(nn.Module):
    """The names of the authors' code."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.base_model, self.new_fc = ResNet50(), nn.Linear(2048, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.new_fc(self.base_model(x))


class MMActionTSM(nn.Module):
    """The names of mmaction2."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = ResNet50(mmcv=True)
        self.cls_head = nn.Module()
        self.cls_head.fc_cls = nn.Linear(2048, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cls_head.fc_cls(self.backbone(x))


class OnlineBlock(nn.Module):
    """An inverted residual; with an identity path, an eighth of its input is of the last frame."""

    def __init__(self, inner: int, outer: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inner * expansion
        depthwise = nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False)
        layers = [depthwise, nn.BatchNorm2d(hidden), nn.ReLU6()]
        layers += [conv(hidden, outer, 1), nn.BatchNorm2d(outer)]
        if expansion > 1:
            layers = [conv(inner, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU6(), *layers]
        self.conv = nn.Sequential(*layers)
        self.identity = stride == 1 and inner == outer
        self.memory: torch.Tensor | float = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # one frame [1, C, H, W]
        if not self.identity:
            return self.conv(x)
        fold, y = x.shape[1] // 8, x.clone()
        y[:, :fold], self.memory = self.memory, x[:, :fold]
        return x + self.conv(y)


class OnlineMobileNetV2(nn.Module):
    """The network of the authors' gesture demonstration, frame by frame."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        parts = [nn.Sequential(conv(3, 32, 3, 2), nn.BatchNorm2d(32), nn.ReLU6())]
        inner = 32
        for expansion, outer, count, stride in (
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ):
            for index in range(count):
                parts.append(OnlineBlock(inner, outer, stride if index == 0 else 1, expansion))
                inner = outer
        parts.append(nn.Sequential(conv(inner, 1280, 1), nn.BatchNorm2d(1280), nn.ReLU6()))
        self.features, self.classifier = nn.Sequential(*parts), nn.Linear(1280, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames = [self.classifier(self.features(frame[None]).mean((2, 3))) for frame in x]
        return torch.cat(frames)


def randomize(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            for values in (module.running_var, module.weight):
                nn.init.uniform_(values, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return network.eval()


def normalized(frames: np.ndarray) -> torch.Tensor:
    pixels = (frames / 255.0 - np.array(MEAN)) / np.array(DEVIATION)
    return torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32)


def training_state(network: nn.Module, steps: int = 2) -> torch.optim.Optimizer:
    """Train the classifier a little, so that the optimizer has a state."""
    (*_, last) = (each for each in network.modules() if isinstance(each, nn.Linear))
    optimizer = torch.optim.SGD(last.parameters(), 0.1, momentum=0.9)
    for _ in range(steps):
        logits = last(torch.randn(4, last.in_features))
        nn.functional.cross_entropy(logits, torch.arange(4) % last.out_features).backward()
        optimizer.step()
    return optimizer


def history_buffer() -> object:
    """Return an object of a class of mmengine, which is not installed."""
    module = types.ModuleType("mmengine.logging.history_buffer")
    module.HistoryBuffer = type("HistoryBuffer", (), {"__module__": module.__name__})
    for name in ("mmengine", "mmengine.logging"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules[module.__name__] = module
    buffer = module.HistoryBuffer()
    buffer._log_history, buffer._count_history = np.array([1.5, 1.2]), np.array([1, 1])
    return buffer


def official(classes: int) -> tuple[nn.Module, dict]:
    network = randomize(OfficialTSM(classes))
    optimizer = training_state(network)
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    run = {"epoch": 50, "arch": "resnet50", "best_prec1": np.float64(71.2)}
    return network, {**run, "state_dict": state, "optimizer": optimizer.state_dict()}


def mmaction(classes: int) -> tuple[nn.Module, dict]:
    network = randomize(MMActionTSM(classes))
    optimizer = training_state(network)
    names = [f"class {number}" for number in range(classes)]
    saved = {
        "meta": {"epoch": 50, "dataset_meta": {"classes": names}},
        "state_dict": network.state_dict(),
        "message_hub": {"log_scalars": {"train/loss": history_buffer()}},
        "optimizer": optimizer.state_dict(),
        "param_schedulers": [{"milestones": collections.Counter([20, 40])}],
    }
    return network, saved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("size", type=int, nargs="?", default=224)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    online = randomize(OnlineMobileNetV2(27))
    cases = {
        "official": (*official(400), False),
        "official_before_1.6": (*official(174), True),
        "finetuned": (*official(5), False),  # a head of its own
        "online": (online, online.state_dict(), False),
        "mmaction2": (*mmaction(400), False),
    }
    arguments.folder.mkdir(parents=True, exist_ok=True)
    shape = (FRAMES, arguments.size, arguments.size, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for name, (network, saved, legacy) in cases.items():
        path = arguments.folder / f"{name}.pth"
        torch.save(saved, path, _use_new_zipfile_serialization=not legacy)
        with torch.no_grad():
            logits = network(normalized(frames)).numpy()
        np.savez(path.with_suffix(".npz"), frames=frames, logits=logits, torch=torch.__version__)


if __name__ == "__main__":
    main()
