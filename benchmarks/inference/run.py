"""Measure how fast compiled networks stream on this machine, beside other tools.

    python benchmarks/inference/run.py               # everything; about 25 minutes on 2 cores
    python benchmarks/inference/run.py mobilenet_v2  # one question of these: see QUESTIONS
    python benchmarks/inference/run.py --small       # shows that it runs, measures nothing

Each question runs in a fresh process for each thread count. Within it, all candidates are in memory
and take turns of half a second; a turn in which other processes used the cores is dropped. Tables
have medians. Compiled models are kept in the cache of the package, so an interrupted run compiles
them only once. Results go to results/QUESTION.json, tables to README.md.
"""

import functools
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from reporting import THREADS, Rows, run_questions  # noqa: E402

SECONDS = 2.0
"""Seconds of undisturbed steps of each candidate."""

FRAMES = 112
"""Frames of the clip of int8: from step 55 on, which the last of 14 subnetworks sees, 29 calibrate,
and 28 are for the comparison of outputs."""

PACKAGES = ("openvino", "nncf", "onnxruntime", "torch")

PLAIN = "plain Keras"

SEQUENTIAL = "frame model"
"""The plan without clocks, and what other tools run."""


class Candidate(NamedTuple):
    """What takes turns.

    Attributes:
        plan: by which plan.
        runtime: what runs it.
        precision: in which it computes.
        multiply_adds: of its mean step.
        create: creates it.
    """

    plan: str
    runtime: str
    precision: str
    multiply_adds: float
    create: Callable[[], Any]


# --- candidates ---------------------------------------------------------------------------------

DIVISIONS = ("block", "pattern")
"""What is compiled as one unit."""

BUFFERED = "buffered"
"""In place of a division: `BUFFER` frames in one call, by blocks."""

BUFFER = 16

RUNTIMES = {"TensorFlow": ("float32", "bfloat16"), "OpenVINO": ("float32", "bfloat16", "int8")}
"""The precisions of each of our runtimes."""

ALTERNATIVES = ("aligned", "chain")
"""Phases that are measured in one precision alone, with OpenVINO."""


def candidates(network: Any, clip: Any, small: bool) -> Iterator[Candidate]:
    """Yield the candidates for a network: plain Keras first, then other tools, then ours.

    Args:
        network: a `networks.Network`.
        clip: a rendered clip `[T, H, W, 3]`.
        small: whether to measure float32 alone, and no other tool but OpenVINO.
    """
    from outside import ONNXRuntime, OpenVINO, PyTorch

    from mpvn.streaming.benchmark import PlainKeras

    threads, plain = THREADS["intra"], network.plain
    cost = mean_cost(network.plans[SEQUENTIAL])
    yield Candidate(SEQUENTIAL, PLAIN, "float32", cost, lambda: PlainKeras(plain))
    for precision in precisions("OpenVINO", small):
        create = functools.partial(OpenVINO, plain, precision, threads, clip)
        yield Candidate(SEQUENTIAL, "OpenVINO alone", precision, cost, create)
    if small:
        yield from ours(network, clip, small)
        return
    yield Candidate(
        SEQUENTIAL, "ONNX Runtime", "float32", cost, lambda: ONNXRuntime(plain, threads)
    )
    for compiled in (False, True) if network.torchvision else ():
        create = functools.partial(PyTorch, network.torchvision, network.size, threads, compiled)
        runtime = f"PyTorch, {'compiled' if compiled else 'eager'}"
        yield Candidate(SEQUENTIAL, runtime, "float32", cost, create)
    yield from ours(network, clip, small)


def ours(network: Any, clip: Any, small: bool) -> Iterator[Candidate]:
    """Yield our candidates: the plans, on each runtime, in each precision."""
    for name, plan in network.plans.items():
        last = plan is list(network.plans.values())[-1]
        if THREADS["intra"] == 1 and not (last or name == SEQUENTIAL):
            continue
        for runtime, precision, units in ways(name, last, small):
            settings = {"runtime": runtime.lower(), "precision": precision, **unit(units)}
            if precision == "int8":
                settings["calibration"] = [clip]
            create = functools.partial(create_ours, network, plan, settings)
            yield Candidate(name, f"{runtime}, {units}", precision, mean_cost(plan), create)


def unit(units: str) -> dict[str, Any]:
    """Return the settings of a division, or of a buffer."""
    if units != BUFFERED:
        return {"units": units}
    return {"buffer": BUFFER}


