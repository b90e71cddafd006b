"""Latent search and its baselines on objects that no generator has seen: the paper's tables, on what is at hand here.

usage: python -m benchmarks.latent_search compare --objects nuclei --data FOLDER [--factor 16 32] [--method rls ...]
       python -m benchmarks.latent_search compare --objects phantoms
       python -m benchmarks.latent_search robust|several|batches --objects nuclei|phantoms [--count 32]

`compare`: every method, all with the same operator; of phantoms also what is left of the difference of two conditions,
and how many cells a classifier still tells that was trained on true ones. `robust`: measurements with noise, salt and
pepper, or blur, of which the search is not told unless it says so. `several`: five solutions for one input, and what
their spread is worth. `batches`: the same solutions in batches of 1, 8 and 64, and by any number of workers. BRGM goes
without its perceptual term unless a network for it is given, see `scalesr.rls.brgm`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import scalesr
from benchmarks.common import RESULTS, save
from benchmarks.latent_figures import SHAPES, judged, pixels, tabled
from scalesr.analysis.object_classes import classify_objects
from scalesr.analysis.retained import retained
from scalesr.demo.storing import store
from scalesr.images import Axis, open_image
from scalesr.models.checkpoint import fingerprint, read
from scalesr.rls.baselines import METHODS, cubic, solve
from scalesr.rls.checkpoints import load
from scalesr.rls.degradation import Degradation
from scalesr.rls.samples import restarts, variational
from scalesr.rls.search import search
from scalesr.rls.unet import unet_of

sys.path.append(str(Path(__file__).parents[1] / "training"))
from rls_data import nuclei, phantoms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.rls.checkpoints import Pair
    from scalesr.rls.search import SearchSettings
    from scalesr.rls.unet import UNet

NAME = "latent-search"
KNOWN = 400
"""True phantoms that the classifier is trained on, of the training part."""
FEATURES = {"ratio": ("ratio_nucleus_cytoplasm",), "ratio and spots": ("ratio_nucleus_cytoplasm", "spots")}
"""What conditions are told by."""


@dataclass(frozen=True, kw_only=True)
class Objects:
    """True objects and the model of them."""

    pair: Pair
    truth: torch.Tensor
    """Intensities of 0..1, shape (n, channels, 64, 64)."""
    conditions: NDArray[Any] | None
    """Of phantoms."""
    unet: UNet | None
    """Network that was trained on pairs, for 16x alone."""

    @property
    def settings(self) -> SearchSettings:
        """How the model's own file says that latents are searched for."""
        return self.pair.search

    @classmethod
    def of(cls, options: argparse.Namespace) -> Objects:
        """Return those of the test part that were asked for, at even distances; brighter pixels are clipped to 1."""
        pair = load(options.weights or f"rls-{options.objects}")
        conditions = None
        if options.objects == "nuclei":
            whole = nuclei(options.part, data=options.data)
            pixels = whole[np.linspace(0, len(whole) - 1, min(options.count, len(whole))).round().astype(int)]
        else:
            pixels, which = phantoms(options.part, count=options.count)
            conditions = np.where(which == 1, "treated", "control")
        unet = unet_of(read(options.unet, sha256=fingerprint(options.unet))) if options.unet else None
        return cls(pair=pair, truth=torch.from_numpy(pixels).clamp(0, 1), conditions=conditions, unet=unet)

    def methods(self, factor: int) -> tuple[str, ...]:
        """Return what can restore them."""
        trained = self.unet is not None and self.unet.factor == factor
        return ("cubic", *(("unet",) if trained else ()), *METHODS)


