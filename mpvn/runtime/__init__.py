"""Fast inference: compiled networks, on TensorFlow or OpenVINO.

    unit       the parts of a step that are compiled        freeze    ... as graphs of constants
    program    the order of their calls                     mixture   ... for streams of other ages
    parallel   calls that need not wait for each other, by several threads
    compiled   the scheduler, with the methods of a network
    create     from settings; choose: by what is fastest here, kept in the cache
    profile    times of nodes, as costs of plans: measure
    runtime    what a runtime does: on_tensorflow, on_openvino (with buffers)
    verify     whether a compiled model is right; layouts and shifts: changes that make it faster
    record     what really ran, and when
    int8       on calibration clips: samples of what units read; quantizer of units (nncf_models);
               quantization: the report

`VideoNetwork.compile_inference` compiles a network.
"""

from mpvn.runtime.calibration import Calibration
from mpvn.runtime.choose import compile_network
from mpvn.runtime.compiled import CompiledNetwork
from mpvn.runtime.create import Settings
from mpvn.runtime.measure import measure_profile, measure_steps
from mpvn.runtime.profile import Profile
from mpvn.runtime.record import Event, record

__all__ = [
    "Calibration",
    "CompiledNetwork",
    "Event",
    "Profile",
    "Settings",
    "compile_network",
    "measure_profile",
    "measure_steps",
    "record",
]
