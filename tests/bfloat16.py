"""Skips tests on machines that do not compute in bfloat16."""

import pytest

from mpvn.runtime import on_openvino, on_tensorflow

_MODULES = {"tensorflow": on_tensorflow, "openvino": on_openvino}


def needs_bfloat16(runtime: str) -> None:
    """Skip the test if a runtime does not compute in bfloat16 on this machine."""
    if not _MODULES[runtime].computes_in_bfloat16():
        pytest.skip(f"{runtime} does not compute in bfloat16 on this machine")
