"""What a report says is what the ledger says; what is foreign in it is text and nothing else."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import shutil
from importlib import import_module
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commands import call, speckle, write_image
from reading_pages import Read, read_page
from small_plates import write_plate

import scalesr
import scalesr.tiling
from scalesr.engine import BlockDone
from scalesr.engine import run as run_engine
from scalesr.errors import InputError, InterruptedRunError, LedgerError, PlanError
from scalesr.images import Axis, Channel, Files, create_image, open_image, pyramid_layout
from scalesr.metrics.rows import number_text
from scalesr.report import run, write_report
from scalesr.report.journal import Journal, read_journals
from scalesr.report.timings import seconds_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.images import Image

HOW: dict[str, Any] = {"model": "cubic", "scale": 2, "scheduler": "serial", "cell": 32, "halo": 2, "block": 1}


def page_of(output: Path) -> Read:
    return read_page((output / "scalesr" / "report.html").read_text())


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output of nine blocks, 192 x 192 px, measured on its way against a truth, and its report."""
    folder = tmp_path_factory.mktemp("reported")
    write_image(folder / "in.zarr", speckle(96, 96))
    run_engine(folder / "in.zarr", folder / "truth.zarr", **HOW | {"model": "linear"})
    run(folder / "in.zarr", folder / "out.zarr", report="html", reference=str(folder / "truth.zarr"), **HOW)
    return folder / "out.zarr"


def test_figures_are_those_of_the_ledger(output: Path) -> None:
    page = page_of(output)
    ledger = output / "scalesr"
    manifest = json.loads((ledger / "manifest.json").read_text())
    identity, provenance = manifest["identity"], manifest["provenance"]
    records = [json.loads(path.read_text()) for path in ledger.glob("blocks/*/*.json")]
    measured = json.loads((ledger / "measurement.json").read_text())
    plan = scalesr.tiling.Plan.from_json(identity["plan"])
    assert page.row("plan") == [plan.digest]
    assert page.row("metadata of the input") == [identity["input"]]
    assert [identity["model"]] in [row[1:] for row in page.rows]
    assert ["input", provenance["source"]] in page.rows
    assert page.row("offset") == [f"{identity['normalisation']['offset'][0]:.6g}"]
    assert page.row("gain") == [f"{identity['normalisation']['gain'][0]:.6g}"]
    assert page.row("normalised by") == [identity["normalisation"]["origin"]]
    assert page.row("class of the device") == [identity["device class"]]
    for package in ("scalesr", "numpy", "zarr", "dask"):
        assert page.row(package) == [provenance[package]] == [version(package)]
    assert page.row("blocks") == [f"{len(records)} of 9 done; {sum(r['tiles'] for r in records)} tiles"]
    stages = {stage: sum(record["seconds"][stage] for record in records) for stage in records[0]["seconds"]}
    for stage, seconds in stages.items():
        share = f"{100 * seconds / sum(stages.values()):.1f} %"
        assert page.row(stage) == [seconds_text(seconds), share, seconds_text(seconds / len(records))]
    slowest = max(records, key=lambda record: sum(record["seconds"].values()))
    assert page.row(str(slowest["block"]))[1] == seconds_text(sum(slowest["seconds"].values()))
    for figure in measured["figures"]:
        shown = number_text(float(figure["value"]), figure["unit"])
        assert any(row[:3] == [figure["metric"], figure["kind"], shown] for row in page.rows)


def test_the_figures_of_places_are_those_of_measuring_them(output: Path) -> None:
    # One place shows all of it, so that its figures are those of the image.
    page = page_of(output)
    found = scalesr.measure(output, measured=output.parent / "in.zarr", metrics=["consistency"], scheduler="serial")
    assert page.row("consistency: rmse")[0] == number_text(found.value("consistency", "rmse"))
    truth = scalesr.measure(output, reference=output.parent / "truth.zarr", metrics=["psnr"], scheduler="serial")
    headline = truth.find("psnr")
    row = page.row(f"psnr: {headline.kind}")
    assert row[0] == number_text(headline.value, headline.unit)
    assert row[1] == row[0]  # the output is cubic itself
    assert float(row[2].removesuffix(" dB")) > 90  # and the truth linear, up to single roundings


