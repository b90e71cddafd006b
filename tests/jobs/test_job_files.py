"""A run as one file: the same names, values and results as the command line, and errors that name the line."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from commands import call, only_json, speckle, write_image
from hypothesis import given
from hypothesis import strategies as st
from small_plates import write_plate

from scalesr.images import open_image
from scalesr.jobs import JobFile, RunSettings, job_defaults, job_schema, run_job
from scalesr.jobs.declaring import settings_of
from scalesr.jobs.reading import read_document
from scalesr.jobs.schema import REQUIRED
from scalesr.jobs.values import OptionError

DOCS = Path(__file__).parents[2] / "docs"
NAMES = {one.field: one.name for one in settings_of(RunSettings)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a small image and a job file that doubles it."""
    write_image(tmp_path / "in.zarr", speckle(40, 50))
    write(tmp_path, "source: in.zarr\ntarget: out.zarr\nmodel: cubic\nscale: 2\ncell: [16, 16]\n")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    """Write a job file."""
    path = folder / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, more: str) -> JobFile:
    """Read a file that sets what must be set, and more from line 3 on."""
    return JobFile.read(write(folder, f"source: a\ntarget: b\n{more}"))


def test_a_job_is_the_run_that_it_describes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent)  # paths are relative to the file
    told = ["--model", "cubic", "--scale", "2", "--cell", "16,16"]
    assert call("run", folder / "in.zarr", folder / "typed.zarr", *told).exit_code == 0
    result = call("run", folder / "job.yaml")
    assert (result.exit_code, result.stderr) == (0, "")
    whole = (slice(0, 80), slice(0, 100))
    typed, of_job = (open_image(folder / name).read(whole) for name in ("typed.zarr", "out.zarr"))
    assert typed.tobytes() == of_job.tobytes()
    manifest = json.loads((folder / "out.zarr" / "scalesr" / "manifest.json").read_text())
    path = folder / "job.yaml"
    assert manifest["provenance"]["options"]["job"] == [str(path), sha256(path.read_bytes()).hexdigest()]


def test_what_is_typed_wins_and_is_told(folder: Path) -> None:
    result = call("run", folder / "job.yaml", folder / "other.zarr", "--scale", "3", "--workers", "1", "--json")
    assert only_json(result)["shape"] == [120, 150]
    assert result.stderr == ""
    assert not (folder / "out.zarr").exists()
    words = call("run", folder / "job.yaml", "--scale", "3", "--workers", "1").stderr
    assert words == f"In place of what {folder / 'job.yaml'} says: --scale (line 4), --workers.\n"


def test_a_job_is_planned_and_resumed_from_python(folder: Path) -> None:
    planned = only_json(call("plan", folder / "job.yaml", "--json"))
    assert planned["output"]["shape"] == [80, 100]
    assert planned["blocks"] == 12
    assert not (folder / "out.zarr").exists()
    assert run_job(folder / "job.yaml").blocks == 12
    # Another comment: another file, and the same run.
    write(folder, (folder / "job.yaml").read_text() + "# reviewed\n")
    assert run_job(folder / "job.yaml", resume=True).blocks == 0
    with pytest.raises(OptionError, match="no setting 'resum'") as caught:
        run_job(folder / "job.yaml", resum=True)
    assert "Did you mean resume?" in caught.value.remedy


