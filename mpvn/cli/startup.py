"""Import TensorFlow without its start-up messages."""

import contextlib
import os
import sys
import tempfile


def import_tensorflow(threads: int | None = None) -> None:
    """Import TensorFlow and hide what it writes to stderr meanwhile, unless the import fails.

    `TF_CPP_MIN_LOG_LEVEL` does not turn off all of it, so redirect the file descriptor.

    Args:
        threads: number of threads of a step; None for TensorFlow's own choice. It counts for the
            first import in a process.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            import tensorflow as tf

            if threads is not None:
                with contextlib.suppress(RuntimeError):  # it has started; the runtime will say so
                    tf.config.threading.set_intra_op_parallelism_threads(threads)
                    tf.config.threading.set_inter_op_parallelism_threads(threads)
            tf.config.list_logical_devices()
        except BaseException:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
