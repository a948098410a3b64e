"""One entry for every public export: how to build and feed it, or why it is not tested here.

A new name in `__all__` without an entry fails `test_conformance.py`, which runs each case through
everything that Keras users do with a layer. Networks and `Sideways` are slow to trace: `SPARED`
names the laws that some of them leave to another one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import keras_layers
import mpvn

FRAME = (6, 6, 2)


@dataclass(frozen=True)
class Case:
    """One layer or model, and its inputs.

    Attributes:
        make: builds a new layer, with the global dtype policy.
        shapes: shape of each input without batch and time, by name; a single input is called "".
        trained: whether the layer has trainable weights.
    """

    make: Callable[[], keras.layers.Layer]
    shapes: dict[str, tuple[int, ...]]
    trained: bool = True

    def inputs(self, rng: np.random.Generator, batch: int = 2, steps: int = 6) -> Any:
        """Return random clips in the structure of the layer's inputs."""
        clips = {
            name: rng.normal(size=(batch, steps, *shape)).astype("float32")
            for name, shape in self.shapes.items()
        }
        return clips.get("", clips)

    def symbols(self) -> Any:
        """Return `keras.Input`s with unknown batch and time in the same structure."""
        symbols = {
            name: keras.Input((None, *shape), name=name or None)
            for name, shape in self.shapes.items()
        }
        return symbols.get("", symbols)

    def specs(self) -> Any:
        """Return `tf.TensorSpec`s with unknown batch and time in the same structure."""
        specs = {
            name: tf.TensorSpec((None, None, *shape), name=name)
            for name, shape in self.shapes.items()
        }
        return specs.get("", specs)


@keras.saving.register_keras_serializable(package="tests")
class Difference(keras_layers.TemporalLayer):
    """The newest frame of the window minus the oldest: a minimal temporal layer."""

    def compute(self, window: list) -> Any:
        return window[-1] - window[0]

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        return frame_shape


# --- cells ------------------------------------------------------------------------------------


def recurrent(cell: keras.layers.Layer) -> keras.layers.RNN:
    """Let Keras's own loop run a cell."""
    return layers.RNN(cell, return_sequences=True)


def clocked_cell() -> keras.layers.RNN:
    return recurrent(keras_layers.SubnetworkCell(layers.Dense(4, "tanh"), rate=3, phase=1))


def stacked_cells() -> keras.layers.RNN:
    first = keras_layers.SubnetworkCell(layers.Dense(4, "tanh"), delay=1)
    return recurrent([first, keras_layers.SubnetworkCell(layers.Dense(3), rate=2)])


def network_cell() -> keras.layers.RNN:
    network = clocked()
    return recurrent(network.cell())


# --- modules that train by Sideways -----------------------------------------------------------


def sideways_chain() -> keras_layers.Sideways:
    body = [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()]
    head = [layers.GlobalAveragePooling2D(), layers.Dropout(0.3), layers.Dense(3)]
    return keras_layers.Sideways([keras.Sequential(body), keras.Sequential(head)])


def sideways_shortcut(merge: str) -> keras_layers.Sideways:
    filters = [4, 3, 2] if merge == "project" else [3, 3, 3]
    strides = [1, 1, 2] if merge == "add" else [1, 2, 1]
    modules = [
        layers.Conv2D(count, 3, stride, padding="same", activation="tanh")
        for count, stride in zip(filters, strides, strict=True)
    ]
    return keras_layers.Sideways(modules, [2], merge)


# --- networks ---------------------------------------------------------------------------------


def residual_model(temporal: bool = False) -> keras.Model:
    """Build a residual block, pooling, batch norm, dropout, and a classifier."""

    def conv(filters: int, strides: int = 1) -> keras.layers.Layer:
        if temporal:
            return keras_layers.TemporalConv3D(filters, (2, 3, 3), (strides, strides, strides))
        return layers.Conv2D(filters, 3, strides, padding="same")

    frame = keras.Input(FRAME)
    x = layers.BatchNormalization()(conv(4)(frame))
    x = layers.ReLU()(x)
    shortcut = x
    x = layers.BatchNormalization()(conv(4)(x))
    x = layers.ReLU()(layers.Add()([shortcut, x]))
    x = conv(6, strides=2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.3)(x)
    return keras.Model(frame, layers.Dense(3)(x))


def sequential() -> mpvn.VideoNetwork:
    return mpvn.VideoNetwork(residual_model())


def pipelined() -> mpvn.VideoNetwork:
    model = residual_model()
    return mpvn.VideoNetwork(model, mpvn.Plan(model, 3), executor="layerwise")


def rematerializing() -> mpvn.VideoNetwork:
    network = pipelined()
    network.rematerialize = True
    return network


def sideways() -> mpvn.VideoNetwork:
    network = pipelined()
    network.gradient = "sideways"
    return network


def clocked() -> mpvn.VideoNetwork:
    model = residual_model()
    plan = mpvn.Plan(model, 3, clocks=[1, 2, 2], head=model.layers[-1].name)
    return mpvn.VideoNetwork(model, plan, executor="unroll")


