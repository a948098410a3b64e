"""GPipe of PyTorch, of an equal network, for comparison: `torch.distributed.pipelining`.

A process for each stage, one thread each, gloo between them; frames are the micro-batches. With one
process, plain back-propagation on all frames at once. Nothing is computed twice.
"""

import importlib.metadata
import importlib.util
import sys
from typing import Any

from chain import CLASSES, LEARNING_RATE, clip_and_targets
from workers import Worker, answer, free_port

FILTERS, STRIDES = (32, 64, 64, 128, 256), (2, 1, 2, 1, 2)
"""Those of `mpvn.models.simple_cnn`, which would bring TensorFlow into these processes."""

CUT = 3
"""Convolutions in the first of two stages, as the balanced plan of our network has it."""


def torch_version() -> str:
    """Version of PyTorch, if it is installed."""
    there = importlib.util.find_spec("torch") is not None
    return importlib.metadata.version("torch") if there else "not installed"


def torch_worker(stages: int) -> Worker | None:
    """A worker of as many processes as stages; None without PyTorch."""
    if importlib.util.find_spec("torch") is None:
        return None
    port = free_port()
    return Worker([[__file__, str(rank), str(stages), str(port)] for rank in range(stages)])


class Stage:
    """The stage that a process has; its orders are numbers of frames."""

    def __init__(self, rank: int, stages: int, port: int) -> None:
        import torch

        torch.set_num_threads(1)
        torch.set_num_interop_threads(1)
        torch.manual_seed(0)
        self._rank, self._stages = rank, stages
        if stages > 1:
            address = f"tcp://127.0.0.1:{port}"
            torch.distributed.init_process_group("gloo", address, rank=rank, world_size=stages)
        self._updates: dict[int, Any] = {}

    def __call__(self, order: dict[str, Any]) -> float | None:
        key = order["frames"]
        if key not in self._updates:
            self._updates[key] = self._update(**order)
        return self._updates[key]()

    def _update(self, width: float, batch: int, frames: int) -> Any:
        import torch
        from torch.distributed.pipelining import PipelineStage, ScheduleGPipe

        module = layers(width)
        if self._stages > 1:
            module = module[: 2 * CUT] if self._rank == 0 else module[2 * CUT :]
        optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE)
        clip, classes = clip_and_targets(batch, frames)
        # [B, T, H, W, C] -> [T*B, C, H, W]: a micro-batch is a frame of each clip
        images = torch.from_numpy(clip).permute(1, 0, 4, 2, 3).flatten(0, 1).contiguous()
        targets = torch.from_numpy(classes).T.flatten().long()
        loss = torch.nn.functional.cross_entropy
        if self._stages == 1:

            def step() -> float:
                value = loss(module(images), targets)
                value.backward()
                return value.item()

        else:
            stage = PipelineStage(module, self._rank, self._stages, torch.device("cpu"))
            schedule = ScheduleGPipe(stage, n_microbatches=frames, loss_fn=loss)

            def step() -> float | None:
                if self._rank == 0:
                    schedule.step(images)
                    return None
                losses: list[torch.Tensor] = []
                schedule.step(target=targets, losses=losses)
                return sum(one.item() for one in losses) / frames

        def update() -> float | None:
            optimizer.zero_grad()
            value = step()
            optimizer.step()
            return value

        return update


def layers(width: float) -> Any:
    """Simple-CNN, two entries for each convolution and then the classifier."""
    from torch import nn

    made: list[nn.Module] = []
    channels = 3
    for filters, stride in zip(FILTERS, STRIDES, strict=True):
        wide = round(filters * width)
        made += [nn.Conv2d(channels, wide, 3, stride, padding=1), nn.ReLU()]
        channels = wide
    return nn.Sequential(*made, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))


if __name__ == "__main__":
    answer(Stage(*map(int, sys.argv[1:])))