def test_a_plate_is_run_from_a_file(tmp_path: Path) -> None:
    write_plate(tmp_path / "plate.zarr")
    write(tmp_path, "source: plate.zarr\ntarget: out.zarr\nmodel: nearest\nscale: 2\nfields: ['*/1/*']\n")
    result: Any = run_job(tmp_path / "job.yaml")
    assert {outcome.field.split("/")[1] for outcome in result.outcomes} == {"1"}
    manifest = json.loads((tmp_path / "out.zarr" / "scalesr" / "manifest.json").read_text())
    assert manifest["provenance"]["job"][0] == str(tmp_path / "job.yaml")
    # A file that says the same in other words is no other run.
    write(tmp_path, (tmp_path / "job.yaml").read_text() + "resume: true\n")
    again: Any = run_job(tmp_path / "job.yaml")
    assert all(outcome.state == "there" for outcome in again.outcomes)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("scale: 4", {"scale": "4"}),
        ("scale: 1.5", {"scale": "1.5"}),
        ("scale: [48/13, 1, 1]", {"scale": "48/13,1,1"}),
        ("scale: isotropic", {"scale": "isotropic"}),
        ("cell: [16, 64, 64]", {"cell": "16,64,64"}),
        ("cell: 16,64,64", {"cell": "16,64,64"}),
        ("memory: 8000000000", {"memory": "8000000000B"}),
        ("normalise: [0, 4095]", {"normalise": "0,4095"}),
        ("missing-planes: [5, 17]", {"missing_planes": "5,17"}),
        ("fields: [B/*, C03]", {"fields": "B/*,C03"}),
        ("set: {steps: 20, sampler: ddim, exact: true}", {"settings": ["steps=20", 'sampler="ddim"', "exact=true"]}),
        ("workers: 8", {"workers": "8"}),
        ("workers: 4-64", {"workers": "4-64"}),
        ("cell:", {}),
        ("data-range: 1e3", {"data_range": 1000.0}),
        ("on-nan: fill", {"on_nan": "fill"}),
        ("model: ../nets/x4.safetensors", {"model": "nets/x4.safetensors"}),
        ("model: package.module:function", {"model": "package.module:function"}),
        ("mask: none", {"mask": "none"}),
        ("deviation: s3://lab/dev.zarr", {"deviation": "s3://lab/dev.zarr"}),
    ],
)
def test_values_are_those_of_the_command_line_or_of_yaml(tmp_path: Path, more: str, told: dict[str, Any]) -> None:
    found = dict(read(tmp_path, more).told)
    assert Path(found.pop("source")) == tmp_path / "a"
    assert Path(found.pop("target")) == tmp_path / "b"
    if "nets" in more:
        found["model"] = Path(found["model"]).resolve().relative_to(tmp_path.parent).as_posix()
    assert found == told


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("sampel: area", "line 3: there is no setting 'sampel'. Did you mean sampling?"),
        ("on_nan: fill", "Did you mean on-nan?"),
        ("scale: 2\nscale: 3", "line 4: 'scale' stands in line 3 already."),
        ("\n\nscale: many", "line 5: --scale 'many' is not a scale."),
        ("cell: true", "line 3: cell is true, which it cannot be. Give N"),
        ("batch: 0", "Give N, at least 1."),
        ("level: '1'", "line 3: level is '1', which it cannot be."),
        ("on-nan: maybe", "Give stop|fill."),
        ("model:", "line 3: model is nothing"),
        ("set: {steps: [1]}", "Give {NAME: VALUE, ...}."),
        ("quiet: true", "line 3: quiet says what the command shows"),
        ("resume: yes", "line 3: resume is 'yes', which it cannot be. Give true|false."),
        ("resume: true\noverwrite: true", "line 3: --resume goes on with an output, --overwrite removes it."),
        ("wait: 3", "line 3: --wait is for clusters"),
        ("reference: $DATA/fine.zarr", "neither variables nor ~ are filled in. Write the path, or give --reference"),
        ("mask: ~/mask.zarr", "neither variables nor ~"),
        ("scale: &s 2\nhalo: *s", "line 4, cannot be read: aliases are not read."),
        ("scale: !!python/object:os.system 2", "is no text, number, list or mapping."),
        ("{a: 1}: 2", "line 3: a name must be a plain word."),
        ("scale: [2", "cannot be read"),
        ("---\nscale: 2", "cannot be read"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, more: str, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        read(tmp_path, more).options()
    assert words in str(caught.value)
    assert "job.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "more",
    [
        "storage-options: {key: AKIA1234567}",
        "target-options: {endpoint_url: 'https://me:word@host'}",
        "reference: https://host/x.zarr?X-Amz-Signature=0123456789",
        "cluster-options: {env: {URL: 's3://me:word@host'}}",
    ],
)
def test_secrets_are_refused_and_not_repeated(tmp_path: Path, more: str) -> None:
    with pytest.raises(OptionError, match=r"job\.yaml, line 3.* secret") as caught:
        read(tmp_path, more)
    assert "AWS_PROFILE" in caught.value.remedy
    assert not re.search("AKIA|word|0123", str(caught.value))


def test_secrets_are_refused_on_the_command_line_too(folder: Path) -> None:
    told = [str(folder / "in.zarr"), str(folder / "out.zarr"), "--model", "cubic", "--scale", "2"]
    result = call("run", *told, "--storage-options", "anon=true", "--storage-options", "secret=abcdefgh")
    assert result.exit_code == 2
    assert "--storage-options gives 'secret', which may be a secret." in result.stderr
    assert "abcdefgh" not in result.output
    assert call("run", *told, "--storage-options", "anon=true", "--target-options", "anon=true").exit_code == 0