def test_the_journal_says_what_memory_was_seen_and_planned(output: Path) -> None:
    (path,) = (output / "scalesr" / "runs").glob("*.json")
    noted = json.loads(path.read_text())
    page = page_of(output)
    assert noted["peak"] >= max(size for _, size in noted["memory"]) > 2**26
    assert page.row("planned")[0] == scalesr.tiling.human_bytes(noted["planned_bytes"])
    assert page.row("seen at the most")[0] == scalesr.tiling.human_bytes(noted["peak"] - noted["held"])
    assert len(noted["ended"]) == 9
    assert sorted(noted["ended"]) == noted["ended"]


def test_what_a_program_held_before_is_no_memory_of_its_run(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(32, 32))
    hoard = np.ones(700 * 2**20, np.uint8)
    run(tmp_path / "in.zarr", tmp_path / "out.zarr", report="html", **HOW)
    (journal,) = read_journals(Files(str(tmp_path / "out.zarr" / "scalesr")))
    assert journal.peak > hoard.nbytes > journal.planned_bytes > journal.own_peak > journal.planned[0][1] / 2
    page = page_of(tmp_path / "out.zarr")
    assert page.row("seen at the most")[0] == scalesr.tiling.human_bytes(journal.own_peak)
    assert page.row("held before by the program, left out")[0] == scalesr.tiling.human_bytes(journal.held)
    # Of a journal that does not say it, all is taken for the run's.
    old = {name: value for name, value in vars(journal).items() if name != "held"}
    assert Journal.from_json(json.loads(json.dumps(old))).own_peak == journal.peak


def test_the_command_on_the_page_makes_the_same_bytes(output: Path, tmp_path: Path) -> None:
    text = (output / "scalesr" / "report.html").read_text()
    command = next(
        line for line in re.findall(r"<code>(.*?)</code>", text, re.DOTALL) if line.startswith("scalesr run")
    )
    words = shlex.split(command)[1:]
    words[2] = str(tmp_path / "again.zarr")
    made = call(*words, "--scheduler", "serial")
    assert made.exit_code == 0, made.output
    first, second = (np.asarray(open_image(place).array(0)[...]) for place in (output, words[2]))
    assert np.array_equal(first, second)


def test_the_call_on_the_page_is_python(output: Path) -> None:
    text = read_page((output / "scalesr" / "report.html").read_text()).text
    call = text[text.index("scalesr.run(\n") :]
    compile(call[: call.index("\n)") + 2], "report", "eval")
    assert "model='cubic'" in call


HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'$\\frac{"


