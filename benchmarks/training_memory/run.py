"""How much memory one training step takes, with and without rematerialization.

    python benchmarks/training_memory/run.py par_densenet --option clocks=False --subnetworks 1 14
    python benchmarks/training_memory/run.py --small    # a minute: shows that it runs

Each configuration runs in a fresh process with fixed thread counts, and is one line of the table:
the most memory that the process ever had resident, until one training step was done, and what it
had before that step. Steps after the first are timed. Results go to results/MODEL-OPTIONS.json.
"""

import argparse
import ast
import itertools
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from reporting import environment, markdown  # noqa: E402

THREADS = {"intra": 2, "inter": 2}


def main() -> None:
    arguments = parse()
    if arguments.here:
        print(json.dumps(measure(**json.loads(arguments.here))))
        return
    results = []
    for subnetworks, executor, rematerialize in itertools.product(
        arguments.subnetworks, arguments.executor, (False, True)
    ):
        configuration = {
            "model": arguments.model,
            "size": arguments.size,
            "batch": arguments.batch,
            "frames": arguments.frames,
            "options": arguments.option,
            "subnetworks": subnetworks,
            "executor": executor,
            "rematerialize": rematerialize,
        }
        print(", ".join(f"{key} {value}" for key, value in configuration.items()), flush=True)
        command = [sys.executable, __file__, "--here", json.dumps(configuration)]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results.append(json.loads(run.stdout.splitlines()[-1]))
    print(markdown([result["row"] for result in results]))
    if not arguments.small:
        name = "-".join([pathlib.Path(arguments.model).stem, *arguments.option]).replace("'", "")
        target = HERE / "results" / f"{name}.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(results, indent=1) + "\n")
        print(f"written to {target}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="par_densenet", help="see load_frame_model")
    parser.add_argument("--size", type=int, help="height and width of the frames; default: 224")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--subnetworks", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--option", action="append", default=[], help="as of mpvn plan")
    parser.add_argument("--executor", nargs="+", default=["layerwise", "unroll"])
    parser.add_argument("--small", action="store_true", help="tiny sizes; writes nothing")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.small:
        arguments.model, arguments.size, arguments.frames = "MobileNetV2", 32, 3
        arguments.subnetworks = [2]
    return arguments


def measure(
    model: str,
    size: int | None,
    batch: int,
    frames: int,
    options: list[str],
    subnetworks: int,
    executor: str,
    rematerialize: bool,
) -> dict[str, Any]:
    """The row of one configuration, with the environment it was measured in."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf

    import mpvn
    from mpvn.models import load_frame_model

    tf.config.threading.set_intra_op_parallelism_threads(THREADS["intra"])
    tf.config.threading.set_inter_op_parallelism_threads(THREADS["inter"])
    started = time.time()
    keras.utils.set_random_seed(0)
    named = dict(option.split("=", 1) for option in options)
    values = {name: ast.literal_eval(value) for name, value in named.items()}
    loaded = load_frame_model(model, size, options=values)
    frame_model = loaded.model
    plan = mpvn.Plan(frame_model, subnetworks, partition=loaded.partition)
    network = mpvn.VideoNetwork(frame_model, plan, executor=executor, rematerialize=rematerialize)
    step = training_step(network)
    clips = [tf.random.normal((batch, frames, *tensor.shape[1:])) for tensor in frame_model.inputs]
    before = resident_peak()
    step(clips)
    peak = resident_peak()
    seconds = [timed(step, clips) for _ in range(2)]
    return {
        "row": {
            "model": ", ".join([model, *options]),
            "frame": "x".join(map(str, frame_model.inputs[0].shape[1:3])),
            "frames": frames,
            "batch": batch,
            "subnetworks": plan.subnetworks,
            "executor": executor,
            "rematerialize": rematerialize,
            "before, MiB": round(before),
            "peak, MiB": round(peak),
            "the step, MiB": round(peak - before),
            "s per step": round(statistics.median(seconds), 2),
        },
        "environment": environment(started, threads=THREADS),
    }


def training_step(network: Any) -> Any:
    """A step of gradient descent as `fit` takes it: traced as a whole, without XLA."""
    import keras
    import tensorflow as tf

    optimizer = keras.optimizers.SGD(1e-3)
    optimizer.build(network.trainable_variables)

    def step(clips):
        with tf.GradientTape() as tape:
            outputs = keras.tree.flatten(
                network(clips if len(clips) > 1 else clips[0], training=True)
            )
            loss = tf.add_n([tf.reduce_mean(tf.square(output)) for output in outputs])
        weights = network.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    return tf.function(step, autograph=False)


def resident_peak() -> float:
    """The most memory that this process has had resident so far, in MiB."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (2**20 if sys.platform == "darwin" else 2**10)


def timed(step: Any, clips: list[Any]) -> float:
    """Seconds of one step."""
    start = time.perf_counter()
    float(step(clips))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
