"""What is asked of restored images: segments, classes, spectra, profiles, other modalities, resolution, objects.

Each question is a function of images in storage that may be larger than memory, and each answer a frozen value that
shows its figures as rows and, where it is one, as a picture. `segment` and `classify` need scikit-learn.

Objects, in the order in which they are asked about: `label_fields` finds them in an image or in all fields of a plate,
`measure_fields` measures them by an `Assay` into an `ObjectTable`, `read_plate_map` joins their conditions, `by_well`
sums that up, `retained` and `classify_objects` compare a table of restored images with one of true ones.
`gather_crops` makes a stack of their images for models of single objects, `scatter_crops` puts them back. What these
are made of takes one image at a time: `label_objects`, `measure_objects`, `translocation`, `count_spots`,
`features_of_crops`.
"""

from __future__ import annotations

from scalesr.analysis.agreement import Agreement, agreement
from scalesr.analysis.classification import Classification, classify
from scalesr.analysis.clusters import Clusters
from scalesr.analysis.concordance import Concordance, concordance
from scalesr.analysis.effective_psf import EffectivePSF, effective_psf
from scalesr.analysis.linescan import Linescan, linescan
from scalesr.analysis.mean_spectra import MeanSpectra, mean_spectra
from scalesr.analysis.object_classes import classify_objects
from scalesr.analysis.objects import (
    Assay,
    Crops,
    Labelled,
    LabelledFields,
    count_spots,
    features_of_crops,
    gather_crops,
    label_fields,
    label_objects,
    measure_fields,
    measure_objects,
    open_crops,
    scatter_crops,
    translocation,
)
from scalesr.analysis.plate_map import PlateMap, read_plate_map
from scalesr.analysis.resolution import ResolutionEstimate, estimated_resolution
from scalesr.analysis.retained import Retained, retained
from scalesr.analysis.roc import Roc
from scalesr.analysis.segmentation import Segmentation, assign, segment
from scalesr.analysis.tables import ObjectTable, read_parquet, to_anndata, write_anndata, write_parquet
from scalesr.analysis.wells import Contrast, Wells, by_well

__all__ = [
    "Agreement",
    "Assay",
    "Classification",
    "Clusters",
    "Concordance",
    "Contrast",
    "Crops",
    "EffectivePSF",
    "Labelled",
    "LabelledFields",
    "Linescan",
    "MeanSpectra",
    "ObjectTable",
    "PlateMap",
    "ResolutionEstimate",
    "Retained",
    "Roc",
    "Segmentation",
    "Wells",
    "agreement",
    "assign",
    "by_well",
    "classify",
    "classify_objects",
    "concordance",
    "count_spots",
    "effective_psf",
    "estimated_resolution",
    "features_of_crops",
    "gather_crops",
    "label_fields",
    "label_objects",
    "linescan",
    "mean_spectra",
    "measure_fields",
    "measure_objects",
    "open_crops",
    "read_parquet",
    "read_plate_map",
    "retained",
    "scatter_crops",
    "segment",
    "to_anndata",
    "translocation",
    "write_anndata",
    "write_parquet",
]
