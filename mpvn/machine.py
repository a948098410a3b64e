"""What this process runs on and with: processor, cores, memory, versions, and who else is busy.

psutil reads the processor's times on all systems. What it does not know, the peak of the resident
memory under Linux, comes from the kernel.
"""

import os
import pathlib
import platform
import re
import sys
import time

import psutil

VERSIONED = {
    "mpvn": "mpvn",
    "tensorflow": "TensorFlow",
    "keras": "Keras",
    "numpy": "NumPy",
    "openvino": "OpenVINO",
}
"""The packages that compute, with their names in text."""


def usable_cores() -> int:
    """Return the number of cores that this process may run on, which may be fewer than there are.

    A quota of CPU time, as containers may have, is not a limit to cores and does not count.
    """
    return len(_usable())


def _usable() -> list[int]:
    """Return the numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return sorted(os.sched_getaffinity(0))
    return [*range(os.cpu_count() or 1)]


def cpu_name() -> str:
    """Return the model name of the processor."""
    information = pathlib.Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", information.read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def peak_memory() -> int:
    """Return the most bytes of memory that this process has had resident so far."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # Here, `getrusage` also counts the process that started this one.
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        if found:
            return int(found[1]) * 2**10
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return int(memory.peak_wset)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 2**10  # macOS counts bytes


def versions() -> dict[str, str]:
    """Return the versions of the packages in `VERSIONED` that this process has imported."""
    loaded = {name: sys.modules[name].__version__ for name in VERSIONED if sys.modules.get(name)}
    # OpenVINO's version ends in the number, the commit and the branch of its build.
    return {name: re.sub(r"-\d+-[0-9a-f]{7,}.*", "", text) for name, text in loaded.items()}


def environment() -> dict[str, str]:
    """Return the versions of packages and of Python, and the machine."""
    return {**versions(), "python": platform.python_version(), **machine()}


def machine() -> dict[str, str]:
    """Return the processor's name, the number of usable cores, and the platform."""
    return {"cpu": cpu_name(), "cores": str(usable_cores()), "machine": platform.platform()}


def machine_text() -> str:
    """Return the machine as text."""
    cores = usable_cores()
    return f"{cpu_name()}, {cores} core{'s' * (cores > 1)}, {platform.system()}"


def versions_text() -> str:
    """Return the versions as text."""
    named = [f"{VERSIONED[name]} {version}" for name, version in versions().items()]
    return ", ".join([*named, f"Python {platform.python_version()}"])


QUIET = 0.05
"""The share of the usable cores' time that others may have while something is measured."""


class OtherProcesses:
    """Measures how much of the usable cores' time goes to other processes.

    The kernel counts in hundredths of a second. Measure half a second or more at a time.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin to measure."""
        self._before = self._read()

    def share(self) -> float:
        """Return the share of the cores' time since `start` that others used, 0 to 1.

        What the hypervisor of a virtual machine took away counts with others.
        """
        pairs = zip(self._before, self._read(), strict=True)
        seconds, busy, own = (after - before for before, after in pairs)
        cores = usable_cores()
        return max(0.0, busy - own) / (seconds * cores) if seconds else 0.0

    def _read(self) -> tuple[float, float, float]:
        """Return seconds: the time, the busy time of the usable cores, and that of this process."""
        times = psutil.cpu_times(percpu=True)
        usable = _usable()
        busy = sum(_busy(each) for index, each in enumerate(times) if index in usable)
        return time.perf_counter(), busy, time.process_time()


def _busy(times: tuple) -> float:
    """Return the busy seconds of a core. Guests are in `user`; under Windows all is in `system`."""
    names = ("user", "nice", "system", "irq", "softirq", "steal")
    return sum(getattr(times, name, 0.0) for name in names)
