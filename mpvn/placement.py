"""Places each subnetwork's variables on its device.

`tf.device` must surround both the creation of a layer's variables and its call. Executors surround
the calls. The variables of an existing model already have a device, so the model is rebuilt.
"""

import keras
import tensorflow as tf

from mpvn.cluster.devices import check_devices, is_on
from mpvn.plan import Plan


def place(model: keras.Model, plan: Plan) -> keras.Model:
    """Return a copy of `model` with the same weights, built on the plan's devices.

    A layer that several subnetworks share is on the device of the first one. A nested model is on
    the device of its first node. A model that is on these devices already is returned as it is.

    Raises:
        DeviceError: a device does not exist.
        ValueError: the call of a layer was replaced.
    """
    check_devices(plan.devices)
    if _is_placed(model, plan):
        return model
    layers = [layer for node in plan.graph.nodes for layer in node.layers]
    if any("call" in vars(layer) for layer in layers):
        raise ValueError(
            f"Devices: the call of a layer of {model.name!r} was replaced, which a copy would not "
            "have. Expected a model that can be built again on the devices. Override call in a "
            "class."
        )
    is_one_node = plan.graph.nodes[0].operation is model
    copy = _copy_whole(model, plan) if is_one_node else _copy_by_layer(model, plan)
    copy.set_weights(model.get_weights())
    return copy


def _copy_whole(model: keras.Model, plan: Plan) -> keras.Model:
    """Return a copy of a model that has a call of its own, without its weights."""
    config = keras.saving.serialize_keras_object(model)
    with tf.device(plan.devices[0]):
        return keras.saving.deserialize_keras_object(config, {type(model).__name__: type(model)})


def _copy_by_layer(model: keras.Model, plan: Plan) -> keras.Model:
    """Return a functional copy of `model`, without its weights."""
    devices = _devices_of_layers(plan)
    placed: dict[int, str | None] = {}  # by the id of a copy, whose name may be another one

    def copy_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        with tf.device(devices.get(layer.name)):
            copy = type(layer).from_config(layer.get_config())
        placed[id(copy)] = devices.get(layer.name)
        return copy

    def call(copy: keras.layers.Layer, *args: object, **kwargs: object) -> object:
        with tf.device(placed[id(copy)]):
            return copy(*args, **kwargs)

    if isinstance(model, keras.Sequential):  # Keras takes no `call_function` for it
        outputs = plan.graph.pack_outputs(model.outputs)
        model = keras.Model(model.inputs[0], outputs, name=model.name)
    return keras.models.clone_model(model, clone_function=copy_layer, call_function=call)


def _is_placed(model: keras.Model, plan: Plan) -> bool:
    """Return whether all variables of `model` are on the plan's devices."""
    devices = _devices_of_layers(plan)
    pairs = [
        (devices.get(layer.name, plan.devices[0]), variable.value)
        for layer in ([model] if plan.graph.nodes[0].operation is model else model.layers)
        for variable in layer.variables
    ]
    return all(is_on(name, value.device) for name, value in pairs)


def _devices_of_layers(plan: Plan) -> dict[str, str | None]:
    """Return the device of each layer of the plan's model, by its name."""
    devices: dict[str, str | None] = {}
    for node in plan.graph.nodes:
        for part in node.calls:
            outer_layer = part.name.split("/")[0].split(":")[0]
            devices.setdefault(outer_layer, plan.device(node))
    return devices
