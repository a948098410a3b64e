"""The signals that ask to stop, on systems and threads that do not have them all."""

import runpy
import signal
import threading

import pytest

from mpvn import signals


def test_a_system_without_sighup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows, where `import mpvn.training` failed."""
    monkeypatch.delattr(signal, "SIGHUP")
    on_stop = runpy.run_path(signals.__file__)["on_stop"]
    with on_stop(print) as before:
        assert list(before) == [signal.SIGINT, signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is print
    assert signal.getsignal(signal.SIGTERM) == before[signal.SIGTERM]


def test_other_threads_change_nothing() -> None:
    found = []

    def work() -> None:
        with signals.on_stop(print) as before:
            found.append((before, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [({}, signal.getsignal(signal.SIGTERM))]
