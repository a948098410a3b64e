"""Run the `mpvn` command in tests: in this process, or in a new one."""

import contextlib
import io
import re
import sys

from mpvn import cli


def mpvn(*arguments: object) -> int:
    """Run the command in this process, which has imported TensorFlow already."""
    return cli.main([str(argument) for argument in arguments])


def process_arguments(*arguments: object) -> list[str]:
    """Return the arguments that run the command in a new process."""
    return [sys.executable, "-m", "mpvn.cli", *map(str, arguments)]


def assert_mistake(message: str, *arguments: object) -> None:
    """Assert that the command ends with exit code 2 and one message that matches `message`."""
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr):
        try:
            code = mpvn(*arguments)
        except SystemExit as error:  # From the argument parser.
            code = error.code
    assert code == cli.EXIT_MISTAKE, stderr.getvalue()
    assert "Traceback" not in stderr.getvalue()
    assert re.search(message, stderr.getvalue(), re.DOTALL), stderr.getvalue()
