"""Telling conditions apart by features of objects: trained on true figures, tested on restored ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from scalesr.analysis.classification import Classification, Classifier, fit_classifier, log_odds
from scalesr.analysis.packages import need
from scalesr.analysis.roc import BINS, bins_of, roc_of
from scalesr.analysis.tables.object_table import matched
from scalesr.analysis.wells import NOT_FINITE
from scalesr.errors import InputError
from scalesr.phantoms.lattice import uniform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.tables.object_table import ObjectTable

Apart: TypeAlias = Literal["halves", "none"]
"""``halves``: both tables are of the same objects, of which one half is trained on and the other tested on.
``none``: they are of different objects, and all are used."""
_STREAM = 2049
"""Stream of the random numbers that objects are drawn by."""


def classify_objects(
    train: ObjectTable,
    test: ObjectTable,
    *,
    features: Sequence[str],
    condition: str,
    model: Classifier = "logistic",
    apart: Apart = "halves",
    seed: int = 0,
) -> Classification:
    """Train a classifier on the features of some objects, the true ones, and test it on others, restored ones.

    It is not fitted again to what is tested, so that a feature that a restoration shifts costs accuracy. For the best
    that can be had, test on the true objects. As in the method's own code, which tells conditions by one feature.

    Parameters
    ----------
    train, test
        Figures of objects, each with its condition.
    features
        Names of columns of both.
    condition
        Name of the column with the condition.
    model
        See `Classifier`.
    apart
        See `Apart`. Which half an object is in follows from its label and the seed; those that only one table has are
        left out and counted.
    seed
        Of the halves and the forest.

    Returns
    -------
    Classification
        Classes are numbered from 1 in the order of their names, which the notes tell.

    Raises
    ------
    InputError
        A column is absent, or fewer than two conditions can be trained, or no object is left to test.
    PlanError
        scikit-learn is not installed.
    """
    if model not in get_args(Classifier) or apart not in get_args(Apart) or not features:
        raise InputError(
            f"A classifier {model!r} of {len(features)} features with objects apart by {apart!r} was asked for.",
            remedy=f"Choose from {', '.join(get_args(Classifier))}, from {', '.join(get_args(Apart))}, and a feature.",
        )
    need("sklearn", extra="analysis", purpose="Classification")
    alone: dict[str, int] = {}
    if apart == "halves":
        sizes = len(train), len(test)
        train, test = matched(train, test)
        alone = {
            "objects in the training table alone": sizes[0] - len(train),
            "objects in the tested table alone": sizes[1] - len(test),
        }
    sets = []
    for number, table in enumerate((train, test)):
        values = np.stack([np.asarray(table[name], np.float64) for name in features], axis=1)
        finite = np.isfinite(values).all(axis=1)
        mine = np.ones(len(table), np.bool_)
        if apart == "halves":
            mine = (uniform(seed, _STREAM, table.labels) < 0.5) == (number == 0)
        names = np.asarray(table[condition]).astype(str)
        sets.append((values[mine & finite], names[mine & finite], int(np.count_nonzero(mine & ~finite))))
    (known, known_names, _), (asked, asked_names, bad) = sets
    classes = sorted(set(known_names.tolist()))
    tested = np.isin(asked_names, classes)
    if len(classes) < 2 or not tested.any():
        raise InputError(
            f"There are {len(classes)} condition(s) to train on and {int(tested.sum())} objects to test.",
            remedy="Give objects of two conditions in both tables, several of each.",
        )
    truth = np.searchsorted(classes, asked_names[tested])
    fitted, notes = fit_classifier(model, known, np.searchsorted(classes, known_names) + 1, seed=seed)
    chances: NDArray[np.float64] = fitted.predict_proba(asked[tested])
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (truth, chances.argmax(axis=1)), 1)
    curves = {}
    for k, bins in enumerate(bins_of(log_odds(chances)).T):
        counts = [np.bincount(bins[(truth == k) == own], minlength=BINS) for own in (False, True)]
        curves[k + 1] = roc_of(k + 1, counts[0], counts[1])
    left = alone | {NOT_FINITE: bad, "objects of other conditions": int(np.count_nonzero(~tested))}
    return Classification(
        labels=tuple(range(1, len(classes) + 1)),
        curves=curves,
        confusion=confusion,
        trained={k + 1: int(np.count_nonzero(known_names == name)) for k, name in enumerate(classes)},
        model=model,
        holdout=None,
        left_out={reason: count for reason, count in left.items() if count},
        notes=(*notes, *(f"class {k + 1} is {name}" for k, name in enumerate(classes))),
    )
