"""`mpvn plan` by measured times: a plan of times, and a plan for a frame rate."""

import argparse
import dataclasses
import math
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from mpvn.cli.mistakes import Mistake
from mpvn.cli.parsers import rate
from mpvn.cli.runtimes import add_runtime_options, check_threads

if TYPE_CHECKING:
    import keras

    from mpvn.models.loading import LoadedModel
    from mpvn.plan import Plan
    from mpvn.report.rate import Rate
    from mpvn.runtime import Profile

_TRIES = 3
"""Plans that are measured, at most, until one keeps the rate."""


def add_time_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that ask for measured times."""
    group = parser.add_argument_group("measured times")
    group.add_argument(
        "--profile",
        action="store_true",
        help="time the model's nodes on this machine, and plan by these times instead of "
        "multiply-adds; they are kept for the next time",
    )
    group.add_argument(
        "--profile-json", metavar="FILE", help="also write the times as JSON, for --costs"
    )
    group.add_argument(
        "--costs",
        metavar="FILE",
        help="plan by times that --profile-json has written, also on another machine",
    )
    group.add_argument(
        "--fps",
        type=rate,
        help="find the plan whose every step keeps this frame rate, with the newest outputs; "
        "options of the plan that are given are kept",
    )
    group.add_argument(
        "--latency",
        type=int,
        metavar="STEPS",
        help="with --fps: boundaries between a frame and the outputs, at most (default: any)",
    )
    add_runtime_options(parser, int8=False)


def check_time_options(arguments: argparse.Namespace) -> None:
    """Raise `Mistake` unless the options go together."""
    check_threads(arguments)
    if arguments.fps is not None and not 0 < arguments.fps < math.inf:
        raise Mistake(f"--fps: expected a number above 0. Received: {arguments.fps}.")
    if arguments.latency is not None and arguments.fps is None:
        raise Mistake("--latency is of a plan for a frame rate. Add --fps RATE.")
    if arguments.latency is not None and arguments.latency < 0:
        raise Mistake(f"--latency: expected at least 0. Received: {arguments.latency}.")
    if arguments.costs and (arguments.profile or arguments.profile_json):
        raise Mistake("--costs takes the place of a measurement. Leave out --profile.")
    if arguments.runtime == "network":
        raise Mistake(
            "--runtime: expected what compiles parts of a network, to time them. Received: "
            "network. Use tensorflow or openvino."
        )
    timed = arguments.profile or arguments.profile_json or arguments.fps
    if not timed and any((arguments.runtime, arguments.precision, arguments.threads)):
        raise Mistake("--runtime, --precision and --threads are of measured times. Add --profile.")


class MeasuredPlan:
    """Makes the plan of a command by measured times, if its options ask for them.

    Args:
        arguments: those of the command.

    Attributes:
        profile: the times of the plan; None if its costs are multiply-adds.
        rate: what the plan makes of a frame rate; None if none is asked for.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self.profile: Profile | None = None
        self.rate: Rate | None = None

    def __call__(
        self, loaded: "LoadedModel", kept: "Plan | None", options: dict[str, Any]
    ) -> "Plan":
        """Return the plan; see `load_model_and_plan`."""
        if self._arguments.fps is not None:
            return self._for_rate(loaded, kept, options)
        if self._arguments.profile or self._arguments.profile_json or self._arguments.costs:
            self.profile = self._times(loaded.model, self._precisions()[0])
        return kept.with_costs(self.profile) if kept else loaded.make_plan(options, self.profile)

    def _for_rate(
        self, loaded: "LoadedModel", kept: "Plan | None", options: dict[str, Any]
    ) -> "Plan":
        if options["file"]:
            kept, options = loaded.make_plan(options), {}
        given = dataclasses.replace(loaded, plan_defaults={}).plan_arguments(options)
        if self._arguments.clocks == "none":
            given["clocks"] = None
        search = RateSearch(loaded.model, self._arguments, kept, given)
        for precision in self._precisions():
            search.add(self._times(loaded.model, precision))
            if search.rate and not search.rate.slower_clocks:
                break
        self.rate = search.settled(measured=not self._arguments.costs)
        self.profile = search.profile
        return self.rate.plan

    def _precisions(self) -> list[str]:
        """Return the precisions to try, the preferred first."""
        if self._arguments.precision or self._arguments.costs:
            return [self._arguments.precision or ""]
        return ["float32", "bfloat16"]

    def _runtime(self, model: "keras.Model") -> str:
        from mpvn.plan import Plan
        from mpvn.runtime.choose import runs_on_openvino

        if self._arguments.runtime in (None, "auto"):
            return "openvino" if runs_on_openvino(Plan(model)) else "tensorflow"
        return self._arguments.runtime

    def _times(self, model: "keras.Model", precision: str) -> "Profile":
        """Read the times of a model's nodes, or measure them."""
        from mpvn.machine import QUIET, machine_text
        from mpvn.runtime import Profile, measure_profile

        if self._arguments.costs:
            return Profile.from_json(pathlib.Path(self._arguments.costs).read_text())
        runtime, threads = self._runtime(model), self._arguments.threads
        print(f"timing {model.name} by {runtime}, {precision} ...", file=sys.stderr)
        profile = measure_profile(model, runtime, precision, threads)
        if profile.disturbed > QUIET:
            print(
                f"Other processes used {100 * profile.disturbed:.0f} % of the cores meanwhile. "
                f"These are not the times of a quiet machine ({machine_text()}): measure again "
                "when it is idle.",
                file=sys.stderr,
            )
        return profile


