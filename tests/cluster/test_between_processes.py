"""Training and streaming between processes equal those in one process.

Turns of loops have 4 steps here, so that clips are shorter than a turn, as long, longer, or two
turns and a rest.
"""

from collections.abc import Iterator

import numpy as np
import pytest
from cluster.local_cluster import LocalCluster, local_cluster

PROGRAM = """
import functools
import keras
import numpy as np
import tensorflow as tf
from clocked_networks import everything, frames
from sideways_networks import WIDTH, dense_modules, fit, module_weights, network
from mpvn import Plan, VideoNetwork
from mpvn.executors import repeat
from mpvn.sideways.back_propagation import GPipeTrainer
from mpvn.sideways.sideways_trainer import SidewaysTrainer

repeat.AT_ONCE = 4


def trained(trainer, modules, shortcuts, devices, steps, known=True, start="zeros", **options):
    rng = np.random.default_rng(steps)
    clip, targets = rng.normal(size=(2, 2, steps, WIDTH))
    weights = rng.integers(2, size=(2, steps)).astype("float32")
    net = network(modules, shortcuts)
    plan = Plan(net.frame_model, boundaries=net.plan.boundaries, devices=devices)
    net = VideoNetwork(net.frame_model, plan, dtype="float64", start=start)
    model = trainer(net, **options)
    loss = keras.losses.MeanSquaredError(dtype="float64")
    model.compile(keras.optimizers.SGD(0.3, momentum=0.5), loss)
    data = tf.data.Dataset.from_tensors((clip, targets, weights))
    data = data.repeat()
    if not known:
        data = tf.data.Dataset.from_generator(
            lambda: [(clip, targets, weights)] * 2,
            output_signature=tuple(
                tf.TensorSpec((2, None, *x.shape[2:]), x.dtype) for x in (clip, targets, weights)
            ),
        )
    history = model.fit(data, epochs=2, steps_per_epoch=1, verbose=0, shuffle=False).history
    outputs = np.asarray(net(clip))
    flat = np.concatenate([w.ravel() for w in module_weights(net, len(modules))])
    return history["loss"], flat.tolist(), outputs.ravel().tolist()


def streamed():
    def last(outputs):
        return outputs["mask"].numpy().ravel().tolist() + outputs["score"].numpy().ravel().tolist()

    given = frames(2, 11)
    clip = {name: np.stack([frame[name] for frame in given], axis=1) for name in given[0]}
    one, placed = everything(), everything(devices=[devices[0], devices[1], devices[0]])
    compiled, by_clip = placed.compile_inference(batch=2), placed.compile_inference(batch=2, clip=4)
    state, after = one.initial_state(2), placed.initial_state(2)
    for frame in given:
        expected, state = one.step(frame, state)
        outputs, after = placed.step(frame, after)
    late, state = [*compiled.stream(given, compiled.initial_state(2), 3)][-1]
    stepped = compiled.initial_state(2)
    for frame in given:
        by_step, stepped = compiled.step(frame, stepped)
    at_once, _ = by_clip.run(clip, by_clip.initial_state(2))
    unrolled, _ = placed.run(clip, placed.initial_state(2))
    clips = [{name: x[:, -1] for name, x in each.items()} for each in (at_once, unrolled)]
    kept = {value.device for name, value in state.items() if name in placed.plan.histories.devices
            if placed.plan.histories.devices[name]}
    return [*map(last, (expected, outputs, late, by_step, *clips))], sorted(kept)


answer = {"streams": streamed()}
for name, (kind, depth, shortcuts, steps, options) in CASES.items():
    modules = dense_modules(depth, np.random.default_rng(1))
    kinds = {"Sideways": SidewaysTrainer, "GPipe": GPipeTrainer}
    train = functools.partial(trained, kinds[kind], modules, shortcuts, steps=steps, **options)
    placed = [devices[part * len(devices) // depth] for part in range(depth)]
    answer[name] = train(devices=None), train(devices=placed)
"""

CASES = {
    "shorter than a turn": ("Sideways", 2, (), 3, {}),
    "a turn, latency 0": ("Sideways", 2, (), 4, {"latency": 0}),
    "longer than a turn, a shortcut, primed": ("Sideways", 3, (2,), 5, {"start": "primed"}),
    "two turns and a rest, a shortcut": ("Sideways", 3, (2,), 9, {}),
    "unknown length": ("Sideways", 2, (), 7, {"known": False}),
    "an update at every step": ("Sideways", 2, (), 9, {"update_every": 1}),
    "an update every 3 steps, with a rest": ("Sideways", 3, (2,), 8, {"update_every": 3}),
    "unknown length, an update every 2": (
        "Sideways",
        2,
        (),
        7,
        {"update_every": 2, "known": False},
    ),
    "GPipe": ("GPipe", 2, (), 4, {"update_every": 2}),
}
"""Trainer, subnetworks, shortcuts, steps of the clip, and options."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def results(cluster: LocalCluster) -> dict[str, list]:
    return cluster.run(PROGRAM.replace("CASES", repr(CASES)))


@pytest.mark.parametrize("name", CASES)
def test_losses_weights_and_outputs_are_those_of_one_process(
    name: str, results: dict[str, list]
) -> None:
    one, several = results[name]
    for ours, expected in zip(several, one, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-9)
    losses, weights, _ = one
    assert losses[1] != losses[0] and np.isfinite(weights).all()


def test_streams_are_those_of_one_process_and_their_states_stay_on_the_workers(
    results: dict[str, list],
) -> None:
    (expected, *others), devices = results["streams"]
    assert len(others) == 5 and np.ptp(expected) > 0.1
    for outputs in others:
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)
    assert devices == [f"/job:worker/replica:0/task:{task}/device:CPU:0" for task in (0, 1)]
