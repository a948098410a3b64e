"""One worker of `scaling.py`: a process of one thread on a core of its own that times its steps.

With several workers, each runs this program, and TensorFlow sums their gradients, bucket by bucket
(`tf.distribute.MultiWorkerMirroredStrategy` over gRPC). The weights are changed by plain gradient
descent. The first worker prints its seconds as JSON.
"""

import dataclasses
import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

BUCKET = 1 << 20
"""Bytes of gradients that travel together, so that the last layers' need not wait for the first."""

MESSAGES = (1 << 10, 1 << 22)
"""Numbers of float32 whose sum over the workers is timed: 4 KiB and 16 MiB."""


@dataclasses.dataclass(frozen=True)
class Work:
    """What a worker does.

    Attributes:
        network: name of a published network.
        width, size: factor of its channels; height and width of the frames.
        frames, clips: frames of a clip; clips of a worker's batch.
        videos: paths of video files.
        rounds: times that each thing is timed.
        addresses: of all workers.
        task: number of this worker.
    """

    network: str
    width: float
    size: int
    frames: int
    clips: int
    videos: list[str]
    rounds: int
    addresses: list[str]
    task: int = 0


def main() -> None:
    work = Work(**json.loads(sys.argv[1]))
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[work.task % len(cores)]})
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    cluster = tf.train.ClusterSpec({"worker": work.addresses})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster, task_type="worker", task_id=work.task, rpc_layer="grpc"
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    result = measure(work, strategy)
    if work.task == 0:
        print(json.dumps(result))


def measure(work: Work, strategy: Any) -> dict[str, Any]:
    """Return medians in seconds, the bytes of the gradients, and of the loopback interface."""
    import tensorflow as tf

    network = video_network(work)
    shape = (work.clips, work.frames, work.size, work.size, 3)
    fixed = tf.random.normal(shape)
    forward = tf.function(lambda clips: tf.reduce_sum(network(clips, training=True)))
    step = training_step(network, strategy)
    batches = iter(pipeline(work).dataset())
    result = {
        "forward": median(lambda: forward(fixed), work.rounds),
        "step": median(lambda: step(fixed), work.rounds),
        "input": median(lambda: next(batches), work.rounds),
        "step with input": median(lambda: step(next(batches)["frames"]), work.rounds),
        "gradients": sum(4 * weight.shape.num_elements() for weight in weights(network)),
    }
    if len(work.addresses) > 1:
        before = loopback()
        step(fixed)
        result["loopback"] = loopback() - before
        result["messages"] = {4 * n: summing(strategy, n, work.rounds) for n in MESSAGES}
    return result


def video_network(work: Work) -> Any:
    """Return the network, with equal random weights in all workers."""
    import keras

    import mpvn
    from mpvn.models import PUBLISHED

    keras.utils.set_random_seed(0)
    published = PUBLISHED[work.network]
    model = published.build((work.size, work.size, 3), width=work.width, classes=400)
    return mpvn.VideoNetwork(model, published.plan(model))


def training_step(network: Any, strategy: Any) -> Callable[[Any], Any]:
    """Return a step of gradient descent in which the gradients are summed over all workers."""
    import tensorflow as tf

    variables = weights(network)
    options = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=BUCKET)

    def step(clips):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(network(clips, training=True)))
        context = tf.distribute.get_replica_context()
        gradients = tape.gradient(loss, variables)
        for variable, gradient in zip(
            variables,
            context.all_reduce(tf.distribute.ReduceOp.SUM, gradients, options),
            strict=True,
        ):
            variable.assign_sub(1e-4 * gradient)
        return loss

    return tf.function(lambda clips: strategy.run(step, args=(clips,)), autograph=False)


def weights(network: Any) -> list[Any]:
    """Return the variables that are trained."""
    return [weight.value for weight in network.trainable_variables]


def pipeline(work: Work) -> Any:
    """Return the clips of the videos, without end: 64 frames of each, strided, augmented."""
    from mpvn.data import VideoSet
    from mpvn.data.clips.augmentation import Augmentation
    from mpvn.data.clips.pipeline import ClipPipeline
    from mpvn.data.clips.sampling import Consecutive
    from mpvn.data.sets.files import FileVideo

    return ClipPipeline(
        VideoSet("benchmark", [FileVideo(path) for path in work.videos]),
        Consecutive(work.frames, stride=64 // work.frames),
        Augmentation((work.size, work.size)),
        work.clips,
        seed=work.task,
        training=True,
        on_error="raise",
    )


def summing(strategy: Any, size: int, rounds: int) -> float:
    """Return the seconds to sum `size` float32 over all workers."""
    import tensorflow as tf

    values = tf.ones(size)

    def total(x):
        context = tf.distribute.get_replica_context()
        here = tf.identity(x)  # a tensor without a device cannot be summed
        return context.all_reduce(tf.distribute.ReduceOp.SUM, here)

    run = tf.function(lambda x: strategy.run(total, args=(x,)), autograph=False)
    return median(lambda: run(values), rounds)


def median(call: Callable[[], Any], rounds: int) -> float:
    """Return the median seconds of a call, after two that do not count."""
    seconds = []
    for _ in range(rounds + 2):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[2:])


def loopback() -> int:
    """Return the bytes that this machine has sent to itself; 0 where the system does not tell."""
    file = pathlib.Path("/proc/net/dev")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((int(x.split()[1]) for x in lines if x.strip().startswith("lo:")), 0)


if __name__ == "__main__":
    main()