def temporal() -> mpvn.VideoNetwork:
    model = residual_model(temporal=True)
    return mpvn.VideoNetwork(model, mpvn.Plan(model, 2), executor="layerwise")


def temporal_unrolled() -> mpvn.VideoNetwork:
    network = temporal()
    network.executor = "unroll"
    return network


def recurrent_maps() -> mpvn.VideoNetwork:
    frame = keras.Input(FRAME)
    x = layers.Conv2D(2, 3, 2, activation="tanh")(frame)
    x = keras_layers.TemporalConvLSTM2D(2, 1)(x)
    model = keras.Model(frame, layers.GlobalAveragePooling2D()(x))
    plan = mpvn.Plan(model, 2, clocks=[1, 2])
    return mpvn.VideoNetwork(model, plan, executor="layerwise")


def symmetric() -> mpvn.VideoNetwork:
    frame = keras.Input(FRAME)
    x = keras_layers.TemporalConv3D(3, 3, temporal_padding="symmetric")(frame)
    x = keras_layers.TemporalMaxPooling3D((3, 2, 2), 1, temporal_padding="symmetric")(x)
    return mpvn.VideoNetwork(keras.Model(frame, layers.Conv2D(2, 1)(x)))


def feedback() -> mpvn.VideoNetwork:
    frame = keras.Input(FRAME)
    previous = keras_layers.Feedback("opinion", (6, 6, 3))(frame)
    x = layers.Concatenate()([frame, previous])
    x = layers.Conv2D(4, 3, padding="same", activation="tanh")(x)
    opinion = layers.Conv2D(3, 1, activation="tanh", name="opinion")(x)
    model = keras.Model(frame, opinion)
    return mpvn.VideoNetwork(model, mpvn.Plan(model, boundaries=["opinion"], clocks=[1, 2]))


def two_ends() -> mpvn.VideoNetwork:
    """Build two inputs and two outputs, by name; the second output has a slow clock."""
    image, flow = keras.Input(FRAME, name="image"), keras.Input((6, 6, 1), name="flow")
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="appearance")(image)
    y = layers.Conv2D(3, 3, padding="same", activation="relu", name="motion")(flow)
    x = layers.Add(name="both")([x, y])
    mask = layers.Conv2D(1, 1, name="mask_logits")(x)
    score = layers.Dense(2, name="score_logits")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model({"image": image, "flow": flow}, {"mask": mask, "score": score})
    plan = mpvn.Plan(model, boundaries=["both"], clocks=[1, 2], phases="aligned")
    return mpvn.VideoNetwork(model, plan)


ONE = {"": FRAME}
VECTORS = {"": (5,)}
TWO = {"image": FRAME, "flow": (6, 6, 1)}

