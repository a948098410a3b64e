"""Streams that are reset restart alone; the other streams of the batch do not change."""

import numpy as np
import pytest
from rule_cases import CASES
from subject_resets import expected_with_resets, run_with_resets
from video_subject import assert_same, build_subject

pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.mark.parametrize(
    "name",
    [
        "window_of_a_fast_producer",
        "feedback_across_boundaries_and_rates",
        "head_in_sequence",
        "shared_layer",
    ],
)
def test_reset_streams_of_case_restart(name: str) -> None:
    case = CASES[name]()
    subject = build_subject(case.network, case.settings)
    clips = case.network.clips(3, case.steps, seed=0)
    resets = {2: [True, False, False], 5: [True, True, False]}
    phases = [1, 1, 1]
    expected = expected_with_resets(subject, clips, resets, phases)
    for step in (True, False):
        assert_same(run_with_resets(subject, clips, resets, phases, step), expected, f"{step=}")
    # The check would be void if a reset changed nothing, or changed all streams.
    without = subject.expected(clips, phase=1)
    assert all(np.abs(e[:2] - w[:2]).max() > 1e-3 for e, w in zip(expected, without, strict=True))
    assert_same([e[2] for e in expected], [w[2] for w in without], "the stream never reset")
