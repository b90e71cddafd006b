from __future__ import annotations

import subprocess
import sys
import textwrap
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imzml_files import FORMATS, MICROMETRES, ZLIB, Pair, size_terms
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from pyimzml.ImzMLParser import ImzMLParser

from scalesr.errors import InputError
from scalesr.images import Image, import_image, open_image
from scalesr.images.importing.companions import open_companion
from scalesr.images.importing.imzml import ImzMLSource
from scalesr.images.importing.peaks import MeanSpectrum, given_peaks
from scalesr.images.spectral import read_spectral

if TYPE_CHECKING:
    from pathlib import Path

MILLIMETRES = 'unitAccession="UO:0000016"'
MZ = [100.0, 200.0, 300.0]


def everything(image: Image) -> np.ndarray[Any, Any]:
    return image.read(tuple(slice(0, n) for n in image.shape))


def beside(image: Image, name: str) -> np.ndarray[Any, Any]:
    array = open_companion(image, name)
    assert array is not None
    return np.asarray(array[...])


def noted(image: Image) -> dict[str, Any]:
    axis = read_spectral(image)
    assert axis is not None
    return dict(axis.attributes)


def square(*values: Any, mz: Any = MZ) -> list[tuple[tuple[int, ...], Any, Any]]:
    """Return a row of spectra, at x = 1, 2, ..."""
    return [((x, 1), mz, value) for x, value in enumerate(values, start=1)]


def imported(tmp_path: Path, pair: Pair, **options: Any) -> Image:
    path = pair.write(tmp_path / "run.imzML")
    return import_image(path, tmp_path / "o.zarr", **({"peaks": MZ} | options))


