"""The versions that the processes of a cluster must share, as text."""

import importlib.metadata
import platform
import sys

VERSIONS_VARIABLE = "MPVN_WORKER_VERSIONS"
"""The environment variable in which a worker's server carries its versions."""


def versions_of_this() -> str:
    """Return the versions of this process, without importing TensorFlow."""
    packages = importlib.metadata.packages_distributions()
    tensorflow = importlib.metadata.version(packages["tensorflow"][0])
    python = ".".join(platform.python_version_tuple()[:2])
    version = sys.modules["mpvn"].__version__
    return f"mpvn {version}, TensorFlow {tensorflow}, Python {python}"
