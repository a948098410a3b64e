"""The networks that are measured: in plain Keras, and under plans."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

import mpvn
from mpvn.data.rendered.figure_video import ACTIONS, FigureVideo
from mpvn.models import PUBLISHED, par_densenet, par_inception, tsm_mobilenet_v2, tsm_resnet50
from mpvn.pixels import to_signed


@dataclasses.dataclass(frozen=True)
class Network:
    """A network to measure.

    Attributes:
        name: its name in the table.
        plain: the frame model in plain Keras: without clocks and shifts, on one frame at a time.
        plans: plans by what they are; those of `plain` itself have its weights.
        torchvision: name of the same network in torchvision, if it is there.
    """

    name: str
    plain: keras.Model
    plans: dict[str, mpvn.Plan]
    torchvision: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames."""
        return self.plain.input_shape[1:3]


def parallel(name: str, build: Callable[..., keras.Model], counts: Any, **options: Any) -> Network:
    """Return a network of *Massively Parallel Video Networks* with clocks, by its own plans.

    Args:
        name: its name in the table.
        build: builds the frame model.
        counts: numbers of subnetworks.
        **options: of `build`.
    """
    plain, model = (build(clocks=clocks, joints=17, **options) for clocks in (False, True))
    plan = functools.partial(PUBLISHED[build.__name__].plan, model)
    plans = {"frame model": mpvn.Plan(plain), "clocks": plan(1)}
    for count in counts:
        for phases in ("aligned", "chain", "flat"):
            plans[f"{count} subnetworks, {phases}"] = plan(count, phases=phases)
    return Network(name, plain, plans)


def online(name: str, build: Callable[..., keras.Model], **options: Any) -> Network:
    """Return an online network of *Temporal Shift Module*; in plain Keras, it has no shifts."""
    plain = build(shift=False, **options)
    shifted = build(temporal_padding="causal", **options)
    return Network(name, plain, {"frame model": mpvn.Plan(shifted)})


def image(name: str, torchvision: str, **options: Any) -> Network:
    """Return a network of `keras.applications`."""
    plain = getattr(keras.applications, name)(weights=None, **options)
    return Network(name, plain, {"frame model": mpvn.Plan(plain)}, torchvision)


def network_family(name: str, small: bool) -> Iterator[Network]:
    """Yield the networks that take turns.

    Args:
        name: `"par_densenet"`, `"par_inception"`, `"mobilenet_v2"` or `"resnet50"`.
        small: whether to build tiny ones.
    """
    keras.utils.set_random_seed(0)
    options = {"input_shape": (32, 32, 3)} if small else {}
    width = {"width": 0.1} if small else {}
    if name == "par_densenet":
        counts = (4,) if small else (4, 14)
        yield parallel("Par-DenseNet", par_densenet, counts, **options, **width)
    elif name == "par_inception":
        yield parallel("Par-Inception", par_inception, (5,), **options, **width)
    elif name == "mobilenet_v2":
        alpha = {"alpha": 0.35} if small else {}
        yield image("MobileNetV2", "mobilenet_v2", **options, **alpha)
        yield online("TSM-MobileNetV2, online", tsm_mobilenet_v2, **options, **width)
    else:
        yield image("ResNet50", "resnet50", **options)
        yield online("TSM-ResNet-50, online", tsm_resnet50, **options, **width)


def rendered_clip(size: tuple[int, int], frames: int) -> np.ndarray:
    """Return a clip of a moving figure, float32 `[frames, H, W, 3]` in -1..1."""
    video = FigureVideo(ACTIONS.index("windmill_clockwise"), size=size, frame_count=frames)
    return to_signed(video.read(range(frames)))
