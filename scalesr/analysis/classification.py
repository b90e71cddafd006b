"""Telling regions apart by their spectra: trained on one image, tested on another."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from scalesr.analysis.holdout import TEST, TRAIN, Holdout
from scalesr.analysis.labels import MIXED, NOT_LABELLED, Labels, check_number
from scalesr.analysis.packages import need
from scalesr.analysis.roc import BINS, Roc, bins_of, roc_of
from scalesr.analysis.sampling import Sample
from scalesr.analysis.tabular import Tabular
from scalesr.analysis.walk import Walk
from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source

Classifier: TypeAlias = Literal["logistic", "lda", "forest"]
"""``logistic``: logistic regression with a quadratic penalty. ``lda``: linear discriminant analysis with shrinkage.
``forest``: random forest of 200 trees. All as in scikit-learn, on bands scaled by their mean and deviation in the
training sample."""
MOST = 20_000
"""Training spectra of each class, at most."""
TRAINING_VALUES = 2**26
"""Values of all training spectra, at most: 512 MiB of float64."""
NOT_TESTED = "pixels that are not for testing"
UNKNOWN = "pixels of classes that were not trained"


@dataclass(frozen=True, kw_only=True, eq=False)
class Classification(Tabular):
    """How well classes are told apart on pixels that were not trained on."""

    labels: tuple[int, ...]
    """The classes, ascending."""
    curves: Mapping[int, Roc]
    """Each class against all others."""
    confusion: NDArray[np.int64]
    """Tested pixels by true (row) and most probable class (column), shape (classes, classes)."""
    trained: Mapping[int, int]
    """Training pixels of each class."""
    model: Classifier
    """What was trained."""
    holdout: Holdout | None
    """What kept training and testing apart; `None` where these are different samples."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Pixels of the tested image that were not tested, by reason."""
    notes: tuple[str, ...] = ()
    """What a reader must know, such as that the fit did not converge."""

    @property
    def n(self) -> int:
        """Tested pixels."""
        return int(self.confusion.sum())

    @property
    def mean_auc(self) -> float | None:
        """Mean of the areas of all classes that have one, each with the same weight."""
        areas = [curve.auc for curve in self.curves.values() if curve.auc is not None]
        return sum(areas) / len(areas) if areas else None

    @property
    def accuracy(self) -> float:
        """Share of the tested pixels whose most probable class is the true one."""
        return float(np.trace(self.confusion) / self.n)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each class: its label, area under the curve, pixels of it and of others, trained ones."""
        return [
            {
                "label": label,
                "auc": self.curves[label].auc,
                "positives": self.curves[label].positives,
                "negatives": self.curves[label].negatives,
                "trained": self.trained[label],
            }
            for label in self.labels
        ]

    def plot(self, ax: Any) -> None:
        """Draw the curves of all classes into axes of matplotlib."""
        for curve in self.curves.values():
            curve.plot(ax)


def classify(
    train: Source,
    train_labels: Source,
    test: Source,
    test_labels: Source,
    *,
    model: Classifier = "logistic",
    holdout: Literal["squares", "none"] = "squares",
    square: float | None = None,
    gap: float | None = None,
    mask: Source | None = None,
    seed: int = 0,
    storage_options: Mapping[str, Any] | None = None,
) -> Classification:
    """Train a classifier on the spectra of one image, and test it on another: truth and restored, or the other way.

    Training uses a sample that depends on the seed and the image's shape alone; every pixel of the other part is
    tested, streamed. Scores are compared as log-odds in steps of 0.001 and counted in integers, so that the areas are
    exact for them.

    Parameters
    ----------
    train, train_labels
        Image and classes to train on; labels as in `mean_spectra`, 0 for none.
    test, test_labels
        Image and classes to test on, of the same bands.
    model
        See `Classifier`.
    holdout
        ``squares``: both images show one sample, of which separate places are trained on and tested on (see `Holdout`).
        ``none``: they are different samples, and all of both is used.
    square, gap
        Edge of the squares and width of the gap between them, in the unit of the training image. The gap should be as
        wide as the context that the restoration looked at, where that fits.
    mask
        Pixels of the tested image that count are not zero in it. Masks beside either image's levels always count.
    seed
        Of the training sample and the forest.
    storage_options
        Handed to fsspec, for all images.

    Raises
    ------
    InputError
        The images do not fit each other or their labels, or fewer than two classes can be trained.
    PlanError
        scikit-learn is not installed.
    """
    if model not in get_args(Classifier) or holdout not in ("squares", "none"):
        raise InputError(
            f"A classifier {model!r} with holdout {holdout!r} was asked for.",
            remedy=f"Choose from {', '.join(get_args(Classifier))}, and 'squares' or 'none'.",
        )
    need("sklearn", extra="analysis", purpose="Classification")
    walks = (
        Walk.open(train, mask=None, storage_options=storage_options),
        Walk.open(test, mask=mask, storage_options=storage_options),
    )
    if walks[0].cube.bands != walks[1].cube.bands:
        raise InputError(
            f"{walks[0].cube.image.url} has {walks[0].cube.bands} bands, and {walks[1].cube.image.url} "
            f"{walks[1].cube.bands}.",
            remedy="Train and test on images of the same bands.",
        )
    named = [
        Labels.open(labels, of=walk.cube, storage_options=storage_options)
        for labels, walk in zip((train_labels, test_labels), walks, strict=True)
    ]
    apart = Holdout.of(walks[0].cube, walks[1].cube, square=square, gap=gap) if holdout == "squares" else None
    spectra, classes = _training(walks[0], named[0], apart, seed=seed)
    fitted, notes = fit_classifier(model, spectra, classes, seed=seed)
    labels = tuple(np.unique(classes).tolist())
    factor = walks[1].cube.in_units_of(walks[0].cube)
    left: Counter[str] = Counter()
    histograms = np.zeros((len(labels), 2, BINS), np.int64)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    for found, truth in _labelled(walks[1], named[1], apart, part=TEST, factor=factor, left=left):
        known = np.isin(truth, labels)
        left[UNKNOWN] += int(np.count_nonzero(~known))
        if not known.any():
            continue
        places = np.searchsorted(labels, truth[known])
        chances = fitted.predict_proba(found[:, known].T)
        np.add.at(confusion, (places, chances.argmax(axis=1)), 1)
        for k, bins in enumerate(bins_of(log_odds(chances)).T):
            for own in (0, 1):
                histograms[k, own] += np.bincount(bins[(places == k) == bool(own)], minlength=BINS)
    if not confusion.any():
        raise InputError(
            f"No pixel of {walks[1].cube.image.url} is left to test.",
            remedy="Check the labels and the mask, or choose smaller squares or a smaller gap.",
        )
    return Classification(
        labels=labels,
        curves={label: roc_of(label, *histograms[k]) for k, label in enumerate(labels)},
        confusion=confusion,
        trained=dict(zip(*(part.tolist() for part in np.unique(classes, return_counts=True)), strict=True)),
        model=model,
        holdout=apart,
        left_out=walks[1].lost() | {reason: count for reason, count in left.items() if count},
        notes=notes,
    )


def _labelled(
    walk: Walk, labels: Labels, apart: Holdout | None, *, part: int, factor: float, left: Counter[str]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Yield spectra (bands, pixels) and labels of each cell, of the labelled pixels of one part."""
    for rows, columns, pixels, used in walk.cells():
        names, mixed = labels.read(rows, columns)
        left[MIXED] += int(np.count_nonzero(used & mixed))
        left[NOT_LABELLED] += int(np.count_nonzero(used & ~mixed & (names == 0)))
        chosen = used & (names != 0)
        if apart is not None:
            inside = apart.part(walk.cube, rows, columns, factor=factor) == part
            left[NOT_TESTED] += int(np.count_nonzero(chosen & ~inside))
            chosen &= inside
        yield pixels[:, chosen].astype(np.float64), names[chosen]


