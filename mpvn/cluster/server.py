"""The program of a worker's server: one process of TensorFlow that serves one chief.

It is run as a file, so that it needs TensorFlow alone: its arguments are the cluster's addresses of
workers as JSON, the number of its task, and the number of its threads (0 for TensorFlow's choice).
It ends with its parent, whose end of its standard input then closes.
"""

import json
import os
import sys
import threading


def _end_with_parent() -> None:
    while os.read(0, 1):  # the parent writes nothing
        pass
    os._exit(0)


def main(addresses: str, task: str, threads: str) -> None:
    """Serve until the process is killed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=int(threads), inter_op_parallelism_threads=int(threads)
    )
    tf.distribute.Server({"worker": json.loads(addresses)}, "worker", int(task), config=config)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
