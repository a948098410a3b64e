"""Measure how fast networks stream on this machine, and compare with their plans.

    python benchmarks/streaming/run.py            # everything; about 15 minutes on 2 cores
    python benchmarks/streaming/run.py speed      # one question of these: see QUESTIONS
    python benchmarks/streaming/run.py --small    # seconds: shows that it runs, measures nothing

Each question runs in a fresh process with fixed thread counts. Within it, all candidates take
turns, because other work may slow down the machine for a while; the tables report medians. Results
go to results/QUESTION.json, tables to README.md.
"""

import pathlib
import statistics
import sys
from collections.abc import Callable
from typing import Any

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from reporting import Rows, run_questions, take_turns, timed  # noqa: E402

STEPS = 16
"""Steps of a turn: one period of the clocks."""

# --- questions ----------------------------------------------------------------------------------


def speed(small: bool) -> Rows:
    """Compare frames per second, and the gain from clocks with the ratio of multiply-adds."""
    import tensorflow as tf

    import mpvn

    rows = []
    for name, size in [("MobileNetV2", 64)] if small else [("DenseNet121", 224), ("ResNet50", 224)]:
        model, frame = application(name, size)
        plans = {
            "sequential": mpvn.Plan(model),
            "sequential, clocks": mpvn.Plan(model, clocks="auto"),
            "4 subnetworks": mpvn.Plan(model, 4, partition="balanced"),
            "4 subnetworks, clocks": mpvn.Plan(model, 4, partition="balanced", clocks="auto"),
        }
        plain = tf.function(model, input_signature=[tf.TensorSpec((None, *frame.shape[1:]))])
        runners: dict[str, Callable[[], Any]] = {"plain frame model": lambda p=plain, f=frame: p(f)}
        runners |= {key: streaming(mpvn.VideoNetwork(model, plan)) for key, plan in plans.items()}
        seconds = take_turns(runners, STEPS, rounds=2 if small else 15)
        medians = {key: statistics.median(values) for key, values in seconds.items()}
        for key, median in medians.items():
            gain = medians["sequential"] / median
            ratio = plans[key].clock_speedup if key in plans else 1.0
            rows.append(
                {
                    "network": name,
                    "execution": key,
                    "frames/s": round(STEPS / median, 1),
                    "gain over sequential": round(gain, 2),
                    "multiply-add ratio": round(ratio, 2),
                    "gain / ratio": f"{100 * gain / ratio:.0f} %",
                }
            )
    return rows


def phases(small: bool) -> Rows:
    """Compare the worst step with the mean step, for aligned and chained phases."""
    import mpvn

    model, _ = application("MobileNetV2" if small else "DenseNet121", 64 if small else 224)
    rows = []
    for subnetworks in (4, 8):
        plans = {
            phase: mpvn.Plan(model, subnetworks, partition="balanced", clocks="auto", phases=phase)
            for phase in ("aligned", "chain")
        }
        steps = {key: streaming(mpvn.VideoNetwork(model, plan)) for key, plan in plans.items()}
        seconds = {
            key: single_steps(step, plans[key].period, 2 if small else 20)
            for key, step in steps.items()
        }
        for key, by_step in seconds.items():
            medians = [statistics.median(values) for values in by_step]
            ages = next(iter(plans[key].ages.values()))
            rows.append(
                {
                    "subnetworks": subnetworks,
                    "phases": key,
                    "worst/mean, multiply-adds": round(plans[key].worst_step, 2),
                    "worst/mean, measured": round(max(medians) / statistics.mean(medians), 2),
                    "worst step, ms": round(1000 * max(medians), 1),
                    "mean age of the output, steps": round(ages.mean, 1),
                }
            )
    return rows


def overhead(small: bool) -> Rows:
    """Time a step of subnetworks that have almost nothing to compute."""
    import keras
    import tensorflow as tf

    import mpvn

    rows = []
    for subnetworks in (1, 4, 16):
        x = inputs = keras.Input((4,))
        for _ in range(16):
            x = keras.layers.Activation("relu")(x)
        model = keras.Model(inputs, x)
        network = mpvn.VideoNetwork(model, mpvn.Plan(model, subnetworks), executor="unroll")
        length = 2_000
        clip = tf.random.normal((1, length, 4))
        frame, state = clip[:, 0].numpy(), network.initial_state(1)
        online = lambda n=network, f=frame, s=state: n.step(f, s)[0].numpy()  # noqa: E731
        loop = lambda n=network, c=clip, s=state: n.run(c, s)  # noqa: E731
        per_step = {"online": [], "loop": []}
        loop()
        for _ in range(3 if small else 20):
            per_step["online"].append(timed(online, 200) / 200)
            per_step["loop"].append(timed(loop, 1) / length)
        rows.append(
            {
                "subnetworks": subnetworks,
                "online, ms per step": round(1000 * statistics.median(per_step["online"]), 3),
                "inside a loop, ms per step": round(1000 * statistics.median(per_step["loop"]), 4),
            }
        )
    return rows


