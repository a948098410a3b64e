"""Import TensorFlow without its start-up messages."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mpvn.cli.clusters import check_cluster, connect_once
from mpvn.cli.mistakes import Mistake, as_mistakes

if TYPE_CHECKING:
    from mpvn.cluster.devices import Devices


def import_tensorflow(
    threads: int | None = None,
    devices: "Devices" = None,
    cluster: str | None = None,
    start: bool = True,
) -> None:
    """Import TensorFlow and start it.

    Args:
        threads: number of threads of a step; None for TensorFlow's own choice. It counts for the
            first import in a process.
        devices: those of subnetworks; the logical CPUs among them are created. They count for the
            first start in a process.
        cluster: a cluster file, of which this process becomes the chief.
        start: whether to start it, too. Else `start_tensorflow` does that later.

    Raises:
        Mistake: `devices` are invalid, or this process cannot become the chief.
    """
    if cluster is not None:
        check_cluster(cluster)  # TensorFlow takes seconds
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silently():
        import tensorflow as tf

        if threads is not None:
            with contextlib.suppress(RuntimeError):  # it has started; the runtime will say so
                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(threads)
    if start:
        start_tensorflow(devices, cluster)


def start_tensorflow(devices: "Devices" = None, cluster: str | None = None) -> None:
    """Start TensorFlow; `devices` and `cluster` as in `import_tensorflow`."""
    import tensorflow as tf

    addresses = None if cluster is None else check_cluster(cluster)
    if devices is not None:
        from mpvn.cluster.devices import AUTO, parse_devices, start_devices

        with as_mistakes():
            if addresses is None or parse_devices(devices) != [AUTO]:  # there, auto means workers
                start_devices(devices)
    with _silently():
        if addresses is not None:
            connect_once(addresses)
        tf.config.list_logical_devices()


@contextlib.contextmanager
def _silently() -> Iterator[None]:
    """Hide what TensorFlow writes to stderr meanwhile, unless there is more than a mistake.

    `TF_CPP_MIN_LOG_LEVEL` does not turn off all of it, so redirect the file descriptor.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except Mistake:
            raise
        except BaseException:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