def _training(
    walk: Walk, labels: Labels, apart: Holdout | None, *, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return training spectra (pixels, bands) and their classes: an equal number of each where there are enough."""
    samples: dict[int, Sample] = {}
    # How many classes there are is not known before the image was read; all that a sample may hold is for two.
    most = max(2, min(MOST, TRAINING_VALUES // walk.cube.bands // 2))
    for rows, columns, pixels, used in walk.cells():
        names, _ = labels.read(rows, columns)
        chosen = used & (names != 0)
        if apart is not None:
            chosen &= apart.part(walk.cube, rows, columns, factor=1.0) == TRAIN
        for label in np.unique(names[chosen]).tolist():
            own = chosen & (names == label)
            sample = samples.setdefault(label, Sample(most=most, seed=seed))
            sample.add(rows, columns, own, pixels[:, own].astype(np.float64))
        check_number(len(samples), where=labels.cube.image.url)
        share = max(2, min(MOST, TRAINING_VALUES // walk.cube.bands // max(2, len(samples))))
        for sample in samples.values():
            sample.most = share
    if len(samples) < 2:
        raise InputError(
            f"{len(samples)} class(es) of {labels.cube.image.url} have pixels to train on.",
            remedy="Give labels of two classes or more that lie in several squares each, or choose smaller squares.",
        )
    order = sorted(samples)
    spectra = [samples[label].values for label in order]
    return np.concatenate(spectra), np.repeat(order, [len(part) for part in spectra])


def fit_classifier(
    model: Classifier, spectra: NDArray[np.float64], classes: NDArray[np.int64], *, seed: int
) -> tuple[Any, tuple[str, ...]]:
    """Return the fitted classifier, and what it warned of."""

    def module(name: str) -> Any:
        return need(f"sklearn.{name}", extra="analysis", purpose="Classification")

    if model == "logistic":
        core = module("linear_model").LogisticRegression(max_iter=2000)
    elif model == "lda":
        core = module("discriminant_analysis").LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    else:
        core = module("ensemble").RandomForestClassifier(n_estimators=200, min_samples_leaf=5, random_state=seed)
    pipeline = module("pipeline").make_pipeline(module("preprocessing").StandardScaler(), core)
    # Threads would change the last bits of its sums.
    limits = need("threadpoolctl", extra="analysis", purpose="Classification").threadpool_limits(1)
    with limits, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline.fit(spectra, classes)
    return pipeline, tuple(dict.fromkeys(" ".join(str(item.message).split()) for item in caught))


def log_odds(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of the odds of chances, infinite where one is certain."""
    # Infinite where a forest is sure.
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(chances) - np.log1p(-chances))