def reference(path: Path, peaks: list[float], ppm: float) -> np.ndarray[Any, Any]:
    """Sum every window of every spectrum by itself, with pyimzML's own reading."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = ImzMLParser(str(path))
    with parser:
        places = np.array(parser.coordinates) - np.min(parser.coordinates, axis=0)
        cube = np.zeros((len(peaks), *(places.max(axis=0) + 1)[1::-1]))
        for number, (x, y, _) in enumerate(places):
            mz, values = (np.asarray(a, dtype=np.float64) for a in parser.getspectrum(number))
            for band, peak in enumerate(peaks):
                window = (mz >= peak * (1 - ppm * 1e-6)) & (mz <= peak * (1 + ppm * 1e-6))
                cube[band, y, x] = values[window].sum()
    return cube


@pytest.mark.parametrize("name", ["Continuous", "Processed"])
def test_real_files_of_both_kinds(data: Path, tmp_path: Path, name: str) -> None:
    path = data / f"msi/pyimzml_examples/Example_{name}.imzML"
    peaks = [151.9, 328.9, 500.0, 799.5]
    image = import_image(path, tmp_path / "o.zarr", peaks=peaks, ppm=500)
    np.testing.assert_allclose(everything(image), reference(path, peaks, 500), rtol=1e-6)
    assert everything(image).max() > 1
    assert (image.pixel_sizes, image.axes[-1].unit) == ((1.0, 100.0, 100.0), "micrometer")
    axis = read_spectral(image)
    assert axis is not None
    assert axis.quantity == "m/z"
    assert axis.unit is None
    assert axis.values.tolist() == peaks
    assert (axis.attributes["polarity"], axis.attributes["representation"]) == ("negative", "profile")
    assert [channel.label for channel in image.channels] == [f"m/z {peak:.4f}" for peak in peaks]
    assert beside(image, "mask").all()


def test_real_tissue(data: Path, tmp_path: Path) -> None:
    folder = data / "msi/plaquepicker_mouse_brain"
    image = import_image(folder / "derived_crop_upper_64x64.imzML", tmp_path / "o.zarr")
    expected = np.load(folder / "derived_ion_images_upper.npz")["ion_images"][:, 60:124, 222:286]
    np.testing.assert_array_equal(everything(image), expected)
    np.testing.assert_allclose(beside(image, "tic"), expected.sum(axis=0, dtype=np.float64), rtol=1e-12)


def test_missing_pixels_are_masked(data: Path, tmp_path: Path) -> None:
    path = data / "msi/thyra_imzml_quirks/iontof_sparse.imzML"
    image = import_image(path, tmp_path / "o.zarr", peaks=[105.0, 205.0])
    mask = np.zeros((4, 4), bool)
    for x, y in ((1, 1), (2, 1), (4, 2), (1, 3), (3, 3), (4, 4)):
        mask[y - 1, x - 1] = True
    np.testing.assert_array_equal(beside(image, "mask"), mask)
    assert beside(image, "mask").dtype == np.uint8
    assert not everything(image)[:, ~mask].any()
    assert (beside(image, "tic")[mask] > 0).all()
    # The file gives a size without a unit, which the standard says is in micrometres.
    assert (image.pixel_sizes[-1], image.axes[-1].unit) == (4.40625, "micrometer")


def test_nanometres_stay_nanometres(data: Path, tmp_path: Path) -> None:
    path = data / "msi/thyra_imzml_quirks/unit_nanometre.imzML"
    image = import_image(path, tmp_path / "o.zarr", peaks=[100.0])
    assert (image.pixel_sizes[1:], image.axes[-1].unit) == ((4406.25, 4406.25), "nanometer")


@pytest.mark.parametrize(
    ("terms", "sizes", "unit"),
    [
        (size_terms(0.05, 0.1, MILLIMETRES), (0.1, 0.05), "millimeter"),
        (size_terms(40), (40, 40), "micrometer"),
        (size_terms(40, 20, 'unitAccession="UO:0000010" unitName="second"'), (1, 1), None),
        (size_terms(0), (1, 1), None),
        ("", (1, 1), None),
        (size_terms(1, unit=MILLIMETRES) + size_terms(1, 500).split("/>")[1] + "/>", (0.5, 1), "millimeter"),
    ],
)
def test_pixel_sizes(tmp_path: Path, terms: str, sizes: tuple[float, float], unit: str | None) -> None:
    image = imported(tmp_path, Pair(spectra=square([1, 2, 3]), settings=(terms,)))
    assert image.pixel_sizes[1:] == pytest.approx(sizes)
    assert [axis.unit for axis in image.axes] == [None, unit, unit]


def test_scan_settings_that_differ_are_asked_for(data: Path, tmp_path: Path) -> None:
    path = data / "msi/thyra_imzml_quirks/two_scansettings.imzML"
    with pytest.raises(InputError, match=r"10 x 10 micrometer and 25 x 25 micrometer.*--pixel-size"):
        import_image(path, tmp_path / "o.zarr")
    image = import_image(path, tmp_path / "o.zarr", pixel_size=25, unit="um")
    assert (image.pixel_sizes[-1], image.axes[-1].unit) == (25, "micrometer")
    pair = Pair(spectra=square([1, 2, 3]), settings=(size_terms(5, 5), size_terms(5, 5)))
    assert imported(tmp_path, pair, mode="overwrite").pixel_sizes[-1] == 5


@pytest.mark.parametrize("first", [0, 1, 223])
def test_positions_start_anywhere(tmp_path: Path, first: int) -> None:
    spectra: list[Any] = [
        ((first, first), MZ, [1, 2, 3]),
        ((first + 1, first), MZ, [4, 5, 6]),
        ((first + 1, first + 2), MZ, [7, 8, 9]),
    ]
    image = imported(tmp_path, Pair(spectra=spectra))
    assert image.shape == (3, 3, 2)
    np.testing.assert_array_equal(everything(image)[0], [[1, 4], [0, 0], [0, 7]])
    assert noted(image)["first_position"] == {"z": 1, "y": first, "x": first}


@pytest.mark.parametrize("first", [0, 1])
def test_depth(tmp_path: Path, first: int) -> None:
    spectra: list[Any] = [((x, y, first + z), MZ, [z, x, y]) for z in range(3) for y in (1, 2) for x in (1, 2, 3)]
    image = imported(tmp_path, Pair(spectra=spectra[::-1]))
    assert image.axis_names == ("c", "z", "y", "x")
    z, y, x = np.meshgrid(range(3), (1, 2), (1, 2, 3), indexing="ij")
    np.testing.assert_array_equal(everything(image), [z, x, y])
    np.testing.assert_array_equal(beside(image, "tic"), z + x + y)


def test_two_spectra_of_one_pixel_are_named(tmp_path: Path) -> None:
    pair = Pair(spectra=[*square([1, 2, 3], [1, 2, 3]), ((2, 1), MZ, [4, 5, 6])])
    with pytest.raises(InputError, match=r"1 spectra are at a position .* such as \(2, 1, 1\)"):
        imported(tmp_path, pair)


def test_compressed_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"zlib compression.*Export it again without"):
        imported(tmp_path, Pair(spectra=square([1, 2, 3]), packing=ZLIB))


def test_arrays_that_cannot_be_raw_are_refused(tmp_path: Path) -> None:
    path = Pair(spectra=square([1, 2, 3], [1, 2, 3])).write(tmp_path / "run.imzML")
    text = path.read_text().replace('"external array length" value="3"', '"external array length" value="4"')
    path.write_text(text)
    path.with_suffix(".ibd").write_bytes(path.with_suffix(".ibd").read_bytes() + bytes(100))
    with pytest.raises(InputError, match=r"overlap in run\.ibd"):
        import_image(path, tmp_path / "o.zarr", peaks=MZ)


def test_a_short_ibd(data: Path, tmp_path: Path) -> None:
    path = Pair(spectra=square([1, 2, 3], [1, 2, 3])).write(tmp_path / "run.imzML")
    whole = path.with_suffix(".ibd").read_bytes()
    path.with_suffix(".ibd").write_bytes(whole[:-1])
    with pytest.raises(InputError, match=rf"run.ibd is cut short: it has {len(whole) - 1} bytes.* end at {len(whole)}"):
        import_image(path, tmp_path / "o.zarr", peaks=MZ)
    path.with_suffix(".ibd").write_bytes(whole)
    source = ImzMLSource(path, peaks=MZ)
    path.with_suffix(".ibd").write_bytes(whole[:50])
    with pytest.raises(InputError, match="is cut short at 50"):
        source.read((slice(0, 3), slice(0, 1), slice(0, 2)))


@pytest.mark.parametrize("length", [0, 300, 1500])
def test_damaged_xml(tmp_path: Path, length: int) -> None:
    path = Pair(spectra=square([1, 2, 3])).write(tmp_path / "run.imzML")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match="is not whole imzML"):
        import_image(path, tmp_path / "o.zarr")


def test_no_spectra(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no spectra"):
        imported(tmp_path, Pair(spectra=[]))


def test_an_ibd_of_another_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"belongs to another file: it begins with .*, its \.imzML says 0000"):
        imported(tmp_path, Pair(spectra=square([1, 2, 3]), said=uuid.UUID(int=5)))
    assert imported(tmp_path, Pair(spectra=square([1, 2, 3]), windows=True)).shape == (3, 1, 1)


def test_the_ibd_is_found_in_any_case_and_missed_by_name(tmp_path: Path) -> None:
    path = Pair(spectra=square([1, 2, 3])).write(tmp_path / "run.imzML", ibd=".IBD")
    assert import_image(path, tmp_path / "o.zarr", peaks=MZ).shape == (3, 1, 1)
    with pytest.raises(InputError, match=r"Name the \.imzML beside it"):
        import_image(path.with_suffix(".IBD"), tmp_path / "p.zarr", peaks=MZ)
    path.with_suffix(".IBD").unlink()
    with pytest.raises(InputError, match=r"has no run\.ibd beside it"):
        import_image(path, tmp_path / "p.zarr", peaks=MZ)


@pytest.mark.parametrize("kind", ["i4", "i8", "f8"])
def test_number_formats(tmp_path: Path, kind: str) -> None:
    image = imported(tmp_path, Pair(spectra=square([1, -2, 3_000_000]), intensity_format=kind, mz_format="f4"))
    np.testing.assert_array_equal(everything(image)[:, 0, 0], [1, -2, 3_000_000])
    assert image.dtype == np.float32


def test_two_precision_terms(data: Path, tmp_path: Path) -> None:
    path = data / "msi/thyra_imzml_quirks/two_precision_terms.imzML"
    peaks = [100.0, 102.0, 200.0]
    found = everything(import_image(path, tmp_path / "o.zarr", peaks=peaks))
    np.testing.assert_array_equal(found, reference(path, peaks, 10))
    assert found.max() == 30
    pair = Pair(spectra=square([1, 2, 3]), mz_format="f4", terms={"mzArray": FORMATS["f8"]})
    np.testing.assert_array_equal(everything(imported(tmp_path, pair, mode="overwrite"))[:, 0, 0], [1, 2, 3])
    same = Pair(spectra=square([1, 2, 3]), terms={"mzArray": FORMATS["i8"]})
    with pytest.raises(InputError, match="names several number formats"):
        imported(tmp_path, same, mode="overwrite")
    with pytest.raises(InputError, match="does not say which number format"):
        imported(tmp_path, Pair(spectra=square([1, 2, 3]), mz_format="f2"), mode="overwrite")


def test_lengths_that_differ(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="spectrum 2 has 3 m/z values and 2 intensities"):
        imported(tmp_path, Pair(spectra=square([1, 2, 3], [1, 2])))


def test_points_that_are_no_numbers_are_left_out_and_counted(tmp_path: Path) -> None:
    pair = Pair(
        spectra=[
            *square([1, np.nan, 3], [-1, 2, -3], [np.inf, 5, -np.inf]),
            ((4, 1), [300.0, 100.0, np.nan], [3, 1, 9]),
            ((5, 1), MZ, [7, 8, 9]),
        ]
    )
    image = imported(tmp_path, pair)
    np.testing.assert_array_equal(everything(image)[:, 0], [[1, -1, 0, 1, 7], [0, 2, 5, 0, 8], [3, -3, 0, 3, 9]])
    np.testing.assert_array_equal(beside(image, "tic")[0], [4, -2, 5, 4, 24])
    notes = noted(image)
    assert (notes["non_finite"], notes["negative"], notes["unsorted"]) == (4, 2, 1)


def test_shared_mz_with_points_left_out(tmp_path: Path) -> None:
    pair = Pair(spectra=square([1, 2, 3], [np.nan, 5, 6], [7, 8, 9]), shared=True)
    np.testing.assert_array_equal(everything(imported(tmp_path, pair))[:, 0], [[1, 0, 7], [2, 5, 8], [3, 6, 9]])


def test_peaks_out_of_range_are_bands_of_zeros_and_named(tmp_path: Path) -> None:
    image = imported(tmp_path, Pair(spectra=square([1, 2, 3], [4, 5, 6])), peaks=[50.0, 200.0, 9000.0])
    np.testing.assert_array_equal(everything(image)[:, 0], [[0, 0], [2, 5], [0, 0]])
    assert noted(image)["bands_without_points"] == [0, 2]
    assert beside(image, "tic").tolist() == [[6, 15]]
    with pytest.raises(InputError, match=r"no point within 10 ppm of any of the 1 m/z, such as 50\.0000.*--ppm"):
        imported(tmp_path, Pair(spectra=square([1, 2, 3])), peaks=[50.0], mode="overwrite")
    assert not (tmp_path / "o.zarr").exists()


def test_the_window_has_both_its_ends(tmp_path: Path) -> None:
    low, high = 500 * (1 - 20e-6), 500 * (1 + 20e-6)
    mz = [np.nextafter(low, 0), low, 500.0, high, np.nextafter(high, 1e9)]
    image = imported(tmp_path, Pair(spectra=square([1, 10, 100, 1000, 10000], mz=mz)), peaks=[500.0], ppm=20)
    assert everything(image).item() == 1110


def test_faint_peaks_keep_their_digits(tmp_path: Path) -> None:
    image = imported(tmp_path, Pair(spectra=square([1e30, 1.1, 1e30])))
    assert everything(image)[1].item() == np.float32(1.1)


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Any], list[float], bool]:
    places = draw(st.lists(st.tuples(st.integers(3, 9), st.integers(0, 5)), min_size=1, max_size=25, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    shared = draw(st.booleans())
    spectra: list[Any] = []
    for place in places:
        length = 12 if shared else draw(st.integers(0, 12))
        mz = np.sort(rng.integers(100, 120, length).astype(float))
        spectra.append((place, spectra[0][1] if shared and spectra else mz, rng.integers(1, 99, length)))
    return spectra, draw(st.lists(st.integers(95, 125).map(float), min_size=1, max_size=6, unique=True)), shared


@given(runs(), st.integers(1, 4), st.integers(1, 4))
def test_any_region_is_as_the_spectra_say(
    tmp_path_factory: pytest.TempPathFactory, run: tuple[list[Any], list[float], bool], height: int, width: int
) -> None:
    spectra, peaks, shared = run
    path = Pair(spectra=spectra, shared=shared).write(tmp_path_factory.mktemp("imzml") / "a.imzML")
    source = ImzMLSource(path, peaks=peaks, ppm=10_000)
    shape = source.facts.shape
    found = np.zeros(shape, np.float32)
    for y in range(0, shape[1], height):
        for x in range(0, shape[2], width):
            region = (slice(0, shape[0]), slice(y, min(y + height, shape[1])), slice(x, min(x + width, shape[2])))
            found[region] = source.read(region)
    expected = np.zeros(shape)
    origin = np.min([place for place, _, _ in spectra], axis=0)
    for (x, y), mz, values in spectra:
        for band, peak in enumerate(peaks):
            inside = (np.asarray(mz) >= peak * 0.99) & (np.asarray(mz) <= peak * 1.01)
            expected[band, y - origin[1], x - origin[0]] = np.asarray(values)[inside].sum()
    np.testing.assert_array_equal(found, expected)
    assert source.facts.spectral is not None
    seen = [any(np.any(abs(np.asarray(mz) - peak) <= peak * 0.01) for _, mz, _ in spectra) for peak in peaks]
    assert source.facts.spectral.attributes["bands_without_points"] == [i for i, s in enumerate(seen) if not s]


def test_threads_do_not_meet_in_one_file_handle(data: Path) -> None:
    source = ImzMLSource(data / "msi/plaquepicker_mouse_brain/derived_crop_upper_64x64.imzML")
    whole = source.read((slice(0, 3), slice(0, 64), slice(0, 64)))
    rows = [(slice(0, 3), slice(y, y + 1), slice(0, 64)) for y in range(64)] * 6
    with ThreadPoolExecutor(8) as pool:
        for region, found in zip(rows, pool.map(source.read, rows), strict=True):
            np.testing.assert_array_equal(found, whole[region])


def test_peaks_of_the_mean_spectrum(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    true = np.array([150.1, 400.25, 400.26, 812.6])
    spectra = []
    for x in range(1, 40):
        mz = np.sort(np.concatenate([true * (1 + rng.normal(0, 1e-6, 4)), rng.uniform(100, 900, 50)]))
        near = (abs(mz[:, None] / true - 1) < 8e-6).any(axis=1)
        spectra.append(((x, 1), mz, np.where(near, 100, 0.5)))
    path = Pair(spectra=spectra).write(tmp_path / "run.imzML")
    first = ImzMLSource(path, ppm=5, most=4).facts.spectral
    assert first is not None
    np.testing.assert_allclose(first.values, true, rtol=2e-6)
    again = ImzMLSource(path, ppm=5, most=4).facts.spectral
    assert again is not None
    assert again.values.tolist() == first.values.tolist()
    assert first.attributes["peaks"] == "mean spectrum"
    # Windows of 100 ppm around the two in the middle would overlap by far.
    wide = ImzMLSource(path, ppm=100, most=3).facts.spectral
    assert wide is not None
    np.testing.assert_allclose(wide.values, [150.1, 400.255, 812.6], rtol=2e-5)


def test_peaks_of_a_curve() -> None:
    mz = np.linspace(500, 502, 201)
    curve = np.exp(-(((mz - 500.7) / 0.05) ** 2)) + 0.5 * np.exp(-(((mz - 501.4) / 0.05) ** 2))
    mean = MeanSpectrum(ppm=10, points="profile")
    mean.add(mz, curve)
    np.testing.assert_allclose(mean.highest(5), [500.7, 501.4], rtol=5e-6)


def test_nothing_to_find(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no positive intensity from which peaks"):
        imported(tmp_path, Pair(spectra=square([0, 0, -1])), peaks=None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("700.5\n# a comment\n\n864.6\n", [700.5, 864.6]),
        ("name,mz,adduct\nPC,760.585,+H\nPE,718.5  ,+H\n", [760.585, 718.5]),
        ("m/z;x\n5e2;1\n", [500]),
        ("\ufeff1.5\t2\n3.5\t4\n", [1.5, 3.5]),
        ('"Mass" "I"\n12 3\n', [12]),
        ("compound\n12\n", [12]),
    ],
)
def test_lists_of_peaks(tmp_path: Path, text: str, expected: list[float]) -> None:
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    assert given_peaks(tmp_path / "p.csv").tolist() == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1\n2\nabc\n", "line 3: 'abc' has no m/z in column 1"),
        ("a,mz\n1,2\n3\n", "line 3: '3' has no m/z in column 2"),
        ("1\n2\n1\n", "names m/z 1 more than once"),
        ("-4\n", "has the m/z -4"),
        ("nan\n", "has the m/z nan"),
        ("mz\n", "has no m/z. Name at least one"),
    ],
)
def test_lists_that_are_wrong(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match=problem):
        given_peaks(str(tmp_path / "p.csv"))


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    path = Pair(spectra=square([1, 2, 3])).write(tmp_path / "run.imzML")
    np.save(tmp_path / "a.npy", np.zeros((4, 4)))
    with pytest.raises(InputError, match=r"none\.csv cannot be read.*Give numbers such as"):
        import_image(path, tmp_path / "o.zarr", peaks=tmp_path / "none.csv")
    for options in ({"peaks": [1.0]}, {"ppm": 5.0}):
        with pytest.raises(InputError, match="is not imzML, of which peaks"):
            import_image(tmp_path / "a.npy", tmp_path / "o.zarr", axes="yx", **options)
    with pytest.raises(InputError, match="a window of 0 ppm"):
        import_image(path, tmp_path / "o.zarr", ppm=0)
    with pytest.raises(InputError, match="has the axes cyx, not cxy"):
        import_image(path, tmp_path / "o.zarr", axes="cxy", peaks=MZ)


def test_without_pyimzml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyimzml.ImzMLParser", None)
    with pytest.raises(InputError, match=r'not installed\. Run: pip install "scalesr\[imzml\]"'):
        imported(tmp_path, Pair(spectra=square([1, 2, 3])))


@pytest.mark.parametrize(("bands", "labels"), [(3, 3), (100, 100), (1001, 0)])
@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_labels_and_windows(tmp_path: Path, bands: int, labels: int, version: str) -> None:
    mz = np.linspace(100, 900, bands)
    values = np.arange(1, bands + 1)
    pair = Pair(spectra=square(values, 2 * values, mz=mz))
    image = imported(tmp_path, pair, peaks=mz.tolist(), version=version)
    assert len(image.channels) == labels
    if labels:
        last = image.channels[-1]
        assert last.label == "m/z 900.0000"
        assert (last.start, last.end) == pytest.approx((bands, 2 * bands), rel=0.01)
    axis = read_spectral(image)
    assert axis is not None
    np.testing.assert_array_equal(axis.values, mz)
    np.testing.assert_array_equal(everything(image)[:, 0, 1], 2 * values)
    assert beside(image, "tic").tolist() == [[values.sum(), 2 * values.sum()]]


def test_another_reader_does_not_mind_what_lies_beside(tmp_path: Path) -> None:
    image = imported(tmp_path, Pair(spectra=square([1, 2, 3], [4, 5, 6]), settings=(size_terms(2, 2, MICROMETRES),)))
    location = parse_url(image.url)
    assert location is not None
    node = next(iter(Reader(location)()))
    np.testing.assert_array_equal(np.asarray(node.data[0]), everything(image))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_memory_stays_bounded(tmp_path: Path) -> None:
    """100 MB of spectra become 100 MB of bands with less than 150 MB beyond what importing the package takes."""
    rng = np.random.default_rng(0)
    mz = np.linspace(200, 1800, 1000)
    rows = rng.exponential(100, (8, 1000)).astype(np.float32)
    spectra = [((x, y), mz, rows[(x + y) % 8]) for y in range(90) for x in range(90)]
    Pair(spectra=spectra).write(tmp_path / "big.imzML")
    Pair(spectra=square(rows[0], mz=mz)).write(tmp_path / "small.imzML")
    code = """
        import sys
        from pathlib import Path
        from scalesr.images import import_image
        import numpy as np
        folder = Path(sys.argv[1])
        mz = np.linspace(200, 1800, 3000).tolist()
        import_image(folder / "small.imzML", folder / "small.zarr", peaks=mz)
        def peak():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        before = peak()
        import_image(folder / "big.imzML", folder / "big.zarr", peaks=mz)
        print(peak() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(found.stdout) < 150 * 1024, f"{found.stdout.strip()} KiB"
    assert open_companion(open_image(tmp_path / "big.zarr"), "tic") is not None
