"""Objects a second of latent search, in batches of 1, 8 and 64, against the authors' way: one after the other.

usage: python -m benchmarks.latent_speed [--model rls-phantoms] [--steps 100] [--repeats 3] [--threads 1] [--many 64]

Both ways have the same generator, objects, operator, noise maps, begin, objective, rates and number of steps: those in
the model's file, from the mean latent. The authors' way is `benchmarks.released_search`, with all threads for one
object. Ours works on groups side by side as a run does, one thread each, or all threads for a single group. Each repeat
times all ways one after the other; ratios are of one repeat, and their medians count. CPU time is that of the process,
which another load on the machine changes less than the wall clock. `ways` says what each part of the speed contributes.
Solutions are compared by the PSNR between images of the same object, of an intensity range of 1, beside what rounding
alone makes of them: the same search in groups of another size.
"""

from __future__ import annotations

import argparse
import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, get_args

import torch

from benchmarks.common import save
from benchmarks.released_search import ReleasedSearch
from scalesr.phantoms import screen_cells
from scalesr.phantoms.screen import Condition
from scalesr.rls.checkpoints import Pair, load
from scalesr.rls.degradation import Degradation
from scalesr.rls.descent import RISING, descend
from scalesr.rls.generator import unit
from scalesr.rls.maps import noise_maps
from scalesr.rls.search import SearchSettings, search

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scalesr.rls.descent import Terms

FACTOR, SEED = 16, 90
RELEASED = "as released, one by one"


