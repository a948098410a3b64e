"""Average precision: how well the scores of a class rank the clips that have it.

The average precision of a class is a mean over its clips: of all clips that score at least as high,
the share that has the class.

    score        .9   .8   .7   .7   .2
    has it        x         x         x
    share        1/1       2/4       3/5       average precision: (1/1 + 2/4 + 3/5) / 3 = .7

So clips of equal scores share the last of their ranks, and the order of clips does not matter;
scores that are all equal give the share of clips that have the class. `average_precision_score` of
scikit-learn is the same number. `Charades_v1_classify` (Sigurdsson et al. 2016) is the same without
equal scores; with them, it depends on the order of its list.
"""

import numpy as np


def average_precisions(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the average precision of each class.

    Args:
        scores: `[N, classes]`. Infinite scores are ranked, too.
        labels: `[N, classes]`, above 0 for the classes of a clip.

    Returns:
        float64 `[classes]`; NaN for a class that no clip has, or with NaN among its scores.
    """
    pairs = zip(scores.T, labels.T > 0, strict=True)
    return np.array([_average_precision(*pair) for pair in pairs], np.float64)


def _average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    if not positive.any() or np.isnan(scores).any():
        return np.nan
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    # For each place in the order, the number of clips that score at least as high.
    as_high = np.searchsorted(-ranked, -ranked, side="right")
    shares = np.cumsum(positive[order])[as_high - 1] / as_high
    return float(shares[positive[order]].mean())


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over the classes that a clip has; 0 if no clip has any.

    Args:
        scores, labels: as in `average_precisions`.
    """
    present = (labels > 0).any(axis=0)
    if not present.any():
        return 0.0
    return float(average_precisions(scores[:, present], labels[:, present]).mean())
