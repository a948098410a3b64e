"""Measure what temporal shifts cost: variants of the implementation, and shares of the channels.

    python benchmarks/shift/run.py            # everything; about 6 minutes on 2 cores
    python benchmarks/shift/run.py overhead   # one question: alone, networks, overhead
    python benchmarks/shift/run.py --small    # about a minute: shows that it runs

Each question runs in a fresh process with fixed thread counts. Within it, all candidates take
turns. The cost of a shift is the median, over the turns, of its time relative to the time of the
same turn without shifts. Results go to results/QUESTION.json, tables to README.md.
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
from reporting import Rows, run_questions, take_turns  # noqa: E402

FRAMES = 8
"""Length of a clip, as in the paper."""

RESNET50_SHIFTS = {
    (56, 64): (64, 1),
    (56, 256): (64, 3),
    (28, 512): (128, 4),
    (14, 1024): (256, 6),
    (7, 2048): (512, 2),
}
"""Side and channels of the maps that are shifted: filters of the next convolution, and count."""

SHARES = (Fraction(1, 8), Fraction(1, 4), Fraction(1, 2), Fraction(1))
"""Share of the channels that are shifted, in either direction."""

PAPER = {Fraction(1, 8): "3 %", Fraction(1): "13.7 %"}
"""Overhead of ResNet-50 over clips of 8 frames on a CPU (figure 2a of the paper), by share."""

DIRECTIONS = {"symmetric": 2, "causal": 1}
"""Number of directions in which channels move, by temporal padding."""

MODES = {"symmetric": f"clips of {FRAMES}", "causal": "streams"}

PLAIN = "no shift"
SAME = "as concatenation"
"""Cell of a variant that, in streams, does the same as concatenation."""

Runners = dict[str, Callable[[], Any]]


# --- questions ----------------------------------------------------------------------------------


def alone(small: bool) -> Rows:
    """Time what each variant adds to the 1x1 convolution that reads the map, for each map."""
    from variants import VARIANTS

    rows = []
    for padding in DIRECTIONS:
        totals = dict.fromkeys(("convolution alone", "copy", *VARIANTS), 0.0)
        for (side, channels), (filters, count) in RESNET50_SHIFTS.items():
            size = (7, channels // 8, filters // 8) if small else (side, channels, filters)
            runners = shifts_alone(padding, *size)
            steps = 1 if padding == "symmetric" else 5
            seconds = take_turns(runners, steps, rounds=2 if small else 25)
            cost = {key: 1000 * statistics.median(s) / steps for key, s in seconds.items()}
            for name in VARIANTS.keys() & cost:
                cost[name] -= cost["convolution alone"]
            for key in totals:
                totals[key] += count * cost.get(key, math.nan)
            rows.append(cost_row(padding, f"{count} of {side}x{side}x{channels}", cost))
        rows.append(cost_row(padding, "all of ResNet-50", totals))
    return rows


def networks(small: bool) -> Rows:
    """Time what each variant adds to whole networks, at the share that the paper chose."""
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
    variants = next(iter(costs.values()))
    return [
        {"variant": name, **{column: cost_cell(seconds, name) for column, seconds in costs.items()}}
        for name in variants
    ]


def overhead(small: bool) -> Rows:
    """Time what the layer adds to whole networks, for each share of the channels."""
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
                key = str(share) if share else PLAIN
                each_way = share / DIRECTIONS[padding] if share else None
                compared = network == "ResNet-50" and over_clips
                rows.append(
                    {
                        "network": network,
                        "mode": mode,
                        "channels shifted": key,
                        "each way": str(each_way or ""),
                        "divisor": each_way.denominator if each_way else "",
                        "ms per frame": f"{1000 * statistics.median(seconds[key]) / FRAMES:.2f}",
                        "overhead": percent(seconds, key) if share else "",
                        "paper": PAPER.get(share, "") if compared else "",
                    }
                )
    return rows


QUESTIONS = {"alone": alone, "networks": networks, "overhead": overhead}


# --- what is timed ------------------------------------------------------------------------------


def shifts_alone(padding: str, side: int, channels: int, filters: int) -> Runners:
    """Return a 1x1 convolution, a copy of the map, and the convolution after each variant.

    Args:
        padding: "symmetric" for clips, "causal" for streams.
        side: Height and width of the map.
        channels: Channels of the map.
        filters: Filters of the convolution.
    """
    import tensorflow as tf
    from variants import VARIANTS, convolved

    clip = tf.random.stateless_normal((1, FRAMES, side, side, channels), seed=(0, 0))
    kernel = tf.random.stateless_normal((channels, filters), seed=(0, 1))
    fold = channels // 8
    if padding == "symmetric":
        inputs: tuple = (clip,)
    else:
        inputs = clip[:, 0, ..., :fold], clip[:, 1]  # past, frame

    def shift_and_convolve(variant):
        def run(*inputs):
            shift = (lambda x, *k: variant.clip(x, fold, *k)) if len(inputs) == 1 else variant.frame
            return shift(*inputs, kernel) if variant.fused else convolved(shift(*inputs), kernel)

        return run

    functions = {
        "convolution alone": lambda *inputs: convolved(inputs[-1], kernel),
        "copy": lambda *inputs: tf.nn.relu(inputs[-1]),
        **{name: shift_and_convolve(variant) for name, variant in VARIANTS.items()},
    }
    if padding == "causal":
        functions = {n: f for n, f in functions.items() if n not in VARIANTS or VARIANTS[n].frame}
    traced = {
        name: tf.function(function, autograph=False).get_concrete_function(*inputs)
        for name, function in functions.items()
    }
    return {name: lambda f=function: f(*inputs) for name, function in traced.items()}


def network_and_clip(name: str, small: bool) -> tuple[Any, Any]:
    """Return a TSM network, and a clip `[T, H, W, 3]` for it."""
    import keras
    import numpy as np
    from networks import NETWORKS

    keras.utils.set_random_seed(0)
    size, width = (32, 0.5) if small else (224, 1.0)
    base = NETWORKS[name]((size, size, 3), width=width)
    frames = np.random.default_rng(0).normal(size=(FRAMES, size, size, 3)).astype("float32")
    return base, frames


def clips_by_variant(base: Any, frames: Any) -> Runners:
    """Return the network over a clip, time in the batch, without shifts and with each variant."""
    import tensorflow as tf
    from networks import VariantShift, with_shifts
    from variants import VARIANTS

    models = {PLAIN: with_shifts(base, lambda *_: None, FRAMES)}
    for key, variant in VARIANTS.items():
        replace = lambda name, reader, v=variant: VariantShift(v, reader, "symmetric", 8, name)  # noqa: E731
        models[key] = with_shifts(base, replace, FRAMES, variant.fused)
    inputs = tf.constant(frames)
    traced = {key: tf.function(model, autograph=False) for key, model in models.items()}
    return {key: lambda f=function: f(inputs).numpy() for key, function in traced.items()}


def streams_by_variant(base: Any, frames: Any) -> Runners:
    """Return the network frame by frame, without shifts and with each variant."""
    from networks import VariantShift, with_shifts
    from variants import VARIANTS

    runners = {PLAIN: streaming(with_shifts(base, lambda *_: None), frames)}
    for key, variant in VARIANTS.items():
        if variant.frame is None:
            continue
        replace = lambda name, reader, v=variant: VariantShift(v, reader, "causal", 8, name)  # noqa: E731
        runners[key] = streaming(with_shifts(base, replace, fused=variant.fused), frames)
    return runners


def by_share(base: Any, frames: Any, padding: str) -> Runners:
    """Return the network as users run it, without shifts and with each share of the channels."""
    from networks import with_shifts

    from keras_layers.temporal_shift import TemporalShift

    run = over_clips if padding == "symmetric" else streaming
    runners = {PLAIN: run(with_shifts(base, lambda *_: None), frames)}
    for share in SHARES:
        divisor = (DIRECTIONS[padding] / share).numerator
        shift = lambda name, _, d=divisor: TemporalShift(padding, d, name=name)  # noqa: E731
        runners[str(share)] = run(with_shifts(base, shift), frames)
    return runners


def over_clips(model: Any, frames: Any) -> Callable[[], Any]:
    """Return a function that runs the model over one clip."""
    import tensorflow as tf

    import mpvn

    network = mpvn.VideoNetwork(model, executor="layerwise")
    traced, clip = tf.function(network, autograph=False), tf.constant(frames[None])
    return lambda: traced(clip).numpy()


def streaming(model: Any, frames: Any) -> Callable[[], Any]:
    """Return a function that runs one step of the model, warmed up, on the first frame."""
    import mpvn
    from mpvn.streaming import Stream

    stream = Stream(mpvn.VideoNetwork(model))
    return lambda: stream.step(frames[0])


# --- tables -------------------------------------------------------------------------------------


def cost_row(padding: str, shifts: str, milliseconds: dict[str, float]) -> dict[str, Any]:
    """Return a row of `alone`."""
    from variants import VARIANTS

    row = {"mode": MODES[padding], "shifts": shifts}
    for key in ("convolution alone", "copy", *VARIANTS):
        cost = milliseconds.get(key, math.nan)
        row[f"{key}, ms"] = SAME if math.isnan(cost) else f"{cost:.2f}"
    return row


def cost_cell(seconds: dict[str, list[float]], variant: str) -> str:
    """Return milliseconds per frame without shifts, or what a variant adds to them."""
    if variant not in seconds:
        return SAME
    if variant == PLAIN:
        return f"{1000 * statistics.median(seconds[variant]) / FRAMES:.2f} ms per frame"
    return percent(seconds, variant)


def percent(seconds: dict[str, list[float]], key: str) -> str:
    """Return the overhead of `key`: the median ratio to the time without shifts, minus 1."""
    ratios = [shifted / plain for shifted, plain in zip(seconds[key], seconds[PLAIN], strict=True)]
    return f"{100 * (statistics.median(ratios) - 1):.1f} %"


if __name__ == "__main__":
    run_questions(__file__, __doc__, QUESTIONS)