class RateSearch:
    """Finds a plan of a model that keeps a frame rate, and measures whether it does.

    Args:
        model: the model.
        arguments: those of the command.
        kept: the plan of a saved network; it is taken if it keeps the rate.
        given: arguments of `Plan` that are given.

    Attributes:
        rate: the best plan so far, with the rate.
    """

    def __init__(
        self,
        model: "keras.Model",
        arguments: argparse.Namespace,
        kept: "Plan | None",
        given: dict[str, Any],
    ) -> None:
        from mpvn.plan import Plan

        self._model = model
        self._fps = float(arguments.fps)
        self._latency = arguments.latency
        self._kept = kept
        self._given = given
        self._own = kept or Plan(model)
        self._profiles: list[Profile] = []
        self._refusal: ValueError | None = None
        self.rate: Rate | None = None

    @property
    def profile(self) -> "Profile":
        """The times of the plan."""
        source = self._found().plan.cost_source
        return next(profile for profile in self._profiles if profile is source)

    def add(self, profile: "Profile") -> None:
        """Search again, with one more way to run the model."""
        self._profiles.append(profile)
        self._search()

    def settled(self, measured: bool) -> "Rate":
        """Return a plan that keeps the rate.

        Args:
            measured: whether to measure the steps, and to search again while they are too slow.

        Raises:
            ValueError: there is none.
        """
        if not measured:
            return self._found()
        for _ in range(_TRIES):
            rate, seconds = self._found(), self._worst_step()
            if seconds * self._fps <= 1:
                return rate._replace(measured=seconds)
            factor = seconds / rate.computed
            print(
                f"Its worst step takes {1e3 * seconds:.2f} ms, {factor:.2f} times as long as the "
                "sum of its nodes. Searching with times that are so much longer ...",
                file=sys.stderr,
            )
            source = self.profile
            self._profiles = [p.slower(factor) if p is source else p for p in self._profiles]
            self._search()
        raise ValueError(
            f"{self._model.name}: no plan was found whose measured steps keep {self._fps:g} "
            f"frames/s. Expected at most {1e3 / self._fps:.2f} ms. Received: {1e3 * seconds:.2f} "
            "ms. Ask for a lower rate, or measure again when the machine is idle"
        )

    def _worst_step(self) -> float:
        """Return the seconds of the worst step of the best plan, as measured."""
        from mpvn.runtime import measure_steps

        print(f"measuring steps of {self._model.name} ...", file=sys.stderr)
        return max(measure_steps(self._found().plan, **self.profile.settings))

    def _found(self) -> "Rate":
        if self.rate is None:
            raise self._refusal or ValueError("no times")
        return self.rate

    def _may_keep(self) -> bool:
        """Return whether the plan of the saved network can stream, and is not too late."""
        kept, latency = self._kept, self._latency
        late = latency is not None and kept and kept.information_latency[1] > latency
        return bool(kept and kept.causal and not late)

    def _search(self) -> None:
        from mpvn.plan import Plan, PlanError
        from mpvn.report.rate import Rate

        kept = self._kept if self._may_keep() else None
        plans = [kept.with_costs(profile) for profile in self._profiles if kept]
        rates = [Rate(self._fps, plan, self._own) for plan in plans]
        self.rate = next((rate for rate in rates if rate.is_kept), None)
        if self.rate:
            return
        try:
            plan = Plan.for_rate(
                self._model, self._fps, self._latency, profile=self._profiles, **self._given
            )
        except PlanError as refusal:
            self._refusal = refusal
        else:
            self.rate = Rate(self._fps, plan, self._own)
