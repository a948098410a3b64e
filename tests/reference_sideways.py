"""Sideways in NumPy, a step at a time, written from the papers' index rules.

*Sideways* (CVPR 2020), section 3, and *Skip-Sideways* (CVPR 2021). It shares no code with the
package, and its modules are dense layers whose vector-Jacobian products are written out by hand.
Modules i = 1 .. D and steps t = 1 .. L are counted from 1, as in the papers.
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
        """Products of `g` with the Jacobians in kernel, bias and input, at the input `x`."""
        da = g * (1 - self.forward(x) ** 2)
        return x.T @ da, da.sum(axis=0), da @ self.kernel.T


@dataclasses.dataclass
class Result:
    """What a clip gives.

    Attributes:
        outputs: `[B, L, n]`, the last module's.
        steps: for each module and step, the pseudo-gradients of kernel and bias; None if masked.
        inputs: for each step, the pseudo-gradient sent to the frame that module 1 held, or None.
    """

    outputs: Array
    steps: list[list[tuple[Array, Array] | None]]
    inputs: list[Array | None]

    def mean(self, module: int) -> tuple[Array, Array]:
        """The update of `module`, counted from 0: the mean over the steps that are not masked."""
        kept = [products for products in self.steps[module] if products is not None]
        return tuple(np.mean([products[n] for products in kept], axis=0) for n in (0, 1))


def sideways(
    modules: list[Dense],
    clip: Array,
    targets: Array,
    shortcuts: tuple[int, ...] = (),
    concatenate: bool = False,
    late: int = 0,
    update_every: int | None = None,
    rate: float = 0.0,
) -> Result:
    """A clip under the loss `mean((output - target)^2)` of each step.

    Args:
        modules: M_1 .. M_D.
        clip: `[B, L, n]`.
        targets: `[B, L, m]`, that of each step of arrival.
        shortcuts: offsets k: module l reads module l - k too.
        concatenate: whether several inputs are concatenated; else they are added.
        late: steps by which the mask opens late; 0 is the papers' mask.
        update_every: steps after which the modules, changed in place, take a gradient step
            with the mean over those of its steps that are not masked, if there are any.
        rate: of the descent.
    """
    depth, length, batch = len(modules), clip.shape[1], clip.shape[0]
    widths = [module.kernel.shape[1] for module in modules]
    sources = {
        i: [i - k for k in (1, *shortcuts) if i - k >= 1] if i > 1 else []
        for i in range(1, depth + 1)
    }
    h = {i: np.zeros((batch, widths[i - 1])) for i in range(1, depth + 1)}  # of the last step
    g = {i: np.zeros((batch, widths[i - 1])) for i in range(1, depth + 1)}  # sent to i, likewise
    steps: list[list] = [[] for _ in modules]
    outputs, inputs = [], []
    for t in range(1, length + 1):
        h_now = {}
        g_now = {i: np.zeros_like(g[i]) for i in g}
        for i in range(1, depth + 1):
            read = [h[j] for j in sources[i]] or [clip[:, t - 1]]
            x = np.concatenate(read, axis=-1) if concatenate else sum(read)
            h_now[i] = modules[i - 1].forward(x)
            if i == depth:  # the loss is of the output of this very step
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
                kept = [product for product in products[first:t] if product is not None]
                for name, of_steps in zip(
                    ("kernel", "bias"), zip(*kept, strict=True), strict=False
                ):
                    setattr(module, name, getattr(module, name) - rate * np.mean(of_steps, axis=0))
    return Result(np.stack(outputs, axis=1), steps, inputs)


def back_propagation(
    modules: list[Dense],
    frame: Array,
    target: Array,
    shortcuts: tuple[int, ...] = (),
    concatenate: bool = False,
) -> list[tuple[Array, Array]]:
    """Gradients of kernel and bias of each module for one frame, nothing delayed."""
    depth = len(modules)
    made: dict[int, Array] = {}
    read: dict[int, Array] = {}
    sources = {i: [i - k for k in (1, *shortcuts) if i - k >= 0] for i in range(depth)}
    for i, module in enumerate(modules):
        parts = [made[j] for j in sources[i]] or [frame]
        read[i] = np.concatenate(parts, axis=-1) if concatenate else sum(parts)
        made[i] = module.forward(read[i])
    g = {i: np.zeros_like(made[i]) for i in made}
    g[depth - 1] = 2 * (made[depth - 1] - target) / target.size
    gradients: list = [None] * depth
    for i in reversed(range(depth)):
        kernel, bias, down = modules[i].vjp(read[i], g[i])
        gradients[i] = (kernel, bias)
        position = 0
        for j in sources[i]:
            width = made[j].shape[1]
            g[j] = g[j] + (down[:, position : position + width] if concatenate else down)
            position += width
    return gradients
