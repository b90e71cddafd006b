"""``scalesr import``: an OME-Zarr image of a TIFF, a stack of planes, or an array."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from scalesr.cli import options as given  # noqa: TC001 typer reads annotations while the program runs
from scalesr.cli.failing import reporting
from scalesr.cli.info import document
from scalesr.cli.options import told
from scalesr.cli.output import counting, print_json, print_lines
from scalesr.cli.values import parse_pixel_size

EXAMPLES = """
[bold]Examples[/bold]

  [cyan]scalesr import stack.ome.tif stack.ome.zarr[/cyan]

A file that does not say what its dimensions are, nor how large its pixels:

  [cyan]scalesr import scan.tif scan.ome.zarr --axes zyx --pixel-size z=2,y=0.325,x=0.325 --unit micrometer[/cyan]

A folder of numbered planes:

  [cyan]scalesr import 'planes/*.tif' volume.ome.zarr --pixel-size 0.5 --unit um[/cyan]

Spectral cubes, with their wavelengths:

  [cyan]scalesr import capture.hdr capture.ome.zarr[/cyan]
  [cyan]scalesr import scene.mat scene.ome.zarr --variable cube[/cyan]

Mass spectrometry images, one band for each m/z of a list:

  [cyan]scalesr import run.imzML cube.ome.zarr --peaks 700.55,864.6 --ppm 5[/cyan]
  [cyan]scalesr import run.imzML cube.ome.zarr --peaks lipids.csv[/cyan]
"""


def import_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A TIFF, imzML, ENVI cube, MATLAB file, .npy, Zarr array, folder of TIFF planes, or a pattern such as "
            "'planes/*.tif'.",
        ),
    ],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Where the OME-Zarr image goes.")],
    *,
    axes: Annotated[
        str | None,
        typer.Option(
            metavar="LETTERS",
            help="One letter for each dimension of the source, of t, c, z, y, x.",
            show_default="as the source says",
        ),
    ] = None,
    pixel_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Size of a pixel: 0.325, or z=2,y=0.325,x=0.325.", show_default="as the source says"
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(help="Unit of the pixel size: micrometer, nanometer, ...", show_default="as the source says"),
    ] = None,
    series: Annotated[int, typer.Option(min=0, metavar="N", help="Which image of a file that holds several.")] = 0,
    variable: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which variable of a MATLAB file.",
            show_default="the only numeric one of three dimensions",
        ),
    ] = None,
    peaks: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NUMBERS",
            help="m/z of the bands of an imzML file: 700.55,864.6, or a text or CSV file with one in each line.",
            show_default="the 200 highest of the mean spectrum",
        ),
    ] = None,
    ppm: Annotated[
        float | None,
        typer.Option(
            metavar="PPM", help="Half the width of the window around each m/z of an imzML file.", show_default="10"
        ),
    ] = None,
    missing_planes: Annotated[
        Literal["refuse", "keep"],
        typer.Option(
            help="Planes that are missing by the z numbers of files or the positions in an OME-TIFF. keep: planes of "
            "zeros take their place, and the image names them, for models that make them up.",
        ),
    ] = "refuse",
    overwrite: Annotated[bool, typer.Option("--overwrite", metavar="", help="Replace an image that is there.")] = False,
    quiet: given.Quiet = False,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Make an OME-Zarr image, with its pyramid, of a file in another format. Files larger than memory are fine.

    If it fails or is stopped, nothing is left behind.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        sizes = parse_pixel_size(pixel_size)
        from scalesr.images import import_image  # noqa: PLC0415 zarr takes most of a second

        with counting(shown=not quiet and not json) as bar:
            task = bar.add_task("importing", total=None)
            image = import_image(
                source,
                target,
                axes=axes,
                pixel_size=sizes,
                unit=unit,
                series=series,
                variable=variable,
                peaks=parse_peaks(peaks),
                ppm=ppm,
                missing_planes=missing_planes,
                mode="overwrite" if overwrite else "create",
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        if json:
            print_json(document(image))
        elif not quiet:
            shape = ", ".join(f"{axis.name} {size:,}" for axis, size in zip(image.axes, image.shape, strict=True))
            print_lines([("written", image.url), ("image", f"{shape}; {image.dtype}; {len(image.levels)} levels")])


def parse_peaks(text: str | None) -> str | tuple[float, ...] | None:
    """Return the m/z that a text lists, or else the text, which then names a file of them."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        return text
