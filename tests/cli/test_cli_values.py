"""What people type becomes values, or an error that says what to type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalesr.cli.values import parse_pixel_size, parse_shape
from scalesr.jobs.values import (
    OptionError,
    parse_bytes,
    parse_normalise,
    parse_planes,
    parse_scale,
    parse_settings,
    parse_sizes,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [("8GB", 8 * 10**9), ("512MiB", 512 * 2**20), ("1.5 kB", 1500), ("2tb", 2 * 10**12), ("7B", 7), ("1PiB", 2**50)],
)
def test_amounts_of_memory(text: str, count: int) -> None:
    assert parse_bytes(text, "--memory") == count


@pytest.mark.parametrize("text", ["8", "GB", "-1GB", "8 potatoes", "", "1e3GB", "0GB", "8XB", "8iB"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(OptionError, match="--memory") as caught:
        parse_bytes(text, "--memory")
    assert "8GB" in caught.value.remedy


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=5))
def test_sizes_come_back(sizes: list[int]) -> None:
    expected = sizes[0] if len(sizes) == 1 else tuple(sizes)
    assert parse_sizes(",".join(map(str, sizes)), "--cell") == expected
    assert parse_shape(", ".join(map(str, sizes))) == tuple(sizes)


@pytest.mark.parametrize("text", ["", "64,", "sixty", "-3", "6.5", "64;64"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(OptionError, match="--cell"):
        parse_sizes(text, "--cell")


@pytest.mark.parametrize(
    ("text", "scale"), [("4", "4"), ("1.5", "1.5"), ("48/13,1,1", ("48/13", "1", "1")), (None, None)]
)
def test_scales(text: str | None, scale: object) -> None:
    assert parse_scale(text) == scale


@pytest.mark.parametrize("text", ["0", "-2", "four", "4,", "1/0", "nan", "inf"])
def test_what_is_no_scale(text: str) -> None:
    with pytest.raises(OptionError, match="--scale"):
        parse_scale(text)


def test_normalisation() -> None:
    assert parse_normalise("percentile") == "percentile"
    assert parse_normalise("0,4095") == (0.0, 4095.0)
    for text in ("bright", "5,5", "9,1", "1,2,3", "nan,1", "0,inf"):
        with pytest.raises(OptionError, match="--normalise"):
            parse_normalise(text)


def test_pixel_sizes() -> None:
    assert parse_pixel_size(None) is None
    assert parse_pixel_size("0.325") == 0.325
    assert parse_pixel_size("z=2,y=0.5, x=0.5") == {"z": 2.0, "y": 0.5, "x": 0.5}
    for text in ("small", "z=", "z=1,2"):
        with pytest.raises(OptionError, match="--pixel-size"):
            parse_pixel_size(text)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((), ()),
        (("steps=20", "eta=0.5"), (("eta", 0.5), ("steps", 20))),
        (("paper_exact=true", "sampler=ddim"), (("paper_exact", True), ("sampler", "ddim"))),
        (('name="20"', "steps=1", "steps=2"), (("name", "20"), ("steps", 2))),
        (("a = b=c",), (("a", "b=c"),)),
    ],
)
def test_settings_of_a_model(texts: tuple[str, ...], expected: tuple[tuple[str, object], ...]) -> None:
    assert parse_settings(texts) == expected


@pytest.mark.parametrize("text", ["steps", "=2", "steps=", "a b=1", "a=[1, 2]", "a=null", 'a={"b": 1}'])
def test_settings_that_set_nothing(text: str) -> None:
    with pytest.raises(OptionError, match="--set"):
        parse_settings([text])


@pytest.mark.parametrize(("text", "expected"), [("auto", "auto"), (" none", "none"), ("5, 17,5", (5, 17)), ("0", (0,))])
def test_missing_planes(text: str, expected: object) -> None:
    assert parse_planes(text) == expected


@pytest.mark.parametrize("text", ["", "5,", "-1", "1-3", "some"])
def test_no_missing_planes(text: str) -> None:
    with pytest.raises(OptionError, match="--missing-planes"):
        parse_planes(text)


def test_a_scale_may_be_a_word() -> None:
    assert parse_scale("isotropic") == "isotropic"
    with pytest.raises(OptionError, match="isotropic"):
        parse_scale("isotropic,1,1")
