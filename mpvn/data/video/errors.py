"""Errors and warnings about video sources."""

import warnings


class VideoError(ValueError):
    """A video source or output file that cannot be used.

    The message states what was expected, what was received, and how to fix it.
    """


class Damage:
    """Report damaged data in one source: raise an error if strict, otherwise warn once.

    Args:
        name: Name of the source, for the message.
        strict: Whether damage is an error.
    """

    def __init__(self, name: str, strict: bool) -> None:
        self._name = name
        self._strict = strict
        self._reported = False

    def report(self, problem: str) -> None:
        """Report that `problem` was found.

        Raises:
            VideoError: If strict.

        Warns:
            RuntimeWarning: If not strict, at the first call.
        """
        message = (
            f"{self._name}: expected an undamaged video. Received: a damaged one ({problem}). "
            "Download or record it again."
        )
        if self._strict:
            raise VideoError(f"{message} Or pass `strict=False` to read the frames that decode.")
        if not self._reported:
            self._reported = True
            warnings.warn(
                f"{message} Only the frames that decode are returned.", RuntimeWarning, stacklevel=2
            )
