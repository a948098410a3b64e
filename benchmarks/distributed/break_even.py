"""Measure from which cost of a subnetwork on two devices are faster than one.

    python benchmarks/distributed/break_even.py             # both tables
    python benchmarks/distributed/break_even.py overlap     # one: see QUESTIONS
    python benchmarks/distributed/break_even.py --small     # shows that it runs

Devices are processes of one thread on a core of their own (`local_devices.py`). The network is that
of benchmarks/depth_parallel_training in two balanced subnetworks; the batch sets what they cost.
One device and two take turns. Bytes are those of the loopback interface: nothing else may use it.
Results go to results/TABLE.json, tables to README.md.
"""

import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "depth_parallel_training")]
from local_devices import local_devices, table_arguments  # noqa: E402
from reporting import Rows, environment, markdown, save, take_turns  # noqa: E402
from worker_times import Call, WorkerTimes, both_at_once, timeline  # noqa: E402

from mpvn.files import write_atomically  # noqa: E402

FRAMES = 16
AHEAD, CLIP = 4, 8

Runner = Callable[[], Any]


def main() -> None:
    arguments = table_arguments(__file__, __doc__, QUESTIONS)
    if arguments is None:
        return
    print(f"{arguments.table} ...", flush=True)
    started = time.time()
    with local_devices(2) as devices:
        rows = QUESTIONS[arguments.table](devices, arguments.small)
    print(markdown(rows))
    if not arguments.small:
        from torch_gpipe import torch_version

        command = f"python benchmarks/distributed/break_even.py {arguments.table}"
        details = environment(started, torch=torch_version(), command=command)
        save(HERE, arguments.table, {"rows": rows, "environment": details})


def break_even(devices: list[str], small: bool) -> Rows:
    """Return the gain of two devices, by method and batch."""
    batches, rounds = ((1,), 1) if small else ((1, 2, 4, 8, 16, 32, 64), 5)
    rows = []
    for batch in batches:
        placed = {"one": devices[:1] * 2, "two": devices}
        runners = {
            (method, where): build(batch, on)
            for method, build in METHODS.items()
            for where, on in placed.items()
        }
        torch = TorchRunners(batch)
        seconds = take_turns({**runners, **torch.runners}, steps=1, rounds=rounds)
        medians = {key: statistics.median(times) for key, times in seconds.items()}
        sent = {method: loopback_bytes(runners[method, "two"]) for method in METHODS}
        torch.close()
        share = plan_on(devices).balance_bound
        for method in dict.fromkeys(method for method, _ in medians):
            rows.append(row(method, batch, medians, share, sent.get(method)))
    return rows


def row(
    method: str, batch: int, medians: dict[Any, float], share: float, sent: int | None
) -> dict[str, Any]:
    """Return a row: milliseconds are of a step, a frame of every clip or stream."""
    one, two = (1e3 * medians[method, where] / FRAMES for where in ("one", "two"))
    pipeline = FRAMES / (1 + (FRAMES - 1) * share)
    bound = pipeline if "GPipe" in method else 1 / share
    return {
        "method": method,
        "batch": batch,
        "largest subnetwork, ms": f"{one * share:.1f}",
        "one device, ms": f"{one:.1f}",
        "two devices, ms": f"{two:.1f}",
        "gain": f"{one / two:.2f}",
        "bound": f"{bound:.2f}",
        "of the bound": f"{one / two / bound:.0%}",
        "MB a step, two devices": "" if sent is None else f"{sent / FRAMES / 1e6:.2f}",
    }


def overlap(devices: list[str], small: bool) -> Rows:
    """Return how long the subnetworks take alone, and how long steps of both take."""
    rows = []
    for batch in (1,) if small else (8, 16, 32):
        compiled, calls = plan_network(devices).compile_inference(batch=batch), {}

        def observe(unit: Any, function: Any, values: Any, step: int, calls: Any = calls) -> Any:
            calls[unit.position] = function, values
            return function(values)

        runners = {"a step": streamed(compiled, random_frames(batch), batch, AHEAD)}
        compiled.observer = observe
        runners["a step"]()
        compiled.observer = None
        runners |= {
            f"subnetwork {i} alone": alone(*calls[key]) for i, key in enumerate(sorted(calls))
        }
        seconds = take_turns(runners, steps=1, rounds=1 if small else 9)
        times = {name: 1e3 * statistics.median(seconds[name]) / FRAMES for name in sorted(seconds)}
        step, *each = times.values()
        shown = {f"{name}, ms": f"{value:.1f}" for name, value in times.items()}
        calls = recorded_calls(compiled, batch)
        rows.append(
            {
                "batch": batch,
                **shown,
                "sum of both, ms": f"{sum(each):.1f}",
                "longer one over a step": f"{max(each) / step:.2f}",
                "time in which both run": f"{both_at_once(calls):.0%}",
            }
        )
    if not small:  # of the largest batch
        write_atomically(HERE / "overlap.svg", timeline(calls, range(4, 12)))
    return rows


