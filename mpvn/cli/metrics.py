"""Print and write the metrics of runs."""

import json
from collections.abc import Mapping
from typing import Any

from mpvn.files import write_atomically


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """Print one metric per line."""
    for name, value in metrics.items():
        print(f"{name:<20} {value:.4f}" if isinstance(value, float) else f"{name:<20} {value}")


def write_json(path: str, results: Mapping[str, Any]) -> None:
    """Write `results` as JSON."""
    write_atomically(path, json.dumps(results, indent=1) + "\n")
