"""Import TensorFlow without its start-up messages."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mpvn.cli.mistakes import as_mistakes

if TYPE_CHECKING:
    from mpvn.cluster.devices import Devices


def import_tensorflow(
    threads: int | None = None, devices: "Devices" = None, start: bool = True
) -> None:
    """Import TensorFlow and start it.

    Args:
        threads: number of threads of a step; None for TensorFlow's own choice. It counts for the
            first import in a process.
        devices: those of subnetworks; the logical CPUs among them are created. They count for the
            first start in a process.
        start: whether to start it, too. Else `start_tensorflow` does that later.

    Raises:
        Mistake: `devices` are none.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silently():
        import tensorflow as tf

        if threads is not None:
            with contextlib.suppress(RuntimeError):  # it has started; the runtime will say so
                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(threads)
    if start:
        start_tensorflow(devices)


def start_tensorflow(devices: "Devices" = None) -> None:
    """Start TensorFlow; `devices` as in `import_tensorflow`."""
    import tensorflow as tf

    if devices is not None:
        from mpvn.cluster.devices import start_devices

        with as_mistakes():
            start_devices(devices)
    with _silently():
        tf.config.list_logical_devices()


@contextlib.contextmanager
def _silently() -> Iterator[None]:
    """Hide what TensorFlow writes to stderr meanwhile, unless there is an error.

    `TF_CPP_MIN_LOG_LEVEL` does not turn off all of it, so redirect the file descriptor.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except BaseException:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
