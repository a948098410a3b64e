"""What temporal shifts cost: ways to do them, and shares of the channels.

    python benchmarks/shift/run.py            # everything; about 6 minutes on 2 cores
    python benchmarks/shift/run.py overhead   # one question: alone, networks, overhead
    python benchmarks/shift/run.py --small    # about a minute: shows that it runs

Each question runs in a fresh process with fixed thread counts. What is compared takes turns within
that process, and what it costs is the median, over the turns, of its time over that of the same
turn without shifts. Results go to results/QUESTION.json, tables to README.md between the markers.
"""

import math
import pathlib
import statistics
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from reporting import ask, take_turns  # noqa: E402

FRAMES = 8
"""Of a clip, as in the paper."""

RESNET50_SHIFTS = {
    (56, 64): (64, 1),
    (56, 256): (64, 3),
    (28, 512): (128, 4),
    (14, 1024): (256, 6),
    (7, 2048): (512, 2),
}
"""Side and channels of the maps that are shifted: filters of the next convolution, and how many."""

SHARES = (Fraction(1, 8), Fraction(1, 4), Fraction(1, 2), Fraction(1))
"""Of the channels, that are shifted one way or the other."""

PAPER = {Fraction(1, 8): "3 %", Fraction(1): "13.7 %"}
"""Overhead of ResNet-50 over clips of 8 frames on a CPU, figure 2a of the paper."""

WAYS = {"symmetric": 2, "causal": 1}
MODES = {"symmetric": f"clips of {FRAMES}", "causal": "streams"}

PLAIN = "no shift"
NOTHING_OWN = "as concatenation"

Runners = dict[str, Callable[[], Any]]


# --- questions ------------------------------------------------------------------------------