def restored(
    method: str, objects: Objects, measured: torch.Tensor, degradation: Degradation
) -> tuple[torch.Tensor, dict[str, float]]:
    """Return what a method makes of measured objects, and what is known of how."""
    if method == "cubic":
        return cubic(measured, degradation.factor), {}
    if method == "unet":
        assert objects.unet is not None, "it is no method without weights"
        with torch.inference_mode():
            return objects.unet(measured), {}
    began = process_time()
    found = solve(method, objects.pair, measured, degradation, settings=objects.settings)  # type: ignore[arg-type]
    return found.images, {"seconds": process_time() - began, "flagged": float(found.flagged.float().mean())}


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of all methods at all factors."""
    objects = Objects.of(options)
    sections = {}
    for factor in options.factor:
        degradation = Degradation(factor=factor)
        measured = degradation(objects.truth)
        rows = {}
        with tempfile.TemporaryDirectory() as place:
            true = features(objects.truth, objects.conditions, Path(place))
            for method in options.method or objects.methods(factor):
                made, how = restored(method, objects, measured, degradation)
                rows[method] = {**how, **judged(made, objects.truth, measured, degradation)}
                rows[method] |= kept(true, features(made, objects.conditions, Path(place)), options)
                print(f"{options.objects} {factor}x {method:16s} {line(rows[method])}", flush=True)
            if objects.conditions is not None:
                rows["truth"] = kept(true, true, options)
                print(f"{options.objects} {factor}x truth            {line(rows['truth'])}", flush=True)
        sections[f"compare {options.objects} {factor}x"] = {"objects": len(measured), "methods": rows}
    return sections


def features(images: torch.Tensor, conditions: NDArray[Any] | None, folder: Path) -> Any:
    """Return the features of objects as a table."""
    return tabled(images, folder, conditions=conditions)


def kept(true: Any, made: Any, options: argparse.Namespace) -> dict[str, float]:
    """Return what is left of features: their correlation, and of conditions the effect and the classes."""
    names = list(SHAPES)
    if options.objects == "nuclei":
        found = retained(true, made, features=names)
        return {f"correlation {each.feature}": each.correlation for each in found.features}
    names += ["ratio_nucleus_cytoplasm", "spots"]
    found = retained(true, made, features=names, condition="condition", conditions=("treated", "control"))
    figures = {f"correlation {each.feature}": each.correlation for each in found.features}
    for each in found.features[-2:]:
        assert each.true is not None, "there are conditions"
        assert each.restored is not None, "there are conditions"
        figures[f"effect {each.feature}"] = each.restored.cohen_d
        figures[f"retained {each.feature}"] = each.retained_effect or 0.0
    for name, columns in FEATURES.items():
        told = classify_objects(known(), made, features=columns, condition="condition", apart="none")
        figures[f"accuracy by {name}"] = told.accuracy
    return figures


@cache
def known() -> Any:
    """Return the features of the true phantoms that the classifier is trained on."""
    cells, which = phantoms("train", count=KNOWN)
    with tempfile.TemporaryDirectory() as place:
        return features(torch.from_numpy(cells), np.where(which == 1, "treated", "control"), Path(place))


def robust(options: argparse.Namespace) -> dict[str, Any]:
    """Return PSNR, SSIM and Frechet distance from measurements that are worse than the search is told."""
    objects = Objects.of(options)
    factor = options.factor[0]
    plain = Degradation(factor=factor)
    clean = plain(objects.truth)
    random = np.random.default_rng(0)
    noise = torch.from_numpy(random.standard_normal(clean.shape).astype(np.float32))
    chance = torch.from_numpy(random.random(clean.shape))
    speckled = torch.where(chance < 0.025, 0.0, torch.where(chance > 0.975, 1.0, clean))
    worse = {
        "none": clean,
        "Gaussian noise of 0.1": clean + 0.1 * noise,
        "salt and pepper, 5 %": speckled.to(clean.dtype),
        "Gaussian blur of 1 measured px": Degradation(factor=factor, psf=float(factor))(objects.truth),
    }
    told = {
        "Gaussian noise of 0.1": replace(plain, noise=0.1),
        "Gaussian blur of 1 measured px": replace(plain, psf=float(factor)),
    }
    rows = {}
    for name, measured in worse.items():
        for method in options.method or ("cubic", "rls", "without", "pulse", "brgm"):
            for degradation in (plain, *([told[name]] if name in told and method == "rls" else [])):
                made, _ = restored(method, objects, measured, degradation)
                label = f"{name}: {method}" + ("" if degradation is plain else ", told")
                rows[label] = judged(made, objects.truth, measured, degradation)
                print(f"{label:60s} {line(rows[label])}", flush=True)
    return {f"robust {options.objects} {factor}x": {"objects": len(clean), "rows": rows}}


def several(options: argparse.Namespace) -> dict[str, Any]:
    """Return how far five solutions for one input lie apart, and how often the truth lies within their spread."""
    objects, found = Objects.of(options), {}
    pair, factor = objects.pair, options.factor[0]
    degradation = Degradation(factor=factor)
    measured = degradation(objects.truth)
    assert pair.prior is not None, "the model has a flow"
    for way, function in (("restarts", restarts), ("variational", variational)):
        samples = function(pair.generator, pair.prior, measured, degradation, objects.settings, samples=5)
        judgement = samples.against(objects.truth)
        gap = (degradation(samples.images.flatten(0, 1)) - measured.repeat(5, 1, 1, 1)).abs().mean()
        found[way] = {
            "deviation": float(samples.deviation.mean()),
            "error of the mean": float((samples.mean - objects.truth).abs().mean()),
            "psnr of one": pixels(samples.images[0], objects.truth)["psnr"],
            "psnr of the mean": pixels(samples.mean, objects.truth)["psnr"],
            "consistency": 255 * float(gap),
            "within 1 deviation": judgement.within[1.0],
            "within 2 deviations": judgement.within[2.0],
            "factor": judgement.factor,
        }
        print(f"{way:12s} {line(found[way])}", flush=True)
    return {f"several {options.objects} {factor}x": {"objects": len(measured), **found}}


def batches(options: argparse.Namespace) -> dict[str, Any]:
    """Return the largest difference of an object's solutions in batches of several sizes, and by several workers."""
    objects = Objects.of(options)
    pair, settings, factor = objects.pair, objects.settings, options.factor[0]
    degradation = Degradation(factor=factor)
    measured = degradation(objects.truth)
    usual = search(pair.generator, pair.prior, measured, degradation, settings).images
    found: dict[str, Any] = {}
    for size in (1, 8, len(measured)):
        numbers = torch.arange(len(measured) - size, len(measured))
        part = search(pair.generator, pair.prior, measured[-size:], degradation, settings, ids=numbers).images
        found[f"batch of {size}"] = {
            "largest difference": float((part - usual[-size:]).abs().max()),
            "same bits": torch.equal(part, usual[-size:]),
        }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        low = store(
            measured.numpy(),
            folder / "low.ome.zarr",
            pixel=float(factor),
            first=(Axis("n", "other"), Axis("c", "channel")),
            levels="one",
        )
        made = []
        for workers in (1, 2):
            out = folder / f"{workers}.ome.zarr"
            scalesr.run(
                low, out, model=options.weights or f"rls-{options.objects}", scheduler="threads", workers=workers,
                normalise="none",
            )  # fmt: skip
            image = open_image(out)
            made.append(image.read(tuple(slice(0, n) for n in image.shape)))
        found["1 and 2 workers"] = {
            "largest difference": float(np.abs(made[0] - made[1]).max()),
            "same bits": bool(np.array_equal(made[0], made[1])),
        }
    print(found, flush=True)
    return {f"batches {options.objects} {factor}x": {"objects": len(measured), **found}}


def line(figures: dict[str, float]) -> str:
    """Return figures as text."""
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


def main() -> None:
    """Run one of them, and put its figures beside those of the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("compare", "robust", "several", "batches"))
    parser.add_argument("--objects", choices=("nuclei", "phantoms"), required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument("--factor", type=int, nargs="+", default=[16])
    parser.add_argument("--count", type=int, default=64, help="objects")
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--method", nargs="+", choices=("cubic", "unet", *METHODS))
    parser.add_argument("--unet", type=Path, help="weights of `training/rls.py unet`, to be compared at their factor")
    parser.add_argument("--weights", help="other weights than those of the package")
    parser.add_argument("--name", default=NAME, help="name of the file of results")
    options = parser.parse_args()
    if "unet" in (options.method or ()) and options.unet is None:
        parser.error("name the weights of the U-Net with --unet")
    if options.data is None and options.objects == "nuclei":
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    torch.set_num_threads(1)
    kept_in = RESULTS / f"{options.name}.json"
    before: dict[str, Any] = json.loads(kept_in.read_text()) if kept_in.exists() else {}
    run = {"compare": compare, "robust": robust, "several": several, "batches": batches}[options.what]
    save(options.name, before | run(options))


if __name__ == "__main__":
    main()
