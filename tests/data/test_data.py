"""What `mpvn.data` offers: its public names, and the registry of data sets."""

import inspect
import subprocess
import sys

from bare_package import BARE

from mpvn.data import SETS, rendered_figures
from mpvn.data.sets.registry import needs_path


def test_importing_imports_neither_tensorflow_nor_scipy() -> None:
    program = BARE + (
        "import mpvn.data\n"
        "sys.exit(bool({'tensorflow', 'keras', 'scipy', 'pandas'} & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_sets_take_a_path_first_except_the_rendered_one() -> None:
    assert not needs_path("rendered_figures")
    assert SETS["rendered_figures"] is rendered_figures
    for name in SETS.keys() - {"rendered_figures"}:
        path, split, *_ = inspect.signature(SETS[name]).parameters
        assert needs_path(name)
        assert path in ("root", "path")
        assert split == "split"
