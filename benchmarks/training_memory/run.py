"""Measure the memory of one training step, with and without rematerialization.

    python benchmarks/training_memory/run.py par_densenet --option clocks=False --subnetworks 1 14
    python benchmarks/training_memory/run.py --small    # a minute: shows that it runs

Each configuration runs in a fresh process with fixed thread counts and becomes one row: the peak
resident memory of the process before the first training step and after it. The steps after the
first are timed. Results go to results/MODEL-OPTIONS.json, the table of all results to README.md.
"""

import argparse
import ast
import itertools
import json
import pathlib
import statistics
import sys
import time
from typing import Any

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from reporting import (  # noqa: E402
    THREADS,
    environment,
    insert_text,
    limit_threads,
    markdown,
    resident_peak,
    run_in_fresh_process,
    timed,
)

SAME_IN_ALL_ROWS = ("batch",)


def main() -> None:
    arguments = parse_arguments()
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
        results.append(run_in_fresh_process(__file__, "--here", json.dumps(configuration)))
    print(markdown([result["row"] for result in results]))
    if not arguments.small:
        name = "-".join([pathlib.Path(arguments.model).stem, *arguments.option]).replace("'", "")
        target = HERE / "results" / f"{name}.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(results, indent=1) + "\n")
        update_table()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="par_densenet", help="see load_frame_model")
    parser.add_argument("--size", type=int, help="height and width of the frames; default: 224")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--subnetworks", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--option", action="append", default=[], help="as for `mpvn plan`")
    parser.add_argument("--executor", nargs="+", default=["layerwise", "unroll"])
    parser.add_argument("--small", action="store_true", help="tiny sizes; writes nothing")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.small:
        arguments.model, arguments.size, arguments.frames = "MobileNetV2", 32, 3
        arguments.subnetworks = [2]
    return arguments


def update_table() -> None:
    """Write the rows of all results, without the columns that are always the same, to README.md."""
    rows = [
        {key: value for key, value in result["row"].items() if key not in SAME_IN_ALL_ROWS}
        for path in sorted((HERE / "results").iterdir())
        for result in json.loads(path.read_text())
    ]
    insert_text(HERE / "README.md", "memory", markdown(rows))


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
    """Return the row of one configuration, and the environment of the measurement."""
    limit_threads()
    import keras
    import tensorflow as tf

    import mpvn
    from mpvn.models import load_frame_model

    started = time.time()
    keras.utils.set_random_seed(0)
    texts = dict(option.split("=", 1) for option in options)
    values = {name: ast.literal_eval(text) for name, text in texts.items()}
    loaded = load_frame_model(model, size, options=values)
    frame_model = loaded.model
    plan = mpvn.Plan(frame_model, subnetworks, **loaded.plan_defaults)
    network = mpvn.VideoNetwork(frame_model, plan, executor=executor, rematerialize=rematerialize)
    step = training_step(network)
    clips = [tf.random.normal((batch, frames, *tensor.shape[1:])) for tensor in frame_model.inputs]
    before = resident_peak()
    step(clips)
    peak = resident_peak()
    seconds = [timed(lambda: float(step(clips)), 1) for _ in range(2)]
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
    """Return a step of gradient descent, traced as a whole and without XLA, as `fit` runs it."""
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


if __name__ == "__main__":
    main()
