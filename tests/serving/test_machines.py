"""Streams on many machines, without a cluster: no stream is mixed or lost without being told."""

import asyncio
import contextlib
import json
import pathlib
import random
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from local_machines import REFUSED, LocalMachines, Watcher
from serving_networks import alone, classes_model

from mpvn.serving.errors import FrameDropped, InvalidRequest, NoFreeSlot, Unreachable
from mpvn.serving.machines.directory import Directory
from mpvn.serving.machines.front import Front
from mpvn.serving.machines.rest import Rest
from mpvn.serving.machines.settings import Settings
from mpvn.serving.machines.turns import Turns
from mpvn.serving.machines.worker import create_worker


def run(test: Callable[[], Coroutine]) -> Any:
    return asyncio.run(asyncio.wait_for(test(), 60))


async def ready(replicas: int, **options: Any) -> LocalMachines:
    machines = LocalMachines(replicas, **options)
    await machines.beat(3)
    return machines


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_to_machines_each_answer_is_that_of_known_frames(seed: int) -> None:
    """Machines come, go and restart; streams come, rest and end; several fronts send frames."""

    async def test() -> None:
        chance = random.Random(seed)
        machines = await ready(2, capacity=8, seed=seed, idle=20.0)
        fronts = [machines.front(), machines.front()]
        watchers = [Watcher() for _ in range(5)]  # each with streams of its own
        answered = 0

        async def act(number: int) -> None:
            nonlocal answered
            ids = [10 * number + each for each in range(3)]
            front = chance.choice(fronts)
            with contextlib.suppress(NoFreeSlot, Unreachable, InvalidRequest):
                if chance.random() < 0.1:
                    await watchers[number].reset(front, chance.choice(ids))
                else:
                    sent = chance.sample(ids, chance.choice([1, 1, 2]))
                    await watchers[number].step(front, *sent)
                answered += 1

        for _ in range(150):
            acting = chance.sample(range(5), 3)
            tasks = [asyncio.create_task(act(number)) for number in acting]
            event = chance.random()
            await asyncio.sleep(0)
            if event < 0.06 and len(machines.workers) > 1:
                machines.kill(chance.choice([*machines.workers]))
            elif event < 0.12 and len(machines.workers) < 4:
                machines.add()
            elif event < 0.14:
                machines.lose_directory()
            elif event < 0.16:
                machines.now += chance.choice([5.0, 30.0])
            await asyncio.gather(*tasks)
            await machines.beat()
        assert sum(len(each.restarts) for each in watchers) > 0
        assert answered > 100

    run(test)


def test_streams_stay_while_replicas_come_and_are_told_when_theirs_dies() -> None:
    async def test() -> None:
        machines = await ready(2)
        front, watcher, ids = machines.front(), Watcher(), [0, 1, 2, 3]
        assert (await watcher.step(front, *ids)).tolist() == [0, 0, 0, 0]
        found = machines.directory.find(ids)
        places = {each: pin.replica for each, pin in zip(ids, found, strict=True)}
        assert sorted(places.values()) == 2 * ["replica 0"] + 2 * ["replica 1"]
        machines.add()
        await machines.beat()
        assert (await watcher.step(front, *ids)).tolist() == [1, 1, 1, 1]
        assert not watcher.restarts

        machines.kill("replica 0")
        lost = [each for each in ids if places[each] == "replica 0"]
        steps = dict(zip(ids, await watcher.step(front, *ids), strict=True))
        assert steps == {each: 0 if each in lost else 2 for each in ids}
        assert watcher.restarts == lost
        after = machines.directory.find(lost)
        assert {pin.replica for pin in after} == {"replica 2"}, "it has most room"

    run(test)


def test_a_new_directory_learns_from_replicas_where_streams_are() -> None:
    async def test() -> None:
        machines = await ready(2)
        front, watcher, ids = machines.front(), Watcher(), [0, 1, 2, 3]
        await watcher.step(front, *ids)
        before = [pin.replica for pin in machines.directory.find(ids)]
        machines.lose_directory()
        with pytest.raises(Unreachable, match="ready"):
            await watcher.step(front, 0)
        await machines.beat()
        assert (await watcher.step(front, 0)).tolist() == [1], "replicas have told at once"
        with pytest.raises(Unreachable):  # another replica may have it
            await watcher.step(front, 5)
        await machines.beat(2)
        assert (await watcher.step(front, *ids, 5)).tolist() == [2, 1, 1, 1, 0]
        assert [pin.replica for pin in machines.directory.find(ids)] == before

    run(test)