REGISTRY: dict[str, dict[str, Case] | str] = {
    "keras_layers.Boundary": {
        "exact": Case(keras_layers.Boundary, ONE, trained=False),
        "sideways": Case(lambda: keras_layers.Boundary("sideways", start=3), ONE, trained=False),
    },
    "keras_layers.DepthToSpace": {
        "columns": Case(lambda: keras_layers.DepthToSpace((1, 2)), ONE, trained=False)
    },
    "keras_layers.Feedback": {
        "alone": Case(lambda: keras_layers.Feedback("later", (4,)), ONE, trained=False)
    },
    "keras_layers.NonLocal": {
        "causal": Case(lambda: keras_layers.NonLocal(frames=3), ONE),
        "symmetric": Case(
            lambda: keras_layers.NonLocal(2, 3, (1, 2), temporal_padding="symmetric"), ONE
        ),
    },
    "keras_layers.RecurrentLayer": "abstract; one of a user: tests/layers/test_recurrent.py",
    "keras_layers.ShortcutMerge": "takes a list of maps: tests/layers/test_sideways.py",
    "keras_layers.Sideways": {
        "chain": Case(sideways_chain, ONE),
        "adding": Case(lambda: sideways_shortcut("add"), ONE),
        "concatenating": Case(lambda: sideways_shortcut("concatenate"), ONE),
        "projecting": Case(lambda: sideways_shortcut("project"), ONE),
    },
    "keras_layers.SpaceTimeToDepth": {
        "causal": Case(lambda: keras_layers.SpaceTimeToDepth((2, 3, 2)), ONE, trained=False),
        "symmetric": Case(
            lambda: keras_layers.SpaceTimeToDepth(2, temporal_padding="symmetric"),
            ONE,
            trained=False,
        ),
    },
    "keras_layers.SpaceToDepth": {
        "square": Case(lambda: keras_layers.SpaceToDepth(2), ONE, trained=False),
        "rows and columns": Case(lambda: keras_layers.SpaceToDepth((3, 2)), ONE, trained=False),
    },
    "keras_layers.SubnetworkCell": {
        "clocked": Case(clocked_cell, VECTORS),
        "stacked": Case(stacked_cells, VECTORS),
    },
    "keras_layers.TemporalAveragePooling3D": {
        "strided": Case(
            lambda: keras_layers.TemporalAveragePooling3D((3, 2, 2), (2, 2, 2), "same"),
            ONE,
            trained=False,
        )
    },
    "keras_layers.TemporalConv3D": {
        "causal": Case(lambda: keras_layers.TemporalConv3D(3, (2, 3, 3), activation="tanh"), ONE),
        "strided": Case(lambda: keras_layers.TemporalConv3D(3, 3, 2, "valid"), ONE),
        "symmetric": Case(
            lambda: keras_layers.TemporalConv3D(3, 3, temporal_padding="symmetric"), ONE
        ),
        "dilated": Case(
            lambda: keras_layers.TemporalConv3D(3, 2, dilation_rate=2, use_bias=False), ONE
        ),
    },
    "keras_layers.TemporalConvGRU2D": {
        "strided": Case(lambda: keras_layers.TemporalConvGRU2D(3, (2, 3), (2, 1)), ONE)
    },
    "keras_layers.TemporalConvLSTM2D": "in the recurrent network below",
    "keras_layers.TemporalLayer": {
        "subclass": Case(lambda: Difference(3, temporal_stride=2), ONE, trained=False)
    },
    "keras_layers.TemporalMaxPooling3D": {
        "strided": Case(
            lambda: keras_layers.TemporalMaxPooling3D((2, 2, 2), (1, 2, 2)), ONE, trained=False
        )
    },
    "keras_layers.TemporalRelation": {
        "three frames": Case(lambda: keras_layers.TemporalRelation(2, 3, hidden=4), VECTORS)
    },
    "keras_layers.TemporalShift": {
        "causal": Case(lambda: keras_layers.TemporalShift("causal", 2), ONE, trained=False),
        "symmetric": Case(lambda: keras_layers.TemporalShift(divisor=2), ONE, trained=False),
    },
    "mpvn.Clock": "a pair of ints, not a layer: tests/plan/",
    "mpvn.Plan": "data about a model, not a layer: tests/plan/",
    "mpvn.Metadata": "a dataclass: tests/test_metadata.py",
    "mpvn.PlanError": "an exception: tests/plan/",
    "mpvn.calibration_clips": "a function: tests/prediction/test_calibration.py",
    "mpvn.predict": "a function: tests/prediction/",
    "mpvn.VideoNetwork": {
        "as a cell": Case(network_cell, ONE),
        "sequential": Case(sequential, ONE),
        "pipelined": Case(pipelined, ONE),
        "rematerializing": Case(rematerializing, ONE),
        "sideways": Case(sideways, ONE),
        "clocked": Case(clocked, ONE),
        "temporal": Case(temporal, ONE),
        "temporal unrolled": Case(temporal_unrolled, ONE),
        "recurrent": Case(recurrent_maps, ONE),
        "symmetric": Case(symmetric, ONE),
        "feedback": Case(feedback, ONE),
        "two ends": Case(two_ends, TWO),
    },
}

CASES = {
    f"{name.split('.')[1]}, {label}": case
    for name, entry in REGISTRY.items()
    if not isinstance(entry, str)
    for label, case in entry.items()
}

NETWORKS = [name for name in CASES if name.startswith("VideoNetwork")]

# Laws and cases that could not fail unless the last case fails, too. New cases have all laws.
SPARED: list[tuple[set[str], list[str], str]] = [
    # The same layers and weights, and forward no more: `sideways` also replaces gradients.
    (
        {"xla", "saved model", "mixed precision", "checkpoint"},
        [f"VideoNetwork, {label}" for label in ("sequential", "pipelined", "rematerializing")],
        "VideoNetwork, sideways",
    ),
    # The same layers with their windows; `symmetric` runs such layers layer by layer.
    (
        {"xla", "saved model", "mixed precision", "checkpoint"},
        ["VideoNetwork, temporal"],
        "VideoNetwork, temporal unrolled",
    ),
    # Exact gradients layer by layer. Their own: of rematerialization, recurrence and two outputs.
    (
        {"fit"},
        [f"VideoNetwork, {label}" for label in ("sequential", "pipelined", "symmetric")],
        "VideoNetwork, temporal",
    ),
    # Gradients through a loop over the steps; this one also fits under XLA.
    ({"fit"}, ["VideoNetwork, temporal unrolled"], "VideoNetwork, clocked"),
    # What `predict` adds to a traced call is batches and structures of outputs.
    (
        {"predict"},
        [n for n in NETWORKS if not n.endswith(("as a cell", "clocked", "two ends"))],
        "VideoNetwork, two ends",
    ),
    # A shortcut is merged in one place; the eager laws tell the ways to merge apart.
    (
        {"xla", "saved model", "fit"},
        ["Sideways, adding", "Sideways, concatenating"],
        "Sideways, projecting",
    ),
    (
        {"predict"},
        ["Sideways, adding", "Sideways, concatenating", "Sideways, projecting"],
        "Sideways, chain",
    ),
]


def cases_of(law: str, trained: bool = False) -> dict[str, Case]:
    """Return the cases of a law by name, only those with weights if `trained`."""
    spared = {name for laws, names, _ in SPARED if law in laws for name in names}
    return {n: c for n, c in CASES.items() if n not in spared and (c.trained or not trained)}
