"""What `mpvn stream` takes from the run of a network, and what it says about it."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpvn.network import VideoNetwork
    from mpvn.training.trained import Trained

_SAME = 0.05  # difference of two rates, relative to one of them, that no network minds


def trained_network(model: str, network: "VideoNetwork") -> "Trained | None":
    """Return what the run of a network says; None if the model does not belong to a run.

    Args:
        model: the model as given: a file, the folder of a run, or a name.
        network: the network, also under another plan.

    Raises:
        ValueError: a file of the run is damaged.
    """
    from mpvn.training import RunFolder
    from mpvn.training.trained import Trained

    folder = RunFolder.of_model(model)
    if folder is None:
        return None
    trained = Trained.of(folder, network)
    if trained is None:
        print(
            f"{folder.path} has no data.json: its frame rate and names are not known. Frames are "
            "shown at the rate of the video.",
            file=sys.stderr,
        )
    return trained


def shown_fps(chosen: float | None, trained: "Trained | None") -> float | None:
    """Return the rate to which videos are brought: as chosen, or as in evaluation of the run.

    With a rate of the run, every `trained.stride`-th of these frames is shown.
    """
    return chosen if chosen is not None or trained is None else trained.fps


def remarks_on_rate(trained: "Trained", model: str, video: str, shown: float | None) -> list[str]:
    """Return remarks on a frame rate that the user did not choose.

    Args:
        trained: what the run says.
        model: the model as given.
        video: the video as given.
        shown: frames per second at which the network is shown the video; None if not known.
    """
    remarks = []
    if trained.fps is not None:
        remarks.append(
            f"{model}: frames are shown at {trained.fps / trained.stride:g} per second, as in its "
            "run (--fps sets another rate)"
        )
    elif trained.stride > 1:
        remarks.append(
            f"{model}: one of {trained.stride} frames is shown, as in its run (--fps sets another "
            "rate)"
        )
    rate = trained.trained_fps
    if rate and shown and abs(shown / rate - 1) > _SAME:
        remarks.append(
            f"{model}: trained on clips of {rate:g} frames per second. {video} is shown at "
            f"{shown:g}, as in evaluation (--fps {rate:g} brings it to the rate of the clips)"
        )
    return remarks
