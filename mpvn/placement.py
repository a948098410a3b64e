"""Puts each subnetwork's variables on its device.

A device must surround both the making of a layer's variables and its call. Executors do the latter;
variables of a model that exists already are somewhere, so the model is rebuilt.
"""

import keras
import tensorflow as tf

from mpvn.plan import Plan


def place(model: keras.Model, plan: Plan) -> keras.Model:
    """A copy of `model` whose layers were built, with the same weights, on the plan's devices.

    A layer that several subnetworks share lies on the device of the first of them. Nested models
    lie where their first node does.
    """
    devices: dict[str, str | None] = {}
    for node in plan.graph.nodes:
        outer = node.name.split("/")[0].split(":")[0]
        devices.setdefault(outer, plan.device(node))

    def build(layer: keras.layers.Layer, *args: object, **kwargs: object) -> object:
        with tf.device(devices.get(layer.name)):
            return layer(*args, **kwargs)

    def remake(layer: keras.layers.Layer) -> keras.layers.Layer:
        with tf.device(devices.get(layer.name)):
            return type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=remake, call_function=build)
    copy.set_weights(model.get_weights())
    return copy
