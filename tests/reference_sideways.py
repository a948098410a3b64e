"""Sideways in NumPy, step by step, written from the index rules of the papers.

*Sideways* (CVPR 2020), section 3.4, and *Skip-Sideways* (CVPR 2021). It shares no code with the
package: modules are dense layers with hand-written vector-Jacobian products. Modules i = 1 .. D and
steps t = 1 .. L are counted from 1, as in the papers.
"""

import dataclasses

import numpy as np

Array = np.ndarray


@dataclasses.dataclass
class Dense:
    """`tanh(x kernel + bias)`."""

    kernel: Array
    bias: Array

    def forward(self, x: Array) -> Array:
        return np.tanh(x @ self.kernel + self.bias)

    def vjp(self, x: Array, g: Array) -> tuple[Array, Array, Array]:
        """Return `g` times the Jacobians by kernel, bias and input, at the input `x`."""
        da = g * (1 - self.forward(x) ** 2)
        return x.T @ da, da.sum(axis=0), da @ self.kernel.T


@dataclasses.dataclass
class Result:
    """The results for a clip.

    Attributes:
        outputs: `[B, L, n]` of the last module.
        steps: for each module and step, the pseudo-gradients of kernel and bias; None if masked.
        inputs: for each step, the pseudo-gradient of the frame in module 1; None if masked.
    """

    outputs: Array
    steps: list[list[tuple[Array, Array] | None]]
    inputs: list[Array | None]

    def mean(self, module: int) -> tuple[Array, Array]:
        """Return the mean over the unmasked steps of `module`, counted from 0."""
        steps = [products for products in self.steps[module] if products is not None]
        return tuple(np.mean([products[n] for products in steps], axis=0) for n in (0, 1))


def sideways(
    modules: list[Dense],
    clip: Array,
    targets: Array,
    shortcuts: tuple[int, ...] = (),
    concatenate: bool = False,
    late: int = 0,
    update_every: int | None = None,
    rate: float = 0.0,
    primed: bool = False,
) -> Result:
    """Run a clip under the loss `mean((output - target)^2)` of each step.

    Args:
        modules: M_1 .. M_D.
        clip: `[B, L, n]`.
        targets: `[B, L, m]`, one for the output of each step.
        shortcuts: offsets k: module l also reads module l - k.
        concatenate: whether inputs are concatenated; otherwise they are added.
        late: steps by which the masks open too late; 0 for the papers' masks.
        update_every: steps between updates. An update changes the modules in place by a gradient
            step with the mean over the unmasked steps since the last update.
        rate: the learning rate.
        primed: whether h starts from the first frame, run through all modules without delay. Then
            the masks open when the gradient of the first loss arrives.
    """
    depth, length, batch = len(modules), clip.shape[1], clip.shape[0]
    widths = [module.kernel.shape[1] for module in modules]
    sources = {i: [i - k for k in (1, *shortcuts) if i - k >= 1] for i in range(1, depth + 1)}
    h = {i: np.zeros((batch, widths[i - 1])) for i in range(1, depth + 1)}  # of the last step
    g = {i: np.zeros((batch, widths[i - 1])) for i in range(1, depth + 1)}  # sent to i at that step
    if primed:
        h = _undelayed(modules, clip[:, 0], sources, concatenate)
        late -= depth - 1
    steps: list[list] = [[] for _ in modules]
    outputs, inputs = [], []
    for t in range(1, length + 1):
        h_now = {}
        g_now = {i: np.zeros_like(g[i]) for i in g}
        for i in range(1, depth + 1):
            read = [h[j] for j in sources[i]] or [clip[:, t - 1]]
            x = np.concatenate(read, axis=-1) if concatenate else sum(read)
            h_now[i] = modules[i - 1].forward(x)
            if i == depth:  # the loss of this step's output
                g[i] = 2 * (h_now[i] - targets[:, t - 1]) / h_now[i].size
            if t < 2 * depth - i + late:
                steps[i - 1].append(None)
                if i == 1:
                    inputs.append(None)
                continue
            *of_weights, down = modules[i - 1].vjp(x, g[i])
            steps[i - 1].append(tuple(of_weights))
            if i == 1:
                inputs.append(down)
            position = 0
            for j in sources[i]:
                part = down[:, position : position + widths[j - 1]] if concatenate else down
                g_now[j] = g_now[j] + part
                position += widths[j - 1]
        h, g = h_now, g_now
        outputs.append(h[depth])
        if update_every and (t % update_every == 0 or t == length):
            first = (t - 1) // update_every * update_every
            for module, products in zip(modules, steps, strict=True):
                _update(module, products[first:t], rate)
    return Result(np.stack(outputs, axis=1), steps, inputs)


def _undelayed(
    modules: list[Dense], frame: Array, sources: dict[int, list[int]], concatenate: bool
) -> dict[int, Array]:
    """Return the output of each module for one frame."""
    h: dict[int, Array] = {}
    for i, module in enumerate(modules, 1):
        read = [h[j] for j in sources[i]] or [frame]
        h[i] = module.forward(np.concatenate(read, axis=-1) if concatenate else sum(read))
    return h


def _update(module: Dense, products: list, rate: float) -> None:
    """Change `module` in place by a gradient step with the mean over the unmasked steps."""
    unmasked = [product for product in products if product is not None]
    names = ("kernel", "bias")
    for name, gradients in zip(names, zip(*unmasked, strict=True), strict=False):
        setattr(module, name, getattr(module, name) - rate * np.mean(gradients, axis=0))


def back_propagation(
    modules: list[Dense], frame: Array, target: Array, shortcuts: tuple[int, ...] = ()
) -> list[tuple[Array, Array]]:
    """Return the gradients of kernel and bias of each module for one frame, without delays."""
    depth = len(modules)
    outputs: dict[int, Array] = {}
    inputs: dict[int, Array] = {}
    sources = {i: [i - k for k in (1, *shortcuts) if i - k >= 0] for i in range(depth)}
    for i, module in enumerate(modules):
        inputs[i] = sum([outputs[j] for j in sources[i]] or [frame])
        outputs[i] = module.forward(inputs[i])
    g = {i: np.zeros_like(outputs[i]) for i in outputs}
    g[depth - 1] = 2 * (outputs[depth - 1] - target) / target.size
    gradients: list = [None] * depth
    for i in reversed(range(depth)):
        kernel, bias, down = modules[i].vjp(inputs[i], g[i])
        gradients[i] = (kernel, bias)
        for j in sources[i]:
            g[j] = g[j] + down
    return gradients
