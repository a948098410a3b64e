"""Descriptions of exports as pages of text, for `network.export` and `mpvn inspect`."""

from collections.abc import Iterator
from typing import Any

from mpvn.export.description import Description

GIB = 2**30

MOST_NAMES = 10
"""Names of classes that a page shows."""


def page(description: Description) -> str:
    """Return a description as a page of text."""
    sections = {
        "plan": _plan(description["plan"]),
        "latency": _latency(description),
        "what it knows": _knowledge(description["metadata"]),
        "written with": [", ".join(f"{k} {v}" for k, v in description["versions"].items())],
    }
    head = f"{description['network']}: {description['format']}, {description['form']}"
    lines = "\n".join([head, *_options(description)])
    return "\n\n".join([lines, signatures_text(description), _text(sections)])


def _options(description: Description) -> Iterator[str]:
    if "streams" in description:
        idle = description["idle_seconds"]
        loses = "" if idle is None else f"; one idle for {idle:g} s may lose its place to a new one"
        count = description["streams"]
        yield f"keeps {count} stream{'s' * (count != 1)}{loses}"
    if images := description.get("images"):
        side = images["shorter_side"]
        cut = f" out of frames with a shorter side of {side}" * (side is not None)
        size = " x ".join(map(str, images["size"]))
        yield f"takes pictures ({images['kind']}): {size}{cut}, scaled to {images['pixels']}"


def signatures_text(description: Description) -> str:
    """Return the signatures and the states as text."""
    sections = {
        f"* {key}{_default(description, key)}": list(_signature_lines(description, key))
        for key in description["signatures"]
    }
    return _text({**sections, "states, all zeros at first": _states(description)})


def _text(sections: dict[str, list[str]]) -> str:
    """Return the lines of sections below their titles; sections without lines are left out."""
    return "\n\n".join(
        "\n".join([title, *(f"    {line}" for line in lines)])
        for title, lines in sections.items()
        if lines
    )


def _default(description: Description, key: str) -> str:
    return " (default)" * (key == description.get("default_signature"))


def _signature_lines(description: Description, key: str) -> Iterator[str]:
    states = description["states"]
    following = {state["next"] for state in states.values()} - {None}
    groups = {"x": set(states) if following else set(), "next_x": following}
    for kind, tensors in description["signatures"][key].items():
        moved = {called: names & tensors.keys() for called, names in groups.items()}
        for name, tensor in tensors.items():
            if not any(name in names for names in moved.values()):
                yield f"{kind[:-1]} {_tensor(name, tensor)}"
        for called, names in moved.items():
            if names:
                part = "" if len(names) == len(states) else f"{len(names)} of "
                yield f"{kind[:-1]} {called}: {part}the {len(states)} states x"


def _tensor(name: str, tensor: dict[str, Any]) -> str:
    original = tensor.get("original", name)
    called = "" if original == name else f"   ({original!r} in the network)"
    return f"{name}: {tensor['dtype']} {_shape(tensor['shape'])}{called}"


def _shape(shape: list[int | None] | None) -> str:
    return "of any shape" if shape is None else str(tuple(shape))


def _plan(plan: dict[str, Any]) -> list[str]:
    parts = plan["subnetworks"] + [plan["head"]] * (plan["head"] is not None)
    names = [f"subnetwork {number}" for number in range(len(plan["subnetworks"]))] + ["head"]
    lines = [
        f"{name} from {part['first_node']}: {_clocks(part['clocks'])}"
        for name, part in zip(names, parts, strict=False)
    ]
    costs = plan["costs_of_steps"]
    mean = sum(costs) / len(costs)
    figures = [
        f"period: {plan['period']}",
        f"{plan['cost_unit']} per frame: {mean / 1e6:,.3g} million (mean), "
        f"{max(costs) / 1e6:,.3g} million (worst step)",
    ]
    return lines + figures


def _clocks(clocks: list[list[int]]) -> str:
    return "; ".join(
        f"{nodes} node{'s' * (nodes > 1)} at "
        + ("every step" if rate == 1 else f"every {rate} steps, first at step {phase}")
        for rate, phase, nodes in clocks
    )


def _latency(description: Description) -> list[str]:
    steps = description["latency"]
    ages = {
        name: "feedback alone" if each is None else f"{_range(each)} steps old"
        for name, each in description["ages"].items()
    }
    return [
        f"from a frame to the outputs that have seen it: {steps} step{'s' * (steps != 1)}",
        f"first step whose outputs have all seen a frame: {description['first_informed_step']}"
        f" (memories start {'primed' if description['start'] == 'primed' else 'from zeros'})",
        *(f"{name} tells of frames {text}" for name, text in ages.items()),
    ]


def _range(ages: dict[str, list[int]]) -> str:
    youngest, oldest = min(ages["newest"]), max(ages["oldest"])
    return str(youngest) if youngest == oldest else f"{youngest} to {oldest}"


def _states(description: Description) -> list[str]:
    states, size = description["states"], description["bytes_per_stream"]
    width = max(map(len, states), default=0)
    rows = [
        f"{name:<{width}}  {state['bytes']:>12,} bytes  {state['dtype']} {_shape(state['shape'])}"
        for name, state in states.items()
    ]
    total = [f"{size:,} bytes per stream: {GIB // size:,} streams per GiB"] if states else []
    return rows + total


def _knowledge(metadata: dict[str, Any] | None) -> list[str]:
    if metadata is None:
        return ["nothing: it has no metadata"]
    shown = ("task", "fps", "size", "shorter_side", "pixels")
    lines = [f"{key}: {metadata[key]}" for key in shown if metadata[key] is not None]
    for kind, names in metadata["names"].items():
        more = ", ..." * (len(names) > MOST_NAMES)
        lines.append(f"{len(names)} {kind}: {', '.join(names[:MOST_NAMES])}{more}")
    return lines
