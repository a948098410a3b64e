"""Compare how fast two versions of this package stream.

    git worktree add /tmp/before COMMIT
    python benchmarks/streaming/versions.py /tmp/before

Fresh processes of the two versions take turns; a process reports the median time of a step with a
common phase for each network. The table has medians of the turns. Results go to
results/versions.json, and the table to README.md.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from reporting import THREADS, Rows, environment, limit_threads, markdown, save  # noqa: E402

TURNS = 4


def step_times() -> dict[str, float]:
    """Return the median seconds of a step of each network, with the version on the path."""
    limit_threads()
    import keras
    import numpy as np

    import mpvn
    from mpvn.models import PUBLISHED, multi_scale, par_densenet
    from mpvn.streaming import warm_up

    x = inputs = keras.Input((4,))
    for _ in range(16):
        x = keras.layers.Activation("relu")(x)
    tiny = keras.Model(inputs, x)
    mobile = multi_scale(keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3)))
    published = par_densenet((64, 64, 3), joints=5, width=0.25)
    plans = {
        "16 ReLUs, 4 subnetworks": mpvn.Plan(tiny, 4),
        "MobileNetV2 96x96, clocks": mpvn.Plan(mobile, clocks="auto"),
        "Par-DenseNet 64x64, width 0.25, 4 subnetworks": PUBLISHED["par_densenet"].plan(
            published, subnetworks=4
        ),
    }
    medians = {}
    for name, plan in plans.items():
        network = mpvn.VideoNetwork(plan.graph.model, plan)
        shape = plan.graph.tensors[plan.graph.inputs[0]].shape
        for streams in (1, 16):
            frame = np.random.default_rng(0).normal(size=(streams, *shape)).astype("float32")
            warm_up(network, streams)
            state = network.initial_state(streams)
            seconds = []
            for _ in range(6 * plan.period if plan.period > 1 else 2_000):
                start = time.perf_counter()
                outputs, state = network.step(frame, state)
                np.asarray(keras.tree.flatten(outputs)[0])
                seconds.append(time.perf_counter() - start)
            periods = np.reshape(seconds, (-1, plan.period))
            medians[f"{name}, streams: {streams}"] = float(np.median(periods, axis=0).mean())
    return medians


def compare(before: pathlib.Path) -> Rows:
    """Let the version at `before` and this one take turns."""
    folders = {"before": before, "after": HERE.parent.parent}
    measured: dict[str, list[dict[str, float]]] = {version: [] for version in folders}
    for turn in range(TURNS):
        for version, folder in folders.items():
            print(f"turn {turn + 1} of {TURNS}: {version}", flush=True)
            command = [sys.executable, __file__, "--here"]
            path = {**os.environ, "PYTHONPATH": str(folder.resolve())}
            run = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=True, env=path, cwd=folder
            )
            measured[version].append(json.loads(run.stdout.splitlines()[-1]))
    rows = []
    for name in measured["before"][0]:
        ratios = [a[name] / b[name] for b, a in zip(*measured.values(), strict=True)]
        medians = {v: statistics.median(turn[name] for turn in measured[v]) for v in measured}
        rows.append(
            {
                "network": name,
                **{f"{version}, ms per step": f"{1000 * s:.3f}" for version, s in medians.items()},
                "after / before": round(statistics.median(ratios), 3),
                "range over turns": f"{min(ratios):.3f} to {max(ratios):.3f}",
            }
        )
    return rows


if __name__ == "__main__":
    if sys.argv[1:] == ["--here"]:
        print(json.dumps(step_times()))
    else:
        started = time.time()
        rows = compare(pathlib.Path(sys.argv[1]))
        print(markdown(rows))
        commits = {
            "before": subprocess.run(
                ["git", "-C", sys.argv[1], "rev-parse", "--short", "HEAD"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
        }
        command = "python benchmarks/streaming/versions.py BEFORE"
        details = environment(started, threads=THREADS, **commits, command=command)
        save(HERE, "versions", {"rows": rows, "environment": details})
