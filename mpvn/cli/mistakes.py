"""Mistakes of the user: the message is shown without a stack trace."""

import contextlib
from collections.abc import Iterator


class Mistake(Exception):
    """An error that the user can fix. The command shows its message only."""


@contextlib.contextmanager
def as_mistakes() -> Iterator[None]:
    """Raise the errors by which the library rejects its inputs as `Mistake`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise Mistake(str(error) or type(error).__name__) from error