def hostile_image(folder: Path) -> Image:
    pixels: NDArray[np.uint16] = speckle(2, 48, 48)
    layout = pyramid_layout(
        axes=(Axis("c", "channel"), Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer")),
        shape=pixels.shape,
        dtype="uint16",
        scale=(1.0, 0.5, 0.5),
        translation=(0.0, 0.0, 0.0),
        channels=(Channel(label=HOSTILE), Channel(label="\u6838 {{ 7 * 7 }}", color="zzzzzz")),
        name=HOSTILE,
    )
    writer = create_image(folder / "in.zarr", layout)
    writer.write(0, tuple(slice(0, n) for n in pixels.shape), pixels)
    writer.publish()
    return open_image(folder / "in.zarr")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """An output whose names try to become markup, a formula, and a template."""
    run(hostile_image(tmp_path), tmp_path / "out.zarr", report="none", **HOW)
    made = json.loads((tmp_path / "out.zarr" / "zarr.json").read_text())
    made["attributes"]["ome"]["multiscales"][0]["name"] = HOSTILE
    (tmp_path / "out.zarr" / "zarr.json").write_text(json.dumps(made))
    manifest = tmp_path / "out.zarr" / "scalesr" / "manifest.json"
    stored = json.loads(manifest.read_text())
    stored["provenance"] |= {"model": HOSTILE, "numpy": HOSTILE, "machine": HOSTILE}
    manifest.write_text(json.dumps(stored))
    write_report(tmp_path / "out.zarr")
    return tmp_path / "out.zarr"


def test_foreign_names_are_text(hostile: Path) -> None:
    text = (hostile / "scalesr" / "report.html").read_text()
    page = read_page(text)
    assert len(page.of("script")) == 1
    assert text.count("<script>") == 1
    assert all("onerror" not in image and (image["src"] or "").startswith("data:") for image in page.of("img"))
    assert HOSTILE in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "49 }}" not in page.text


def test_the_page_asks_for_nothing(output: Path) -> None:
    text = (output / "scalesr" / "report.html").read_text()
    page = read_page(text)
    policy = next(m["content"] for m in page.of("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value)
    assert "url(http" not in text
    assert "@import" not in text
    assert len(text) < 2_000_000


def test_a_page_is_whole_for_those_who_do_not_see_it(output: Path) -> None:
    page = read_page((output / "scalesr" / "report.html").read_text())
    assert page.of("html") == [{"lang": "en"}]
    assert all(image.get("alt") for image in page.of("img"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    for drawing in page.of("svg"):
        assert drawing["role"] == "img"
        assert set((drawing["aria-labelledby"] or "").split()) <= set(ids)
    plots = [attributes for attributes in page.of("svg") if attributes.get("class") == "plot"]
    assert len(plots) >= 5
    assert len(page.of("details")) >= len(plots)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_the_contrast_that_reading_needs(scheme: str) -> None:
    style = (Path(import_module("scalesr.report").__file__ or "").parent / "page" / "style.css").read_text()
    schemes = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    light, dark = (dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part)) for part in schemes)
    colours = light if scheme == "light" else {**light, **dark}

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        high, low = sorted((luminance(colours[one]), luminance(colours[other])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for text in ("ink", "soft", "accent"):
        for ground in ("paper", "raised"):
            assert contrast(text, ground) >= 4.5, (text, ground)
    assert contrast("warn", "warned") >= 4.5
    assert contrast("paper", "output") >= 4.5  # wells that are done
    for line in ("output", "input", "third"):
        assert contrast(line, "paper") >= 3, line


def test_an_input_that_is_gone_is_left_out_by_name(output: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.zarr"
    shutil.copytree(output, copy)
    manifest = copy / "scalesr" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("in.zarr", "gone.zarr").replace("truth.zarr", "lost.zarr"))
    write_report(copy)
    page = page_of(copy)
    assert "gone.zarr" in page.row("input")[0]
    assert page.row("reference of the run")
    assert any("cannot be opened" in row[-1] for row in page.rows)
    names = {image.get("data-name") for image in page.of("img")}
    assert "Output" in names
    assert not names & {"Input", "Cubic", "Reference"}


def test_an_input_that_changed_is_not_shown_as_it_were_the_same(output: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.zarr"
    shutil.copytree(output, copy)
    write_image(tmp_path / "other.zarr", speckle(64, 64))
    manifest = copy / "scalesr" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(str(output.parent / "in.zarr"), str(tmp_path / "other.zarr")))
    write_report(copy)
    assert "another image now than when the run was made" in page_of(copy).text


def test_what_is_no_output_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(32, 32))
    with pytest.raises(LedgerError, match="holds no ledger"):
        write_report(tmp_path / "in.zarr")
    with pytest.raises(InputError):
        write_report(tmp_path / "nothing.zarr")


def test_a_report_that_cannot_be_written_never_fails_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "in.zarr", speckle(32, 32))
    running = import_module("scalesr.report.running")

    def fail(*_: object, **__: object) -> str:
        raise RuntimeError("no room")

    monkeypatch.setattr(running, "write_report", fail)
    with caplog.at_level(logging.WARNING, "scalesr.report"):
        result = run(tmp_path / "in.zarr", tmp_path / "out.zarr", report="html", **HOW)
    assert result.blocks == 1
    assert "no room" in caplog.text
    assert f"scalesr report {tmp_path / 'out.zarr'}" in caplog.text


def test_a_run_needs_none_of_what_reports_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "in.zarr", speckle(32, 32))
    packages = import_module("scalesr.analysis.packages")
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "jinja2" else name)
    with pytest.raises(PlanError, match="A report needs the package jinja2") as refused:
        write_report(tmp_path / "in.zarr")
    assert "scalesr[report]" in refused.value.remedy
    with caplog.at_level(logging.WARNING, "scalesr.report"):
        assert run(tmp_path / "in.zarr", tmp_path / "out.zarr", report="html", **HOW).blocks == 1
    assert "jinja2" in caplog.text


def test_reports_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "in.zarr", speckle(32, 32))
    monkeypatch.setenv("SCALESR_REPORT", "none")
    run(tmp_path / "in.zarr", tmp_path / "off.zarr", **HOW)
    assert not (tmp_path / "off.zarr" / "scalesr" / "report.html").exists()
    assert not (tmp_path / "off.zarr" / "scalesr" / "runs").exists()
    told: list[str] = []
    run(tmp_path / "in.zarr", tmp_path / "on.zarr", report="html", told=told.append, **HOW)
    assert told == [str(tmp_path / "on.zarr" / "scalesr" / "report.html")]
    assert os.path.exists(told[0])  # noqa: PTH110


