"""Errors and warnings about video sources."""

import warnings


class VideoError(ValueError):
    """A video source or output file that cannot be used.

    The message states what was expected, what was received, and how to fix it.
    """


class ConnectionLost(VideoError):
    """The data of a stream, camera, download or pipe stopped before its end."""


def no_frames(name: object) -> VideoError:
    """Return the error that nothing of a source decodes, given its name."""
    return VideoError(
        f"{name}: expected at least one frame that decodes. Received: none. "
        "The file is damaged or was cut short: download or record it again."
    )


class Damage:
    """Report damaged data in one source: raise an error if strict, otherwise warn once.

    Args:
        name: Name of the source, for the message.
        strict: Whether damage is an error.

    Attributes:
        allows_cut_end: Whether a missing end is only worth a warning, also if strict.
    """

    def __init__(self, name: str, strict: bool) -> None:
        self.allows_cut_end = False
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
        if self._strict:
            raise VideoError(
                f"{self._message(problem)} Or pass `strict=False` (`--skip-damage`) to read the "
                "frames that decode."
            )
        self._warn(problem)

    def report_end(self, problem: str) -> None:
        """Report that the end is missing. Raises and warns as `report`."""
        if self.allows_cut_end:
            self._warn(problem)
        else:
            self.report(problem)

    def _warn(self, problem: str) -> None:
        if not self._reported:
            self._reported = True
            message = f"{self._message(problem)} Only the frames that decode are returned."
            warnings.warn(message, RuntimeWarning, stacklevel=3)

    def _message(self, problem: str) -> str:
        return (
            f"{self._name}: expected an undamaged video. Received: a damaged one ({problem}). "
            "Download or record it again."
        )