def ways(plan: str, last: bool, small: bool) -> Iterator[tuple[str, str, str]]:
    """Yield runtime, precision and units by which a plan is measured.

    Args:
        plan: what the plan is.
        last: whether the plan is the one that is measured in all ways.
        small: as in `candidates`.
    """
    if plan.endswith(ALTERNATIVES):
        yield "OpenVINO", "float32", "block"
        return
    ends = last or plan == SEQUENTIAL
    everything = last and plan != SEQUENTIAL and THREADS["intra"] != 1
    for runtime, units in (("TensorFlow", "pattern"), ("OpenVINO", "block")):
        for precision in precisions(runtime, small or not (ends or runtime == "OpenVINO")):
            for division in DIVISIONS if everything else (units,):
                yield runtime, precision, division
            if ends and THREADS["intra"] != 1:
                yield runtime, precision, BUFFERED


def precisions(runtime: str, small: bool) -> tuple[str, ...]:
    """Return the precisions that are measured."""
    return ("float32",) if small else RUNTIMES[runtime]


def create_ours(network: Any, plan: Any, settings: dict[str, Any]) -> Any:
    """Compile a network by a plan."""
    from runners import Ours

    import mpvn

    return Ours(mpvn.VideoNetwork(plan.graph.model, plan), threads=THREADS["intra"], **settings)


def mean_cost(plan: Any) -> float:
    """Return the multiply-adds of the mean step."""
    return sum(plan.step_costs) / plan.period


# --- speed --------------------------------------------------------------------------------------


class Measured(NamedTuple):
    """A candidate of a network, and its stream, or why there is none."""

    network: str
    candidate: Candidate
    stream: Any
    left_out: str = ""


def speed(small: bool, family: str) -> Rows:
    """Compare frames per second of the networks of a family."""
    from networks import network_family, rendered_clip
    from runners import Product, flops

    measured, clip = [], None
    for network in network_family(family, small):
        if clip is None:
            clip = rendered_clip(network.size, 4 if small else FRAMES)
        for candidate in candidates(network, clip, small):
            print(f"{network.name}: {', '.join(candidate[:3])}", file=sys.stderr)
            measured.append(created(network.name, candidate))
    product = Product(128 if small else 2048)
    streams = [each.stream for each in measured if each.stream]
    quiet = take_turns([product, *streams], [frame[None] for frame in clip], small)
    rows = [row(each, measured, product) for each in measured]
    ceiling = {"runtime": "matrix product", "frames/s": f"{flops(product) / 1e9:.0f} GFLOP/s"}
    notes = [] if quiet else [{"runtime": "other processes used the cores"}]
    return [*rows, *({**dict.fromkeys(rows[0], ""), **more} for more in (ceiling, *notes))]


def created(network: str, candidate: Candidate) -> Measured:
    """Return a candidate with its stream; without it if something is not installed."""
    try:
        return Measured(network, candidate, candidate.create())
    except (ImportError, ValueError) as error:
        return Measured(network, candidate, None, " ".join(str(error).split())[:100])


def take_turns(streams: list, frames: list, small: bool) -> bool:
    """Run the streams in turns; return whether all of them were measured on quiet cores."""
    from mpvn.streaming.benchmark import measure

    if small:
        for stream in streams:
            for _ in range(2 * stream.period):
                stream.steps([frames[0]] * stream.buffer)
        return True
    measured = measure({str(index): each for index, each in enumerate(streams)}, frames, SECONDS)
    return all(each.was_quiet for each in measured.values())


def row(measured: Measured, others: list[Measured], product: Any) -> dict[str, Any]:
    """Return the row of a candidate, given all of them."""
    from runners import flops, step_seconds

    name, candidate, stream, left_out = measured
    cells = {
        "network": name,
        "plan": candidate.plan,
        "runtime": candidate.runtime,
        "precision": candidate.precision,
    }
    if stream is None:
        return {**cells, "frames/s": f"left out: {left_out}", **dict.fromkeys(COMPARED, "")}
    seconds = step_seconds(stream)
    plain = next(each.stream for each in others if each.network == name)
    share = 2 * candidate.multiply_adds / seconds.mean() / flops(product)
    numbers = (
        f"{step_seconds(plain).mean() / seconds.mean():.2f}",
        f"{100 * share:.0f} %",
        f"{seconds.max() / seconds.mean():.2f}" if stream.buffer == 1 else "",
    )
    frames_per_second = round(1 / seconds.mean(), 1)
    return {**cells, "frames/s": frames_per_second, **dict(zip(COMPARED, numbers, strict=True))}


