"""GPipe of an equal network in PyTorch, for comparison: `torch.distributed.pipelining`.

One process per stage, with one thread each and gloo between them; the micro-batches are frames.
With one process it is plain back-propagation on all frames at once. Activations are kept, so no
forward pass is computed twice.
"""

import importlib.metadata
import importlib.util
import sys
from typing import Any

from chain import CLASSES, LEARNING_RATE, clip_and_targets
from workers import Worker, answer_requests, free_port

FILTERS, STRIDES = (32, 64, 64, 128, 256), (2, 1, 2, 1, 2)
"""Those of `mpvn.models.simple_cnn`. Importing it would load TensorFlow into these processes."""

CUT = 3
"""Convolutions in the first of two stages, as in the balanced plan of our network."""


def torch_version() -> str:
    """Return the version of PyTorch, or "not installed"."""
    installed = importlib.util.find_spec("torch") is not None
    return importlib.metadata.version("torch") if installed else "not installed"


def torch_worker(stages: int) -> Worker | None:
    """Return a worker with one process per stage, or None without PyTorch."""
    if importlib.util.find_spec("torch") is None:
        return None
    port = free_port()
    return Worker([[__file__, str(rank), str(stages), str(port)] for rank in range(stages)])


class Stage:
    """The stage of this process. Requests are the sizes of network and clip."""

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

    def __call__(self, request: dict[str, Any]) -> float | None:
        """Run one update; return the loss, or None if this stage does not compute it."""
        frames = request["frames"]
        if frames not in self._updates:
            self._updates[frames] = self._build_update(**request)
        return self._updates[frames]()

    def _build_update(self, width: float, batch: int, frames: int) -> Any:
        import torch
        from torch.distributed.pipelining import PipelineStage, ScheduleGPipe

        module = layers(width)
        if self._stages > 1:
            module = module[: 2 * CUT] if self._rank == 0 else module[2 * CUT :]
        optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE)
        clip, classes = clip_and_targets(batch, frames)
        # [B, T, H, W, C] -> [T*B, C, H, W]: a micro-batch is one frame of each clip.
        images = torch.from_numpy(clip).permute(1, 0, 4, 2, 3).flatten(0, 1).contiguous()
        targets = torch.from_numpy(classes).T.flatten().long()  # [B, T] -> [T*B]
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
                return sum(value.item() for value in losses) / frames

        def update() -> float | None:
            optimizer.zero_grad()
            value = step()
            optimizer.step()
            return value

        return update


def layers(width: float) -> Any:
    """Return Simple-CNN: two modules per convolution, then the classifier."""
    from torch import nn

    modules: list[nn.Module] = []
    inputs = 3
    for filters, stride in zip(FILTERS, STRIDES, strict=True):
        outputs = round(filters * width)
        modules += [nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.ReLU()]
        inputs = outputs
    modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES)]
    return nn.Sequential(*modules)


if __name__ == "__main__":
    answer_requests(Stage(*map(int, sys.argv[1:])))