def test_files_that_are_no_settings(tmp_path: Path) -> None:
    for content, words in ((b"", "empty"), (b"- a", "no settings"), (b"\xff", "UTF-8"), (b"a" * 2**21, "far more")):
        path = tmp_path / "job.yaml"
        path.write_bytes(content)
        with pytest.raises(OptionError, match=words):
            JobFile.read(path)
    for text, name in (("target: b", "source"), ("source: a", "target")):
        with pytest.raises(OptionError, match=f"sets no {name}"):
            JobFile.read(write(tmp_path, text))
    assert call("run", tmp_path / "absent.yaml").exit_code == 2
    assert "Missing argument 'OUT'" in call("run", tmp_path / "in.zarr").stderr


def test_plain_values_are_those_of_yaml_1_2() -> None:
    text = b"a: no\nb: 12:30:45\nc: 010\nd: 1e3\ne: .5\nf: 0x10\ng: 2026-01-02\nh: ~\ni: 'true'\nj: -3\nk: 1_000\n"
    values = read_document(text, name="x").values
    assert values == {
        "a": "no",
        "b": "12:30:45",
        "c": 10,
        "d": 1000.0,
        "e": 0.5,
        "f": "0x10",
        "g": "2026-01-02",
        "h": None,
        "i": "true",
        "j": -3,
        "k": "1_000",
    }


# YAML 1.1 takes the two halves that JSON writes of a character beyond 16 bits for two.
TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=8)


@given(
    st.dictionaries(
        TEXTS,
        st.recursive(
            st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXTS,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
            max_leaves=6,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_json_is_read_as_what_it_is(values: dict[str, Any]) -> None:
    assert read_document(json.dumps(values).encode(), name="x").values == values


def test_the_published_schema_is_current() -> None:
    published = json.loads((DOCS / "job.schema.json").read_text())
    assert published == job_schema(), "write it again: scalesr schema > docs/job.schema.json"
    jsonschema.Draft202012Validator.check_schema(published)
    assert set(published["properties"]) == set(NAMES.values())
    assert all(one["description"] for one in published["properties"].values())


def test_the_examples_of_the_documentation_are_jobs(tmp_path: Path) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", (DOCS / "jobs.md").read_text(), re.DOTALL)
    assert len(examples) >= 4
    for text in examples:
        job = JobFile.read(write(tmp_path, text))
        job.options()
        jsonschema.validate(read_document(text.encode(), name="example").values, job_schema())


def test_the_schema_refuses_what_reading_refuses() -> None:
    check = jsonschema.Draft202012Validator(job_schema())
    good = {"source": "a", "target": "b"}
    assert check.is_valid(good)
    for wrong in (
        {"sampel": 1},
        {"cell": True},
        {"batch": 0},
        {"on-nan": "maybe"},
        {"set": {"a": [1]}},
        {"level": "1"},
    ):
        assert not check.is_valid(good | wrong), wrong
    assert not check.is_valid({"source": "a"})


def test_the_file_of_defaults_holds_every_setting_and_changes_nothing(tmp_path: Path) -> None:
    text = job_defaults()
    for name in NAMES.values():
        assert re.search(rf"^#?{name}:", text, re.MULTILINE), name
    assert JobFile.read(write(tmp_path, text)).told.keys() == set(REQUIRED)
    # With all of it in force it still is what the command line does when nothing is given.
    live = re.sub(rf"^#({'|'.join(map(re.escape, NAMES.values()))}):", r"\1:", text, flags=re.MULTILINE)
    assert set(yaml.safe_load(live)) == set(NAMES.values())
    job = JobFile.read(write(tmp_path, live))
    plain = RunSettings(source=job.told["source"], target=job.told["target"])
    assert job.settings == plain
    assert max(map(len, text.splitlines())) <= 120


def test_the_command_shows_both() -> None:
    assert only_json(call("schema")) == job_schema()
    assert call("schema", "--defaults").stdout == job_defaults()
    page = call("run", "--help").stdout
    for one in fields(RunSettings):
        if one.name not in ("source", "target"):
            assert f"--{NAMES[one.name]} " in page
