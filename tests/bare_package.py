"""Programs of other processes that import a part of the package without TensorFlow."""

import pathlib

import mpvn

BARE = f"""
import sys, types
package = types.ModuleType("mpvn"); package.__path__ = [{str(pathlib.Path(mpvn.__file__).parent)!r}]
sys.modules["mpvn"] = package
"""
"""First lines: an empty package stands in for `mpvn`, whose import of TensorFlow takes seconds."""