def test_a_report_leaves_the_image_as_it_was(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(48, 40))
    run(tmp_path / "in.zarr", tmp_path / "with", report="html", **HOW)
    run(tmp_path / "in.zarr", tmp_path / "without", report="none", **HOW)
    for path in sorted((tmp_path / "without").rglob("*")):
        other = tmp_path / "with" / path.relative_to(tmp_path / "without")
        assert other.is_file() == path.is_file()
        if path.is_file() and "scalesr" not in path.parts and path.parent.name != "without":  # which has its name
            assert other.read_bytes() == path.read_bytes()
    assert scalesr.engine.verify(tmp_path / "with", scheduler="serial").whole


def test_a_run_that_went_on_has_a_journal_of_each_part(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(96, 96))

    def stop(event: object) -> None:
        if isinstance(event, BlockDone) and event.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        run(tmp_path / "in.zarr", tmp_path / "out.zarr", report="html", callbacks=[stop], **HOW)
    assert not (tmp_path / "out.zarr" / "scalesr" / "report.html").exists()
    run(tmp_path / "in.zarr", tmp_path / "out.zarr", report="html", mode="resume", **HOW)
    assert len(list((tmp_path / "out.zarr" / "scalesr" / "runs").iterdir())) == 2
    page = page_of(tmp_path / "out.zarr")
    assert page.row("blocks")[0].startswith("9 of 9 done")
    assert "in 2 processes or parts" in page.row("wall time")[0]


def test_processes_that_share_a_run_leave_one_report(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(64, 64))
    for _ in range(2):
        run(tmp_path / "in.zarr", tmp_path / "out.zarr", report="html", share="claims", **HOW)
    assert page_of(tmp_path / "out.zarr").row("blocks")[0].startswith("4 of 4 done")


def test_a_plate_has_one_report(tmp_path: Path) -> None:
    write_plate(tmp_path / "plate.zarr")
    told: list[str] = []
    run(tmp_path / "plate.zarr", tmp_path / "out.zarr", report="html", told=told.append, model="cubic", scale=2,
        scheduler="serial", metrics=["consistency"])  # fmt: skip
    assert told == [str(tmp_path / "out.zarr" / "scalesr" / "report.html")]
    page = page_of(tmp_path / "out.zarr")
    assert "5 of 5 done" in page.terms
    assert [image["data-name"] for image in page.of("img") if image.get("data-side")].count("Output") == 3
    for field in ("A/1/0", "A/1/1", "A/2/0", "C/12/0", "C/12/1"):
        assert page.row(field)[0] == "done"
    assert any(row[0] == "consistency" for row in page.rows if row)
    assert any("2/2" in row for row in page.rows)
