"""Objects of images and plates of any size: labels, figures, spots, translocation, and crops, for any blocks."""

from __future__ import annotations

from scalesr.analysis.objects.assay import Assay
from scalesr.analysis.objects.crop_stack import Crops, open_crops
from scalesr.analysis.objects.crops import gather_crops
from scalesr.analysis.objects.field_labels import LabelledFields, label_fields
from scalesr.analysis.objects.field_tables import measure_fields
from scalesr.analysis.objects.labelling import Labelled, label_objects
from scalesr.analysis.objects.misfits import misfits_of_objects
from scalesr.analysis.objects.scattering import scatter_crops
from scalesr.analysis.objects.spots import count_spots
from scalesr.analysis.objects.statistics import measure_objects
from scalesr.analysis.objects.translocation import translocation
from scalesr.analysis.objects.whole import features_of_crops

__all__ = [
    "Assay",
    "Crops",
    "Labelled",
    "LabelledFields",
    "count_spots",
    "features_of_crops",
    "gather_crops",
    "label_fields",
    "label_objects",
    "measure_fields",
    "measure_objects",
    "misfits_of_objects",
    "open_crops",
    "scatter_crops",
    "translocation",
]