def training(small: bool) -> Rows:
    """Time a training step, step by step and layer by layer."""
    import tensorflow as tf

    import mpvn

    sizes = [(32, 8), (32, 64), (64, 8), (64, 32), (128, 8), (128, 32), (224, 8)]
    rows = []
    for size, width in sizes[:1] if small else sizes:
        model = small_network(size, width)
        plan = mpvn.Plan(model, 4)
        clip = tf.random.stateless_normal((1, 16, size, size, 3), seed=(0, 0))
        steps = {
            executor: training_step(mpvn.VideoNetwork(model, plan, executor=executor), clip)
            for executor in ("unroll", "layerwise")
        }
        seconds = take_turns(steps, steps=1, rounds=3 if small else 15)
        medians = {key: statistics.median(values) for key, values in seconds.items()}
        rows.append(
            {
                "frame": f"{size}x{size}",
                "channels": width,
                "largest activation of 16 frames, MiB": round(
                    16 * (size // 2) ** 2 * width * 4 / 2**20, 2
                ),
                "unroll, ms": round(1000 * medians["unroll"], 1),
                "layerwise, ms": round(1000 * medians["layerwise"], 1),
                "speed-up of layerwise": f"{medians['unroll'] / medians['layerwise']:.2f}",
            }
        )
    return rows


def ages(small: bool) -> Rows:
    """Compare streams that tick together with streams of staggered ages in one batch."""
    import numpy as np

    import mpvn
    from mpvn.models import PUBLISHED, par_densenet

    rows = []
    for size, width in [(32, 0.1)] if small else [(64, 0.25), (64, 0.5)]:
        model = par_densenet((size, size, 3), joints=5, width=width)
        plan = PUBLISHED["par_densenet"].plan(model, subnetworks=4)
        network = mpvn.VideoNetwork(model, plan)
        for streams in (2,) if small else (16, 64):
            runners = {
                "together": aging(network, np.zeros(streams)),
                "together, in the function for mixtures": aging(network, np.zeros(streams), True),
                "staggered": aging(network, np.arange(streams)),
            }
            seconds = {key: [] for key in runners}
            for _ in range(2 if small else 7):
                for key, step in runners.items():
                    seconds[key].append([timed(step, 1) for _ in range(plan.period)])
            for key, periods in seconds.items():
                medians = np.median(periods[1:], axis=0)
                rows.append(
                    {
                        "network": f"Par-DenseNet {size}x{size}, width {width}",
                        "streams": streams,
                        "ages": key,
                        "streams x frames/s": round(streams / medians.mean(), 1),
                        "mean step, ms": round(1000 * medians.mean(), 2),
                        "worst/mean": round(medians.max() / medians.mean(), 2),
                    }
                )
    return rows


QUESTIONS = {
    "speed": speed,
    "phases": phases,
    "ages": ages,
    "overhead": overhead,
    "training": training,
}


# --- networks -----------------------------------------------------------------------------------


def application(name: str, size: int) -> tuple[Any, Any]:
    """Return a network of `keras.applications` and a random frame `[1, size, size, 3]` for it.

    The outputs are features at all scales, so that every computed value is read. With a classifier
    alone, tracing would drop what fast layers compute between the ticks of slow ones, and the gain
    from clocks would look larger than it is.
    """
    import keras
    import tensorflow as tf

    from mpvn.models import multi_scale

    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3))
    return multi_scale(model), tf.random.normal((1, size, size, 3))


def small_network(size: int, width: int) -> Any:
    """Build eight 3x3 convolutions with batch norm at half resolution, a pool and a classifier."""
    import keras

    x = inputs = keras.Input((size, size, 3))
    for layer in range(8):
        x = keras.layers.Conv2D(width, 3, strides=1 if layer else 2, padding="same")(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10)(x))


# --- what is timed ------------------------------------------------------------------------------


def training_step(network: Any, clip: Any) -> Callable[[], Any]:
    """Return a traced function that takes one SGD step on `clip`, `[1, T, H, W, 3]`."""
    import keras
    import tensorflow as tf

    optimizer = keras.optimizers.SGD(1e-3)
    optimizer.build(network.trainable_variables)

    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(network(clip, training=True) ** 2)
        weights = network.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    return tf.function(step)


def streaming(network: Any) -> Callable[[], Any]:
    """Return a function that runs one step of `network`, warmed up, on a random frame."""
    import numpy as np

    from mpvn.streaming import Stream

    shape = network.graph.tensors[network.graph.inputs[0]].shape
    frame = np.random.default_rng(0).normal(size=shape).astype("float32")
    stream = Stream(network)
    return lambda: stream.step(frame)


def aging(network: Any, ages: Any, mixed: bool = False) -> Callable[[], Any]:
    """Return a function that runs one step of streams of these ages, `[B]`.

    Args:
        network: the network.
        ages: how many steps old the streams are at the first call.
        mixed: whether to use the function for mixtures of ages, even if all are equal.
    """
    import numpy as np
    import tensorflow as tf

    shape = network.graph.tensors[network.graph.inputs[0]].shape
    frames = np.random.default_rng(0).normal(size=(len(ages), *shape)).astype("float32")
    frames = tf.constant(frames)
    state = network.initial_state(len(ages)) | {"step": tf.constant(ages, tf.int64)}
    mixture = network._traced.step(None, 0, (False, False, "zeros"))

    def step():
        nonlocal state
        if mixed:
            slots = {name: value for name, value in state.items() if name != "step"}
            (outputs,), state, counter = mixture([frames], slots, state["step"])
            state["step"] = counter
        else:
            outputs, state = network.step(frames, state)
        return np.asarray(outputs)

    return step


def single_steps(step: Callable[[], Any], period: int, rounds: int) -> list[list[float]]:
    """Return the seconds of each step of a period, over `rounds` periods."""
    by_step: list[list[float]] = [[] for _ in range(period)]
    for _ in range(rounds):
        for values in by_step:
            values.append(timed(step, 1))
    return by_step


if __name__ == "__main__":
    run_questions(__file__, __doc__, QUESTIONS)
