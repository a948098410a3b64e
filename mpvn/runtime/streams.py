"""Clips through compiled networks, step by step."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from mpvn.runtime.compiled import CompiledNetwork


def stream(
    networks: Sequence[CompiledNetwork], clip: list[np.ndarray]
) -> Iterator[tuple[int, list[list[np.ndarray]]]]:
    """Run clips from their start; yield the number of each step, and each network's outputs.

    Args:
        networks: networks with the same inputs.
        clip: `[B, T, ...]` for each input of the frame model.

    Yields:
        The number of the step; for each network, its outputs `[B, ...]`, flattened.
    """
    states = [network.initial_state(len(clip[0])) for network in networks]
    structure = networks[0].graph.input_structure
    for number in range(clip[0].shape[1]):
        frame = keras.tree.pack_sequence_as(structure, [frames[:, number] for frames in clip])
        outputs = []
        for index, network in enumerate(networks):
            values, states[index] = network.step(frame, states[index])
            outputs.append([np.asarray(value) for value in keras.tree.flatten(values)])
        yield number, outputs


def clip_outputs(network: CompiledNetwork, clip: Any) -> Any:
    """Return the outputs of clips, as a call of the network that was compiled.

    Args:
        network: the compiled network.
        clip: `[B, T, ...]`, in the structure of the frame model's inputs.

    Returns:
        `[B, T, ...]` for each output of the frame model.
    """
    graph = network.graph
    frames = [np.asarray(value) for value in graph.pack_inputs(clip)]
    steps = [outputs for _, (outputs,) in stream([network], frames)]
    stacked = [np.stack(each, axis=1) for each in zip(*steps, strict=True)]
    return keras.tree.pack_sequence_as(graph.output_structure, stacked)
