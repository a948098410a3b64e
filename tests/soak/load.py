"""Callers in threads: streams that behave, and garbage between."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from soak.actors import Actor, Pace
from soak.garbage import Abuser
from soak.lives import Life, Told
from soak.target import Counts, Fault, Target

LEFT = 90.0
"""Seconds that callers may take to end."""


class Load(NamedTuple):
    """What callers have seen.

    Attributes:
        lives, told: of the streams.
        events: counts of what happened.
        faults: what must not happen.
    """

    lives: list[Life]
    told: list[Told]
    events: dict[str, int]
    faults: list[Fault]


def run_load(
    target: Target,
    seed: int,
    actors: int,
    abusers: int,
    until: float,
    pace: Pace,
    streams: int | None = None,
) -> Load:
    """Let threads call a server until a time.

    Args:
        target: the server.
        seed: of all that is random.
        actors: number of threads with streams.
        abusers: number of threads with garbage.
        until: the time.
        pace: of the streams.
        streams: of each thread, if that is less.
    """
    counts = Counts()
    stop = threading.Event()
    players = [Actor(target, counts, seed + number, pace) for number in range(actors)]
    villains = [Abuser(target, counts, seed + number) for number in range(abusers)]
    playing = [_started(each.play, until, streams) for each in players]
    abusing = [_started(each.play, until, stop) for each in villains]
    end = until + LEFT
    for thread in playing:
        thread.join(max(0.0, end - time.time()))
    stop.set()
    for thread in abusing:
        thread.join(LEFT)
    stuck = sum(thread.is_alive() for thread in [*playing, *abusing])
    if stuck:
        counts.fault(f"{stuck} callers hang")
    lives = [life for player in players for life in player.lives]
    told = [each for player in players for each in player.told]
    return Load(lives, told, dict(counts.events), counts.faults)


def _started(play: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=play, args=arguments, daemon=True)
    thread.start()
    return thread