def alone(small: bool) -> list[dict[str, Any]]:
    """What each way adds to the 1x1 convolution that reads what is shifted, map by map."""
    from variants import VARIANTS

    rows = []
    for padding in WAYS:
        totals = dict.fromkeys(("convolution alone", "a copy", *VARIANTS), 0.0)
        for (side, channels), (filters, count) in RESNET50_SHIFTS.items():
            size = (7, channels // 8, filters // 8) if small else (side, channels, filters)
            runners = shifts_alone(padding, *size)
            steps = 1 if padding == "symmetric" else 5
            seconds = take_turns(runners, steps, rounds=2 if small else 25)
            cost = {way: 1000 * statistics.median(s) / steps for way, s in seconds.items()}
            for way in VARIANTS.keys() & cost:
                cost[way] -= cost["convolution alone"]
            for way in totals:
                totals[way] += count * cost.get(way, math.nan)
            rows.append(row_of_costs(padding, f"{count} of {side}x{side}x{channels}", cost))
        rows.append(row_of_costs(padding, "all of ResNet-50", totals))
    return rows


def networks(small: bool) -> list[dict[str, Any]]:
    """What each way adds to the time of whole networks, at the share that the paper chose."""
    from networks import NETWORKS

    costs = {}
    for network in ["MobileNetV2"] if small else NETWORKS:
        base, frames = network_and_clip(network, small)
        for padding, mode in MODES.items():
            over_clips = padding == "symmetric"
            make = clips_by_variant if over_clips else streams_by_variant
            steps = 1 if over_clips else FRAMES
            seconds = take_turns(make(base, frames), steps, rounds=1 if small else 9)
            costs[f"{network}, {mode}"] = seconds
    ways = next(iter(costs.values()))
    return [
        {"way": way, **{column: cost_cell(seconds, way) for column, seconds in costs.items()}}
        for way in ways
    ]


def overhead(small: bool) -> list[dict[str, Any]]:
    """What the layer adds to the time of whole networks, for shares of the channels."""
    from networks import NETWORKS

    rows = []
    for network in ["MobileNetV2"] if small else NETWORKS:
        base, frames = network_and_clip(network, small)
        for padding, mode in MODES.items():
            over_clips = padding == "symmetric"
            steps = 1 if over_clips else FRAMES
            runners = by_share(base, frames, padding)
            seconds = take_turns(runners, steps, rounds=1 if small else 15)
            for share in (None, *SHARES):
                way = str(share) if share else PLAIN
                each_way = share / WAYS[padding] if share else None
                compared = network == "ResNet-50" and over_clips
                rows.append(
                    {
                        "network": network,
                        "mode": mode,
                        "channels shifted": way,
                        "each way": str(each_way or ""),
                        "divisor": each_way.denominator if each_way else "",
                        "ms a frame": f"{1000 * statistics.median(seconds[way]) / FRAMES:.2f}",
                        "overhead": percent(seconds, way) if share else "",
                        "paper": PAPER.get(share, "") if compared else "",
                    }
                )
    return rows


QUESTIONS = {"alone": alone, "networks": networks, "overhead": overhead}


# --- what is timed --------------------------------------------------------------------------


def shifts_alone(padding: str, side: int, channels: int, filters: int) -> Runners:
    """A convolution, a copy of the map, and the convolution after each way to shift."""
    import tensorflow as tf
    from variants import VARIANTS, convolved

    clip = tf.random.stateless_normal((1, FRAMES, side, side, channels), seed=(0, 0))
    kernel = tf.random.stateless_normal((channels, filters), seed=(0, 1))
    fold = channels // 8
    if padding == "symmetric":
        inputs: tuple = (clip,)
    else:
        inputs = clip[:, 0, ..., :fold], clip[:, 1]

    def by(variant):
        def run(*inputs):
            shift = (lambda x, *k: variant.clip(x, fold, *k)) if len(inputs) == 1 else variant.frame
            return shift(*inputs, kernel) if variant.fused else convolved(shift(*inputs), kernel)

        return run

    functions = {
        "convolution alone": lambda *inputs: convolved(inputs[-1], kernel),
        "a copy": lambda *inputs: tf.nn.relu(inputs[-1]),
        **{way: by(variant) for way, variant in VARIANTS.items()},
    }
    if padding == "causal":
        functions = {w: f for w, f in functions.items() if w not in VARIANTS or VARIANTS[w].frame}
    traced = {
        way: tf.function(function, autograph=False).get_concrete_function(*inputs)
        for way, function in functions.items()
    }
    return {way: lambda f=function: f(*inputs) for way, function in traced.items()}


def network_and_clip(name: str, small: bool) -> tuple[Any, Any]:
    """A TSM network, and frames `[T, H, W, 3]`."""
    import keras
    import numpy as np
    from networks import NETWORKS

    keras.utils.set_random_seed(0)
    size, width = (32, 0.5) if small else (224, 1.0)
    base = NETWORKS[name]((size, size, 3), width=width)
    frames = np.random.default_rng(0).normal(size=(FRAMES, size, size, 3)).astype("float32")
    return base, frames


def clips_by_variant(base: Any, frames: Any) -> Runners:
    """The network over a clip whose time is in the batch, without shifts and with each way."""
    import tensorflow as tf
    from networks import VariantShift, with_shifts
    from variants import VARIANTS

    models = {PLAIN: with_shifts(base, lambda *_: None, FRAMES)}
    for way, variant in VARIANTS.items():
        replace = lambda name, reader, v=variant: VariantShift(v, reader, "symmetric", 8, name)  # noqa: E731
        models[way] = with_shifts(base, replace, FRAMES, variant.fused)
    inputs = tf.constant(frames)
    traced = {way: tf.function(model, autograph=False) for way, model in models.items()}
    return {way: lambda f=function: f(inputs).numpy() for way, function in traced.items()}


def streams_by_variant(base: Any, frames: Any) -> Runners:
    """The network frame by frame, without shifts and with each way."""
    from networks import VariantShift, with_shifts
    from variants import VARIANTS

    runners = {PLAIN: streaming(with_shifts(base, lambda *_: None), frames)}
    for way, variant in VARIANTS.items():
        if variant.frame is None:
            continue
        replace = lambda name, reader, v=variant: VariantShift(v, reader, "causal", 8, name)  # noqa: E731
        runners[way] = streaming(with_shifts(base, replace, fused=variant.fused), frames)
    return runners


def by_share(base: Any, frames: Any, padding: str) -> Runners:
    """The network as users run it, without shifts and with the layer, for each share."""
    from networks import with_shifts

    from keras_layers.temporal_shift import TemporalShift

    run = over_clips if padding == "symmetric" else streaming
    runners = {PLAIN: run(with_shifts(base, lambda *_: None), frames)}
    for share in SHARES:
        divisor = (WAYS[padding] / share).numerator
        shift = lambda name, _, d=divisor: TemporalShift(padding, d, name=name)  # noqa: E731
        runners[str(share)] = run(with_shifts(base, shift), frames)
    return runners


def over_clips(model: Any, frames: Any) -> Callable[[], Any]:
    """One clip per call."""
    import tensorflow as tf

    import mpvn

    network = mpvn.VideoNetwork(model, executor="layerwise")
    traced, clip = tf.function(network, autograph=False), tf.constant(frames[None])
    return lambda: traced(clip).numpy()


def streaming(model: Any, frames: Any) -> Callable[[], Any]:
    """One warmed-up step per call."""
    import mpvn
    from mpvn.streaming import Stream

    stream = Stream(mpvn.VideoNetwork(model))
    return lambda: stream.step(frames[0])


# --- tables ---------------------------------------------------------------------------------


def row_of_costs(padding: str, where: str, milliseconds: dict[str, float]) -> dict[str, Any]:
    from variants import VARIANTS

    row = {"mode": MODES[padding], "shifts": where}
    for way in ("convolution alone", "a copy", *VARIANTS):
        cost = milliseconds.get(way, math.nan)
        row[f"{way}, ms"] = NOTHING_OWN if math.isnan(cost) else f"{cost:.2f}"
    return row


def cost_cell(seconds: dict[str, list[float]], way: str) -> str:
    """Milliseconds a frame without shifts, what a way adds with them."""
    if way not in seconds:
        return NOTHING_OWN
    if way == PLAIN:
        return f"{1000 * statistics.median(seconds[way]) / FRAMES:.2f} ms a frame"
    return percent(seconds, way)


def percent(seconds: dict[str, list[float]], way: str) -> str:
    """What `way` adds: the median over the turns of its time over that without shifts."""
    plain = seconds[PLAIN]
    ratios = [own / base for own, base in zip(seconds[way], plain, strict=True)]
    return f"{100 * (statistics.median(ratios) - 1):.1f} %"


if __name__ == "__main__":
    ask(__file__, __doc__, QUESTIONS)
