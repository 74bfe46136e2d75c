"""Measures of plans: SR, mAcc and mIoU per sample, and the two other mIoUs of the literature by their own names."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from laban.errors import LabanError

Plans = Int64[ndarray, "samples length"]


def success(truth: Plans, found: Plans) -> Bool[ndarray, " samples"]:
    """SR: every action right, in its place."""
    _check(truth, found)
    return (truth == found).all(1)


def accuracy(truth: Plans, found: Plans) -> Float64[ndarray, " samples"]:
    """mAcc: the share of places whose action is right (over places, not over classes)."""
    _check(truth, found)
    return (truth == found).mean(1)


def sample_iou(truth: Plans, found: Plans) -> Float64[ndarray, " samples"]:
    """mIoU of each sample's two sets of actions: the only one that depends on nothing but the sample."""
    _check(truth, found)
    return np.array([_iou(set(a), set(b)) for a, b in zip(truth.tolist(), found.tolist(), strict=True)])


def batch_iou(truth: Plans, found: Plans, batch: int) -> float:
    """Legacy, grows with `batch`: IoU of the sets of a whole batch, averaged over batches (PDPP's first mIoU)."""
    _check(truth, found)
    each = [_iou(set(truth[i : i + batch].ravel().tolist()), set(found[i : i + batch].ravel().tolist()))
            for i in range(0, len(truth), batch)]  # fmt: skip
    return float(np.mean(each))


def cumulative_iou(truth: Plans, found: Plans) -> float:
    """Legacy, drifts upwards with the number of samples: the sets are never emptied (SCHEMA's and others' code)."""
    _check(truth, found)
    true: set[int] = set()
    planned: set[int] = set()
    values = []
    for a, b in zip(truth.tolist(), found.tolist(), strict=True):
        true |= set(a)
        planned |= set(b)
        values.append(_iou(true, planned))
    return float(np.mean(values))


def _iou(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b)


def _check(truth: Plans, found: Plans) -> None:
    if truth.shape != found.shape or not truth.size:
        raise LabanError(f"plans of shape {found.shape} for true ones of {truth.shape}; accepted: equal, not empty")
