"""The work of `mpvn predict`: one source after the other, and what is written about each."""

import argparse
import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tqdm

from mpvn.cli.answers import Shown, step_row, text, video_row
from mpvn.cli.found import Found
from mpvn.cli.late_stop import late_stop
from mpvn.cli.lines import Rows
from mpvn.cli.sources import open_source, speed
from mpvn.data import ConnectionLost, VideoError, VideoReader, VideoWriter
from mpvn.prediction import Interval, Prediction, Predictor, VideoAnswer, intervals
from mpvn.prediction.drawing import draw, draw_names
from mpvn.prediction.opened import Opened
from mpvn.prediction.scoring import Numbers
from mpvn.tasks import MultiLabelActions

_STATUS = 1.0  # seconds between two lines about a live source, where no bar can be drawn


@dataclasses.dataclass
class Outputs:
    """Where answers go, besides the terminal.

    Attributes:
        rows: one for each video, or for each step.
        intervals: one for each interval of equal answers.
        annotated: path of the annotated video, by source.
        prints: whether the answers are printed.
    """

    rows: Rows | None
    intervals: Rows | None
    annotated: dict[str, str]
    prints: bool


class Work:
    """Predicts source after source; what cannot be read does not stop the others.

    Args:
        arguments: the parsed arguments.
        predictor: the network.
        sources: all sources.
        outputs: where answers go.
        threshold: lowest probability of an answer.

    Attributes:
        failures: why sources could not be read, in order.
        scores: the scores of videos, by number of the source.
        interrupted: whether Ctrl-C has ended the work before its end. (It is the usual end of a
            live source.)
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        predictor: Predictor,
        sources: list[Found],
        outputs: Outputs,
        threshold: float,
    ) -> None:
        self._arguments = arguments
        self._predictor = predictor
        self._sources = sources
        self._outputs = outputs
        self._scoring = scoring = predictor.model.scoring
        self._are_shares = not isinstance(scoring, Numbers)
        share = "probability" if self._are_shares else "value"
        self._shown = Shown(arguments.top, threshold, share)
        self._width = max(len(each.source) for each in sources)
        self._said: set[str] = set()
        self.failures: list[str] = []
        self.scores: dict[int, np.ndarray] = {}
        self.interrupted = False

    def run(self) -> None:
        """Predict all sources, or until Ctrl-C."""
        several = len(self._sources) > 1
        bar = tqdm.tqdm(total=len(self._sources), unit="video", disable=None if several else True)
        with bar:
            for number, found in enumerate(self._sources):
                try:
                    self._predict(number, found)
                except VideoError as error:
                    reason = str(error)
                    named = reason.startswith(found.source)
                    self.failures.append(reason if named else f"{found.source}: {reason}")
                except KeyboardInterrupt:
                    self.interrupted = True
                bar.update()
                if self.interrupted:
                    return

    def _predict(self, number: int, found: Found) -> None:
        answer = None if self._scoring is None else VideoAnswer(self._scoring)
        end = _End()
        with end.of_interrupt(), contextlib.ExitStack() as stack:
            opened = stack.enter_context(self._open(found))
            buffers = self._predictor.model.buffer > 1
            before_read = stack.enter_context(late_stop()) if buffers else None
            steps = end.of(self._followed(found, opened, answer, stack, before_read))
            if self._over_time(opened):
                for interval in intervals(steps, self._most_at_once, self._shown.threshold):
                    self._add_interval(found, interval)
            else:
                for _ in steps:
                    pass
        cut = None if opened.is_live else end.interrupt or end.loss
        if cut is None and answer is not None and (answer.counted or not opened.is_live):
            self.scores[number] = answer.scores
            self._add_video(found, opened, answer)
        if opened.is_live or opened.drops:
            self._say(speed(self._predictor.model, opened))
        if cut is not None:
            raise cut
        self.interrupted = end.interrupt is not None and number + 1 < len(self._sources)
        if end.loss is not None:
            raise end.loss

    def _open(self, found: Found) -> Opened:
        over_time = self._arguments.over_time or self._scoring is None
        opened = open_source(self._arguments, self._predictor, found.source, over_time)
        if opened.remark and opened.remark not in self._said:
            self._said.add(opened.remark)
            others = ", and others" * (len(self._sources) > 1)
            self._say(f"{found.source}{others}: {opened.remark}")
        return opened

    def _over_time(self, opened: Opened) -> bool:
        return bool(self._scoring) and (self._arguments.over_time or opened.is_live)

    @property
    def _most_at_once(self) -> int:
        """Most answers at one time: any number for tasks that ask about each class by itself."""
        task = self._predictor.model.task
        return task.classes if isinstance(task, MultiLabelActions) else 1

    def _followed(
        self,
        found: Found,
        opened: Opened,
        answer: VideoAnswer | None,
        stack: contextlib.ExitStack,
        before_read: Callable[[], None] | None,
    ) -> Iterator[Prediction]:
        """Yield the steps, after they were written, drawn and shown."""
        takers: list[Any] = [] if answer is None else [answer.add]
        rows = self._outputs.rows
        if rows is not None and (self._scoring is None or self._over_time(opened)):
            takers.append(self._writing(found, rows))
        if found.source in self._outputs.annotated and opened.has_all_frames:
            takers.append(self._drawing(found, opened, stack))
        alone = len(self._sources) == 1
        status = _Status(opened, self._shown, self._are_shares, alone)
        with status:
            for step in self._predictor.predict(opened, before_read):
                for take in takers:
                    take(step)
                status.show(step)
                yield step

    def _drawing(self, found: Found, opened: Opened, stack: contextlib.ExitStack) -> Any:
        path = self._target(found)
        writer = stack.enter_context(VideoWriter(path, fps=opened.fps or 25))
        task, shown = self._predictor.model.task, self._shown

        def take(step: Prediction) -> None:
            lines = [f"{1000 * step.latency:.1f} ms"] if opened.drops else []
            picture = draw(task, step, lines, shown.count, shown.threshold)
            writer.write(picture, None if opened.is_even else step.seconds)

        return take

    def _target(self, found: Found) -> str:
        path = self._outputs.annotated[found.source]
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        return path

    def _writing(self, found: Found, rows: Rows) -> Any:
        shown = dataclasses.replace(self._shown, scores=rows.is_table)

        def take(step: Prediction) -> None:
            rows.add({"video": found.source, **step_row(step, shown)})

        return take

    def _add_interval(self, found: Found, interval: Interval) -> None:
        if self._outputs.prints:
            named = text([(interval.name, interval.share)], self._are_shares)
            self._print(found, f"{interval.start:8.2f} - {interval.end:8.2f} s  {named}")
        if self._outputs.intervals is not None:
            times = {"start": round(interval.start, 6), "end": round(interval.end, 6)}
            share = {self._shown.share: float(f"{interval.share:.6g}")}
            row = {"video": found.source, **times, "name": interval.name, **share}
            self._outputs.intervals.add(row)

    def _add_video(self, found: Found, opened: Opened, answer: VideoAnswer) -> None:
        named = answer.top(self._shown.count, self._shown.threshold)
        if self._outputs.prints and not self._arguments.over_time:
            self._print(found, text(named, self._are_shares) or "no answer")
        if self._outputs.rows is not None and not self._over_time(opened):
            row = video_row(answer, self._shown)
            self._outputs.rows.add({"video": found.source, **row})
        if found.source in self._outputs.annotated and not opened.has_all_frames:
            self._draw_whole(found, named)

    def _draw_whole(self, found: Found, named: list[tuple[str, float]]) -> None:
        """Write all of a video, of which the network was shown some frames, with its answer."""
        strict = not self._arguments.skip_damage
        with (
            VideoReader(found.source, strict=strict) as reader,
            VideoWriter(self._target(found), fps=reader.source_fps or 25) as writer,
        ):
            for seconds, frame in reader.timed():
                writer.write(draw_names(frame, named), seconds)

    def _print(self, found: Found, line: str) -> None:
        tqdm.tqdm.write(f"{found.source:{self._width}}  {line}", file=sys.stdout)
        sys.stdout.flush()

    @staticmethod
    def _say(line: str) -> None:
        tqdm.tqdm.write(line, file=sys.stderr)


class _End:
    """How a source ended: it keeps the events after which what was written stays.

    Attributes:
        interrupt: Ctrl-C.
        loss: the source was lost.
    """

    def __init__(self) -> None:
        self.interrupt: KeyboardInterrupt | None = None
        self.loss: ConnectionLost | None = None

    def of(self, steps: Iterator[Prediction]) -> Iterator[Prediction]:
        """Yield the steps until their end, Ctrl-C, or a loss."""
        try:
            yield from steps
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
        except ConnectionLost as loss:
            self.loss = loss

    @contextlib.contextmanager
    def of_interrupt(self) -> Iterator[None]:
        """Let Ctrl-C be the reason if it left nothing to complete, such as a video of no frame."""
        try:
            yield
        except VideoError as error:
            raise self.interrupt or error from None


class _Status:
    """The progress of one source; of a live one the latest answer, latency and dropped frames.

    It is a bar on a terminal. Elsewhere, a live source has a line each second.
    """

    def __init__(self, opened: Opened, shown: Shown, are_shares: bool, alone: bool) -> None:
        self._opened, self._shown, self._are_shares = opened, shown, are_shares
        disable = None if alone or opened.is_live else True
        self._bar = tqdm.tqdm(
            total=opened.frame_count, unit="frame", leave=False, disable=disable, dynamic_ncols=True
        )
        self._due = 0.0

    def __enter__(self) -> "_Status":
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.close()

    def show(self, step: Prediction) -> None:
        """Show the latest step."""
        if self._bar.disable and not self._opened.is_live:
            return
        if not self._bar.disable:
            self._bar.update()
            if self._opened.is_live:
                self._bar.set_postfix_str(self._line(step), refresh=False)
        elif time.monotonic() >= self._due:
            self._due = time.monotonic() + _STATUS
            print(f"{step.seconds:.2f} s: {self._line(step)}", file=sys.stderr, flush=True)

    def _line(self, step: Prediction) -> str:
        named = step.top(1, self._shown.threshold) if step.counts else []
        answer = text(named, self._are_shares) or "no answer"
        return f"{answer}, {1000 * step.latency:.1f} ms, {step.dropped} dropped"
