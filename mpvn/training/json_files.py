"""JSON files of a run folder, read with messages that name the file."""

import json
import pathlib
from typing import Any


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        ValueError: the file cannot be read, is cut, or holds something else.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as fault:
        raise damaged(path, str(fault)) from fault
    if not isinstance(content, dict):
        raise damaged(path, f"it holds {type(content).__name__}")
    return content


def damaged(path: pathlib.Path, problem: str) -> ValueError:
    """Return the error of a file that is not what a run has written."""
    return ValueError(
        f"{path} is damaged. Expected what the run wrote into it. Received: {problem}. Restore the "
        "file from a copy, or choose another folder for a new run"
    )