def objects(pair: Pair, count: int) -> torch.Tensor:
    """Return true objects, shape (count, channels, size, size): phantoms, or where there are none images of its own."""
    if pair.generator.settings.channels == 2:  # phantoms have two
        kinds = get_args(Condition)
        both = [screen_cells(-(-count // len(kinds)), condition=kind, seed=SEED).images for kind in kinds]
        return torch.cat([torch.from_numpy(each) for each in both])[:count].clamp(0, 1)
    z = torch.randn(count, pair.generator.settings.latent, generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        return unit(pair.generator(z)).clamp(0, 1)


def by_module(pair: Pair, measured: torch.Tensor, degradation: Degradation, settings: SearchSettings) -> torch.Tensor:
    """Search in groups by the generator itself, features first in memory, as before its weights were worked out."""
    generator, found = pair.generator, []
    assert pair.prior is not None, "the model has a flow"
    for start in range(0, len(measured), settings.group):
        part = measured[start : start + settings.group]
        maps = noise_maps(generator, torch.arange(start, start + len(part)), seed=settings.seed)

        def energy(variables: Sequence[torch.Tensor], step: int, part: Any = part, maps: Any = maps) -> Terms:  # noqa: ARG001
            seen = degradation(unit(generator.synthesis(variables[0], maps)))
            return settings.objective.terms(seen, part, variables[0], floor=degradation.floor(part), prior=pair.prior)

        begin = pair.prior.mean.expand(len(part), generator.layers, -1)
        came = descend([begin], energy, steps=settings.steps, rates=[settings.rate], energies="alike")
        with torch.no_grad():
            found.append(unit(generator.synthesis(came.variables[0], maps)))
    return torch.cat(found)


def ways(
    pair: Pair, measured: torch.Tensor, degradation: Degradation, settings: SearchSettings, *, one: int
) -> dict[str, tuple[int, Callable[[], torch.Tensor]]]:
    """Return all ways by name: how many objects they search for, and what does it and returns their images."""
    many, threads = len(measured), torch.get_num_threads()

    def released(weights: Any) -> Callable[[], torch.Tensor]:
        way = ReleasedSearch(pair, factor=degradation.factor, weights=weights)
        maps: list[Any] = [noise_maps(pair.generator, torch.tensor([each]), seed=settings.seed) for each in range(one)]
        return lambda: torch.stack([way(measured[each : each + 1], maps[each], settings).image for each in range(one)])

    def ours(count: int, **changes: Any) -> tuple[int, Callable[[], torch.Tensor]]:
        chosen = replace(settings, **changes)
        groups = torch.arange(count).split(chosen.group)

        def one_of(ids: torch.Tensor) -> torch.Tensor:
            return search(pair.generator, pair.prior, measured[ids], degradation, chosen, ids=ids).images

        def all_of() -> torch.Tensor:
            if len(groups) == 1:
                return one_of(groups[0])
            torch.set_num_threads(1)
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                found = torch.cat(list(pool.map(one_of, groups)))
            torch.set_num_threads(threads)
            return found

        return count, all_of

    return {
        RELEASED: (one, released("learning")),
        "as released, no gradients of weights": (one, released("fixed")),
        "batch of 1": ours(1, group=1),
        "batch of 8": ours(8, group=8),
        f"batch of {many}": ours(many),
        f"batch of {many}, weights as they are": (many, lambda: by_module(pair, measured, degradation, settings)),
        f"batch of {many}, mixed": ours(many, arithmetic="mixed"),
        f"batch of {many}, groups of {2 * settings.group}": ours(many, group=2 * settings.group),
        f"batch of {many}, groups of {2 * settings.group}, mixed": ours(
            many, group=2 * settings.group, arithmetic="mixed"
        ),
    }


def timed(work: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float, float]:
    """Return an outcome, and the CPU time and the wall time that it took."""
    wall, cpu = perf_counter(), process_time()
    found = work()
    return found, process_time() - cpu, perf_counter() - wall


def psnr(made: torch.Tensor, truth: torch.Tensor) -> float:
    """Return the PSNR in dB of all pixels, for a range of 1."""
    return float(-10 * torch.log10((made.double() - truth.double()).square().mean()))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="rls-phantoms")
    parser.add_argument("--steps", type=int, default=None, help="others than the file's 100")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="cores for all ways")
    parser.add_argument("--one", type=int, default=2, help="objects that are searched for in the authors' way")
    parser.add_argument("--many", type=int, default=64, help="objects of the largest batch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pair = load(options.model)
    settings = replace(pair.search, around="mean", steps=options.steps or pair.search.steps)
    degradation = Degradation(kind="pulse", factor=FACTOR)
    truth = objects(pair, options.many)
    measured = degradation(truth)
    rates: dict[str, list[dict[str, float]]] = {}
    images: dict[str, torch.Tensor] = {}
    every = ways(pair, measured, degradation, settings, one=options.one)
    for _ in range(options.repeats):
        for name, (count, work) in every.items():
            images[name], cpu, wall = timed(work)
            rates.setdefault(name, []).append({"cpu": count / cpu, "wall": count / wall})
            print(f"{name:40s} {count / cpu:8.3f} objects a CPU second {count / wall:8.3f} a second", flush=True)
    speed = {}
    for name, all_of in rates.items():
        row = {f"objects a second, {clock}": statistics.median(each[clock] for each in all_of) for clock in all_of[0]}
        for clock in all_of[0]:
            of = [each[clock] / first[clock] for each, first in zip(all_of, rates[RELEASED], strict=True)]
            row[f"times the released way, {clock}"] = statistics.median(of)
        speed[name] = row
    usual = f"batch of {options.many}"
    found = search(pair.generator, pair.prior, measured[: settings.group], degradation, settings)
    again = images[usual][: len(found.images)]
    save(
        f"latent-speed-{options.threads}",
        {
            **{name: getattr(options, name) for name in ("model", "repeats", "threads", "one", "many")},
            "steps": settings.steps,
            "speed": speed,
            "solutions": {
                name: {
                    "psnr to those as released": psnr(made[: options.one], images[RELEASED][: len(made)]),
                    f"psnr to {usual}": psnr(made, images[usual][: len(made)]),
                    "psnr to the truth": psnr(made, truth[: len(made)]),
                    "misfit": float((degradation(made) - measured[: len(made)]).abs().mean()),
                }
                for name, made in images.items()
                if name != "batch of 1" or options.one == 1
            },
            "same bits as a group by itself": torch.equal(found.images, again),
            "best place met before the last tenth": float((found.steps < RISING * settings.steps).float().mean()),
        },
    )


if __name__ == "__main__":
    main()