def recorded_calls(compiled: Any, batch: int) -> list[Call]:
    """Return when the calls of a stream of `FRAMES` steps ran on the workers."""
    compiled.observer = times = WorkerTimes()
    run = streamed(compiled, random_frames(batch), batch, AHEAD)
    run()
    times.forget()
    run()
    compiled.observer = None
    return times.calls()


def alone(function: Any, values: Any) -> Runner:
    """Return a runner of the calls of one subnetwork."""
    import tensorflow as tf

    def run() -> None:
        for _ in range(FRAMES):
            result, *_ = function(values)
        with tf.device(result.device):  # calls end later; the last one has when this is read
            end = tf.reshape(result, [-1])[0]
        end.numpy()

    return run


QUESTIONS = {"break_even": break_even, "overlap": overlap}


# --- what is timed: calls of FRAMES steps ---------------------------------------------------------


def plan_on(devices: list[str]) -> Any:
    """Return the balanced plan of two subnetworks."""
    from chain import frame_model

    import mpvn

    return mpvn.Plan(frame_model(1.0), 2, partition="balanced", devices=devices)


def plan_network(devices: list[str]) -> Any:
    """Return the network of `plan_on`."""
    import mpvn

    plan = plan_on(devices)
    return mpvn.VideoNetwork(plan.graph.model, plan)


def random_frames(batch: int) -> list[Any]:
    """Return frames `[B, 64, 64, 3]` of each step, as tensors."""
    import tensorflow as tf
    from chain import clip_and_targets

    clip, _ = clip_and_targets(batch, FRAMES)
    return [tf.constant(clip[:, step]) for step in range(FRAMES)]


def by_step(batch: int, devices: list[str]) -> Runner:
    """Return a runner of `network.step`."""
    network, frames = plan_network(devices), random_frames(batch)

    def run() -> None:
        state = network.initial_state(batch)
        for frame in frames:
            outputs, state = network.step(frame, state)
            outputs.numpy()

    return run


def ahead(batch: int, devices: list[str]) -> Runner:
    """Return a runner of steps that are sent out ahead."""
    compiled = plan_network(devices).compile_inference(batch=batch)
    return streamed(compiled, random_frames(batch), batch, AHEAD)


def streamed(compiled: Any, frames: list[Any], batch: int, ahead: int) -> Runner:
    """Return a runner of a stream from its start."""

    def run() -> None:
        for outputs, _ in compiled.stream(frames, compiled.initial_state(batch), ahead):
            outputs.numpy()

    return run


def by_clip(batch: int, devices: list[str]) -> Runner:
    """Return a runner of calls of `CLIP` steps."""
    import tensorflow as tf

    compiled = plan_network(devices).compile_inference(batch=batch, clip=CLIP)
    clip = tf.stack(random_frames(batch), axis=1)
    return lambda: compiled.run(clip, compiled.initial_state(batch))[0].numpy()


def by_trainer(method: str) -> Callable[[int, list[str]], Runner]:
    """Return a builder of runners of updates."""

    def build(batch: int, devices: list[str]) -> Runner:
        import tensorflow as tf
        from chain import clip_and_targets, trainer

        trained = trainer(method, plan_network(devices))
        clip, targets = map(tf.constant, clip_and_targets(batch, FRAMES))
        return lambda: float(trained.train_on_batch(clip, targets))

    return build


METHODS: dict[str, Callable[[int, list[str]], Runner]] = {
    "stream, step": by_step,
    f"stream, {AHEAD} steps ahead": ahead,
    f"stream, {CLIP} frames a call": by_clip,
    "Sideways": by_trainer("Sideways"),
    "GPipe": by_trainer("GPipe"),
}


class TorchRunners:
    """The runners of PyTorch's GPipe; none without PyTorch.

    Args:
        batch: number of clips.
    """

    def __init__(self, batch: int) -> None:
        from torch_gpipe import torch_worker

        workers = {
            ("PyTorch GPipe", where): torch_worker(n) for n, where in ((1, "one"), (2, "two"))
        }
        self._workers = {key: worker for key, worker in workers.items() if worker}
        self.runners = {
            key: worker.runner(frames=FRAMES, width=1.0, batch=batch)
            for key, worker in self._workers.items()
        }

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()


def loopback_bytes(run: Runner) -> int:
    """Return the bytes that this machine sends to itself meanwhile."""

    def count() -> int:
        lines = pathlib.Path("/proc/net/dev").read_text().splitlines()
        return int(next(line for line in lines if line.strip().startswith("lo:")).split()[1])

    before = count()
    run()
    return count() - before


if __name__ == "__main__":
    main()