def test_a_state_that_was_left_behind_is_not_gone_on_with() -> None:
    """Stream 0 has two frames on replica 0, ends in the directory alone, and comes back."""

    async def test() -> None:
        machines = await ready(1)
        front, watcher = machines.front(), Watcher()
        for _ in range(2):
            await watcher.step(front, 0)
        (pin,) = machines.directory.find([0])
        machines.directory.free({0: pin.ticket})
        assert (await watcher.step(front, 0)).tolist() == [0]
        assert watcher.restarts == [0]

    run(test)


def test_replicas_forget_what_has_ended() -> None:
    async def test() -> None:
        machines = await ready(2)
        front, ids = machines.front(), [0, 1, 2, 3]
        await Watcher().step(front, *ids)
        machines.directory.lost("replica 0")  # falsely: it lives
        for stream_id, pin in zip(ids, machines.directory.find(ids), strict=True):
            if pin is not None and stream_id == ids[-1]:
                machines.directory.free({stream_id: pin.ticket})
        await machines.beat()
        held = [*machines.workers["replica 0"].tickets, *machines.workers["replica 1"].tickets]
        assert len(held) == 1

    run(test)


def test_a_new_directory_takes_over_the_latest_life_of_a_stream() -> None:
    """Replica b has a later life of stream 7 than a, whichever tells first, and even if b dies."""
    for order in ("ab", "ba"):
        directory = Directory(clock=lambda: 0.0)
        for name in order:
            directory.beat(name, 4, {7: (3 if name == "b" else 2, 99)})
        assert [pin and pin.replica for pin in directory.find([7])] == ["b"]
        directory.lost("b")
        directory.beat("a", 4, {7: (2, 99)})
        with pytest.raises(Unreachable):
            directory.find([7])


def test_frames_of_a_stream_in_flight_keep_their_order() -> None:
    async def test() -> None:
        machines = await ready(2, seed=3)
        front, watcher = machines.front(depth=8), Watcher()
        for _ in range(10):
            both = [watcher.step(front, 7), watcher.step(front, 7, 8), watcher.step(front, 8)]
            await asyncio.gather(*(asyncio.create_task(each) for each in both))
        assert not watcher.restarts

    run(test)


