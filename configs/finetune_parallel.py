"""Actions in your own videos, with a narrow parallel Par-Inception.

    mpvn train --config configs/finetune_parallel.py --config.data.path=FOLDER

The folder is as in finetune_tsm.py. The network has five subnetworks that work on five frames at
once (*Massively Parallel Video Networks*); `--config.plan.subnetworks=1` is the sequential one. The
first four steps of a clip, which no frame has reached yet, do not count. The network has no slow
clocks: with them the classifier would answer only twice per clip. At 8 frames per second a clip
lasts two seconds.

There are no published weights of this network, so weights are random. A sequential run on the same
videos can start it, `--config.model.initial=RUN`, or also teach it, `--config.teacher=RUN`.

Takes: minutes on two cores for tens of videos. Expect: depends on your videos; not measured here.
"""

from ml_collections import ConfigDict

from mpvn.training import sibling


def get_config() -> ConfigDict:
    config = sibling(__file__, "finetune_tsm").get_config()
    config.clip.frames = 16
    config.clip.fps = 8.0
    config.task.mask_uninformed = True
    config.model.name = "par_inception"
    config.model.size = 64
    config.model.options = {"width": 0.125, "clocks": False}
    config.plan.subnetworks = 5
    config.optimizer.learning_rate = 0.01
    config.optimizer.policy = None
    return config
