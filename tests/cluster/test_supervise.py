"""A supervisor ends and begins its process as the workers, the process and signals demand.

Servers and commands are false ones, without TensorFlow; `test_faults.py` has true ones.
"""

import contextlib
import pathlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from bare_package import BARE
from cluster.false_servers import FalseServer, command, false_servers
from cluster.local_cluster import free_addresses

from mpvn.cluster import Cluster, supervise
from mpvn.cluster.supervise import GivenUp, Supervisor
from mpvn.cluster.supervised import Orders

Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def servers() -> Iterator[list[FalseServer]]:
    """Two workers and a spare."""
    with false_servers(free_addresses(3)) as running:
        yield running


@pytest.fixture
def run(servers: list[FalseServer], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Supervise a program; return the exit code and the lines about events."""
    monkeypatch.setattr(supervise, "_AFTER", 0.0)
    monkeypatch.setattr(supervise, "WAIT", 0.5)
    addresses = [server.address for server in servers]
    cluster = Cluster("localhost:1", tuple(addresses[:2]), tuple(addresses[2:]))

    def run(
        program: str, at_event: Callable[[str], object] = lambda _: None, **options: float
    ) -> tuple[int, list[str]]:
        lines: list[str] = []

        def say(line: str) -> None:
            lines.append(line)
            at_event(line)

        return Supervisor(
            cluster, command(program), "goes on at {kept}", say, **options
        ).run(), lines

    return run


@contextlib.contextmanager
def after(path: pathlib.Path, act: Callable[[], None]) -> Iterator[None]:
    """Act in another thread when a process has made a file, and was looked at meanwhile."""

    def wait_and_act() -> None:
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.6)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("code", [0, 2, 130, 141])
def test_a_command_that_ends_as_it_should_is_not_run_again(code: int, run: Run) -> None:
    assert run(f"supervised.connected(); sys.exit({code})") == (code, [])


def test_a_lost_worker_is_replaced_by_a_spare_and_the_next_process_knows_what_was_kept(
    run: Run, servers: list[FalseServer], tmp_path: pathlib.Path
) -> None:
    program = f"""
open({str(tmp_path)!r} + f"/{{orders.restarts}}", "w").write(orders.to_json())
supervised.connected()
supervised.kept(7)
if not orders.restarts:
    open({str(tmp_path / "ready")!r}, "w").close()
    time.sleep(60)
"""
    with after(tmp_path / "ready", servers[1].end):
        code, lines = run(program)
    assert code == 0
    gone, waits, replaced = lines
    assert gone.startswith(f"worker 1 at {servers[1].address} is gone (noticed after 0.")
    assert gone.endswith(" s); goes on at 7")
    assert waits == f"waiting for {servers[1].address}"
    assert replaced == f"worker 1 at {servers[1].address}: {servers[2].address} takes its place"
    first, second = (Orders.from_json((tmp_path / name).read_text()) for name in "01")
    assert (first.kept, second.kept) == (None, 7)
    assert first.workers == (servers[0].address, servers[1].address)
    assert second.workers == (servers[0].address, servers[2].address)


def test_a_worker_that_hangs_is_noticed_after_the_deadline(
    run: Run, servers: list[FalseServer], tmp_path: pathlib.Path
) -> None:
    program = f"""
supervised.connected()
supervised.waits()
if not orders.restarts:
    open({str(tmp_path / "ready")!r}, "w").close()
    time.sleep(60)
"""
    with after(tmp_path / "ready", servers[0].hang):
        code, lines = run(program, deadline=0.5)
    assert code == 0
    hangs = rf"worker 0 at {servers[0].address} has not answered for \d\.\d s; it starts again"
    assert re.fullmatch(hangs, lines[0])
    assert lines[-1].endswith(f"{servers[2].address} takes its place")


def test_a_process_that_hangs_is_noticed_after_the_deadline(run: Run) -> None:
    """One that starts or traces has ten times as long, and one that waits has no deadline."""
    program = """
supervised.connected()
supervised.beat()
if orders.restarts == 0:
    time.sleep(60)
if orders.restarts == 1:
    supervised.takes_long()
    time.sleep(1.2)
    supervised.waits()
    time.sleep(3.3)
    supervised.kept(5)
    supervised.beat()
    os.kill(os.getpid(), signal.SIGSTOP)
"""
    code, lines = run(program, deadline=0.3)
    assert code == 0
    hangs = r"the process has not finished a step for \d\.\d s; "
    assert len(lines) == 2
    assert re.fullmatch(f"{hangs}it starts again", lines[0])
    assert re.fullmatch(f"{hangs}goes on at 5", lines[1])


def test_the_same_error_twice_without_progress_is_no_accident(run: Run) -> None:
    program = "supervised.fault(f'Traceback ...\\nValueError: of {orders.kept}')"
    lines: list[str] = []
    with pytest.raises(
        GivenUp, match="Traceback ...\nValueError: of None\nExpected progress"
    ) as up:
        run(program, at_event=lines.append)
    assert lines == ["the process ended with an error (ValueError: of None); it starts again"]
    assert "Received: a fault once more, without any." in str(up.value)


def test_a_command_is_given_up_after_some_faults_without_progress(run: Run) -> None:
    program = """
if orders.restarts == 1:
    supervised.kept(3)
os.kill(os.getpid(), signal.SIGKILL)
"""
    lines: list[str] = []
    with pytest.raises(GivenUp, match="a fault 3 times after 3 were kept, without any"):
        run(program, at_event=lines.append, restarts=2)
    assert len(lines) == 1 + 2  # the process that kept something counts anew


def test_ctrl_c_reaches_the_process_once_and_is_no_fault(run: Run, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "signals"
    program = f"""
def add(*_):
    with open({str(path)!r}, "a") as file:
        file.write("signal\\n")
signal.signal(signal.SIGINT, add)
supervised.connected()
time.sleep(0.5)
os.kill(os.getppid(), signal.SIGINT)
time.sleep(1)
sys.exit(CODE)
"""
    assert run(program.replace("CODE", "130")) == (130, [])
    assert path.read_text() == "signal\n"
    code, (line,) = run(program.replace("CODE", "1"))
    assert (code, line) == (130, "stopped (the process ended with code 1); run again to resume")


def test_a_process_ends_with_its_supervisor_even_if_it_is_stopped(
    servers: list[FalseServer], tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "process"
    stopped = f"""
open({str(path)!r}, "w").write(str(os.getpid()))
os.kill(os.getpid(), signal.SIGSTOP)
"""
    cluster = ("localhost:1", (servers[0].address,))
    program = f"""{BARE}
from mpvn.cluster.cluster_file import Cluster
from mpvn.cluster.supervise import Supervisor
Supervisor(Cluster(*{cluster!r}), {command(stopped)!r}, "", print).run()
"""
    with subprocess.Popen([sys.executable, "-c", program]) as supervisor:
        try:
            while not (path.exists() and path.read_text()):
                assert supervisor.poll() is None
            child = psutil.Process(int(path.read_text()))
            while child.status() != psutil.STATUS_STOPPED:
                pass
        finally:
            supervisor.kill()
        child.wait(10)