def test_the_newest_frames_of_a_stream_are_kept_and_resets_wait() -> None:
    async def test() -> None:
        turns, ran = Turns(2), []
        gate = asyncio.Event()

        async def take(number: int, may_drop: bool = True) -> None:
            async with turns.turn([1], may_drop):
                ran.append(number)
                await gate.wait()

        tasks = [asyncio.create_task(take(n, n != 1)) for n in range(6)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert ran == [0, 1, 5]
        dropped = [n for n, each in enumerate(results) if isinstance(each, FrameDropped)]
        assert dropped == [2, 3, 4]
        assert not turns._lines

    run(test)


def test_full_machines_give_up_idle_streams_only() -> None:
    async def test() -> None:
        machines = await ready(2, capacity=2, idle=10.0)
        front, watcher = machines.front(), Watcher()
        await watcher.step(front, 0, 1)
        await machines.beat(5)
        await watcher.step(front, 2, 3)
        with pytest.raises(NoFreeSlot, match="at most 4 streams"):
            await watcher.step(front, 2, 3, 4)
        await machines.beat(6)
        assert (await watcher.step(front, 2, 4)).tolist() == [1, 0], "0 was idle for 11 s"
        assert await watcher.reset(front, 3) == 1
        assert (await watcher.step(front, 5)).tolist() == [0], "3 has ended"
        assert (await watcher.step(front, 1)).tolist() == [1], "1 stayed"
        assert not watcher.restarts

    run(test)


def test_a_refused_first_frame_takes_no_place() -> None:
    async def test() -> None:
        machines = await ready(1, capacity=1)
        front, watcher = machines.front(), Watcher()
        wrong = {"stream_id": np.array([1]), "frame": np.array([REFUSED])}
        with pytest.raises(InvalidRequest):
            await front.predict("step", wrong)
        assert (await watcher.step(front, 2)).tolist() == [0]
        with pytest.raises(InvalidRequest):
            await front.predict("step", {"stream_id": np.array([2]), "frame": np.array([REFUSED])})
        assert (await watcher.step(front, 2)).tolist() == [1]

    run(test)


def test_rest_speaks_as_tensorflow_serving_does() -> None:
    async def test() -> None:
        machines = await ready(2)
        rest = Rest(machines.front())

        async def ask(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
            given = {"host": "localhost:8000", **headers}
            answer = await rest.answer(method, path, given, json.dumps(body).encode(), "c")
            return answer.status, json.loads(answer.body)

        predict = "/v1/models/m:predict"
        inputs = {"stream_id": [5, 6], "frame": [1, 2]}
        status, answer = await ask("POST", predict, {"inputs": inputs})
        assert status == 200 and answer["outputs"]["step"] == [0, 0]
        rows = [{"stream_id": 6, "frame": 4}]
        status, answer = await ask("POST", "/v1/models/m/versions/1:predict", {"instances": rows})
        assert answer["predictions"][0]["step"] == 1
        reset = {"signature_name": "reset", "inputs": {"stream_id": [6, 5]}}
        assert await ask("POST", predict, reset) == (200, {"outputs": [2, 1]})
        status, answer = await ask("POST", predict, reset)
        assert status == 400 and "Unknown stream_id" in answer["error"]
        clip = {"signature_name": "clip", "instances": [[1, 2]]}
        assert (await ask("POST", predict, clip))[0] == 200
        status, found = await ask("GET", "/v1/models/m/metadata")
        assert {"step", "reset"} <= found["metadata"]["signature_def"]["signature_def"].keys()
        assert (await ask("GET", "/v1/models/m"))[1]["model_version_status"]
        for wrong in ({"inputs": {"frame": [1]}}, {"inputs": {**inputs, "frame": ["x", "y"]}}):
            status, answer = await ask("POST", predict, wrong)
            assert status == 400 and "Expected" in answer["error"]
        assert (await ask("GET", "/v1/models/other"))[0] == 404
        assert (await ask("GET", predict))[0] == 404
        assert (await ask("POST", predict, clip, host="evil.example"))[0] == 403

    run(test)


def test_settings_of_a_command_line() -> None:
    told = Settings.of_text({"model": "a.keras", "streams": "8", "wait": "0.01", "rate": "none"})
    assert (told.streams, told.wait, told.rate) == (8, 0.01, None)
    for wrong in ({"streams": "8"}, {"model": "a", "strems": "8"}):
        with pytest.raises(ValueError, match="Expected model=PATH"):
            Settings.of_text(wrong)
    for wrong in ({"streams": "many"}, {"streams": "0"}, {"images": "gif"}, {"name": "a/b"}):
        with pytest.raises(ValueError, match=f"Invalid {next(iter(wrong))}"):
            Settings.of_text({"model": "a", **wrong})


def test_a_replica_runs_a_saved_network(tmp_path: pathlib.Path) -> None:
    """Two streams of different ages, over more than a period of 4."""
    model = classes_model().network
    model.save(tmp_path / "actions.keras")
    told = Settings(
        str(tmp_path / "actions.keras"), streams=2, deadline=60.0, runtime="tensorflow", classes=2
    )
    worker = create_worker(told)
    clips = np.random.default_rng(0).normal(size=(2, 7, 8, 10, 3)).astype("float32")

    async def test() -> None:
        machines = LocalMachines(0)
        machines.workers["replica 0"] = worker
        await machines.beat(3)
        front = Front(machines, worker.service.name, worker.service.signatures, told)
        got: dict[int, list] = {0: [], 1: []}
        for step in range(7):
            ids = [0] if step < 2 else [1, 0]
            frames = np.stack([clips[each, step] for each in ids])
            answer = await front.predict("step", {"stream_id": np.array(ids), "frame": frames})
            assert answer["step"].tolist() == [len(got[each]) for each in ids]
            for row, each in enumerate(ids):
                got[each].append(answer["logits"][row])
        for each, outputs in got.items():
            expected = alone(model, [*clips[each, -len(outputs) :]])
            np.testing.assert_allclose(outputs, expected, atol=1e-5)
        reset = await front.predict("reset", {"stream_id": np.array([1, 0])})
        assert reset["steps"].tolist() == [5, 7]

    try:
        run(test)
    finally:
        worker.service.engine.close()