COMPARED = (f"x {PLAIN}", "of the matrix product", "worst/mean step")


# --- overhead and long streams ------------------------------------------------------------------


def overhead(small: bool) -> Rows:
    """Time steps of blocks that have almost nothing to compute, and the time between them."""
    import numpy as np
    from runners import Ours

    from mpvn.runtime import record
    from mpvn.runtime.record import Overhead

    frame, rows = np.ones((1, 4), "float32"), []
    blocks, steps = ((1, 4), 20) if small else ((1, 4, 16), 2_000)
    for runtime in ("tensorflow", "openvino"):
        streams = {}
        for count in blocks:
            network = trivial_network(count)
            streams[count] = Ours(network, runtime=runtime, threads=THREADS["intra"], units="block")
        take_turns(list(streams.values()), [frame], small)
        first = step_milliseconds(streams[blocks[0]])
        for count, stream in streams.items():
            with record(stream.compiled) as events:
                for _ in range(steps):
                    stream.run_step(frame)
            more = (step_milliseconds(stream) - first) / max(1, count - 1)
            rows.append(
                {
                    "runtime": runtime,
                    "blocks": count,
                    "ms per step": f"{step_milliseconds(stream):.4f}",
                    "ms per further block": f"{more:.4f}" if count > 1 else "",
                    "ms between blocks, for each": f"{1000 * Overhead.of(events).unit:.4f}",
                }
            )
    return rows


def long(small: bool) -> Rows:
    """Run 100,000 steps; compare memory and the time of steps at the start and at the end."""
    import psutil
    from runners import Ours

    process, rows = psutil.Process(), []
    part, steps = (20, 60) if small else (5_000, 100_000)
    for runtime in ("tensorflow", "openvino"):
        stream = Ours(clocked_network(), runtime=runtime, threads=THREADS["intra"])
        frames = random_frames(stream.compiled)
        medians, memory = [], []
        for number in range(steps):
            stream.step(frames[number % len(frames)])
            if (number + 1) % part == 0:
                medians.append(step_milliseconds(stream))
                memory.append(process.memory_info().rss / 2**20)
                stream.statistics = type(stream.statistics)()
        rows.append(
            {
                "runtime": runtime,
                "steps": f"{steps:,}",
                "MiB after the first part": f"{memory[0]:.1f}",
                "MiB at the end": f"{memory[-1]:.1f}",
                "ms per step, first part": f"{medians[0]:.4f}",
                "ms per step, last part": f"{medians[-1]:.4f}",
            }
        )
    return rows


def step_milliseconds(stream: Any) -> float:
    """Return the time of the mean step of a period."""
    from runners import step_seconds

    return 1000 * step_seconds(stream).mean()


def trivial_network(blocks: int) -> Any:
    """Return a network of ReLUs of four values, each a subnetwork of its own."""
    import keras

    import mpvn

    x = inputs = keras.Input((4,))
    for _ in range(blocks):
        x = keras.layers.Activation("relu")(x)
    model = keras.Model(inputs, x)
    return mpvn.VideoNetwork(model, mpvn.Plan(model, blocks))


def clocked_network() -> Any:
    """Return a small network with clocks, a memory and a skip connection."""
    import keras

    import keras_layers
    import mpvn

    frame = keras.Input((16, 16, 3))
    first = x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(frame)
    x = keras_layers.TemporalConv3D(8, (2, 3, 3), padding="same", name="second")(x)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="third")(x)
    x = keras.layers.Add(name="sum")([first, x])
    model = keras.Model(frame, keras.layers.GlobalAveragePooling2D()(x))
    plan = mpvn.Plan(model, boundaries=["second", "third"], clocks=[1, 2, 4])
    return mpvn.VideoNetwork(model, plan)


def random_frames(compiled: Any) -> list:
    """Return 16 random frames for a network with one input."""
    import numpy as np

    shape = compiled.graph.tensors[compiled.graph.inputs[0]].shape
    return [*np.random.default_rng(0).normal(size=(16, 1, *shape)).astype("float32")]


FAMILIES = ("par_densenet", "par_inception", "mobilenet_v2", "resnet50")

QUESTIONS = {
    **{name: functools.partial(speed, family=name) for name in FAMILIES},
    "overhead": overhead,
    "long": long,
}


if __name__ == "__main__":
    run_questions(__file__, __doc__, QUESTIONS, PACKAGES, threads=(2, 1))
