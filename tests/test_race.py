"""The race: how tools are watched and judged, what they are said to be able to do, and a small one with all of them."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import zarr
from rich.console import Console

from benchmarks.peers import networks
from benchmarks.peers.job import Job, expected_pixels
from benchmarks.race import images, showing
from benchmarks.race.cases import CASES, Network
from benchmarks.race.comparing import compare, identical, seam_score
from benchmarks.race.growth import edge_of, grow, slope
from benchmarks.race.measuring import Outcome, watch
from benchmarks.race.running import Row, Terms
from benchmarks.race.tools import ABILITIES, PEERS, ROOT, TOOLS, Tool, chosen
from scalesr.models import load, resolve

ANSWER = 'print(\'ANSWER {"seconds": 0.5, "pixels": 200}\')'


def run(code: str, *, limit: float = 60, memory: int | None = None) -> Outcome:
    return watch([sys.executable, "-c", code], environment=os.environ, folder=ROOT, limit=limit, memory=memory)


def terms(**changes: Any) -> Terms:
    given: dict[str, Any] = {"case": CASES["edsr-2d"], "size": 128, "cell": 64, "batch": 1, "device": "cpu"}
    given |= {"store": "disk", "threads": 1, "repeats": 1, "limit": 120.0, "memory": None}
    return Terms(**given | changes)


def stored(path: Path, pixels: np.ndarray[Any, Any], *, chunks: tuple[int, ...]) -> str:
    zarr.create_array(str(path), shape=pixels.shape, chunks=chunks, dtype=pixels.dtype)[...] = pixels
    return str(path)


def test_a_process_is_watched_with_its_children() -> None:
    child = "import time; x = bytearray(150_000_000); time.sleep(0.6)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); {ANSWER}"
    outcome = run(code)
    assert outcome.ending == "done"
    assert outcome.seconds == 0.5
    assert outcome.wall > 0.6
    assert outcome.peak > 150_000_000


def test_cpu_time_and_bytes_are_those_of_the_process(tmp_path: Path) -> None:
    file = tmp_path / "file"
    busy = "t = time.process_time()\nwhile time.process_time() < t + 0.5: pass\ntime.sleep(0.2)"
    code = f"import time\nopen({str(file)!r}, 'wb').write(bytes(30_000_000))\n{busy}\n{ANSWER}"
    outcome = run(code)
    assert 0.4 < outcome.cpu < 5
    if Path("/proc/self/io").exists():
        assert 30_000_000 <= outcome.written < 40_000_000


def test_who_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    child = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    outcome = run(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])", limit=2)
    assert outcome.ending == "out of time"
    assert outcome.wall < 20
    deadline = time.monotonic() + 30
    while psutil.pid_exists(int(note.read_text())) and time.monotonic() < deadline:
        if psutil.Process(int(note.read_text())).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    assert time.monotonic() < deadline


def test_who_takes_too_much_is_ended() -> None:
    outcome = run("import time\nx = bytearray(400_000_000)\ntime.sleep(60)", memory=200_000_000)
    assert (outcome.ending, outcome.reason) == ("out of memory", "more than 0.2 GB")
    assert outcome.wall < 30


def test_who_is_killed_by_the_system_ran_out_of_memory() -> None:
    outcome = run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert outcome.ending == "out of memory"


@pytest.mark.parametrize("code", ["raise SystemExit('no such file')", "print('nothing to say')"])
def test_who_fails_or_does_not_answer_is_named_with_what_it_said(code: str) -> None:
    outcome = run(code)
    assert outcome.ending == "failed"
    assert "no such file" in outcome.reason or "nothing to say" in outcome.reason


def test_the_slope_is_the_exponent() -> None:
    sizes = [1.0, 4.0, 16.0]
    assert slope(sizes, [2 * s**0.7 for s in sizes]) == pytest.approx(0.7)
    assert slope(sizes, [3.0, 3.0, 3.0]) == pytest.approx(0)
    assert slope([2.0], [1.0]) is None


def test_an_edge_is_a_whole_number_of_cells() -> None:
    edge = edge_of(1.0, ndim=2, step=512)
    assert edge % 512 == 0
    assert edge * edge * 2 == pytest.approx(1e9, rel=0.03)


def test_growth_sends_nobody_on_who_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, list[str]]] = []

    def fake(at: Terms, tools: list[Tool], folder: Path, **_: Any) -> list[Row]:
        asked.append((at.size, [tool.name for tool in tools]))
        rows = []
        for tool in tools:
            seconds = at.size * (10.0 if tool.name == "slow" else 1.0)
            good = Outcome(ending="done", peak=at.size**2, answer={"seconds": seconds})
            bad = Outcome(ending="out of memory", reason="more than 1 GB")
            rows.append(Row(tool=tool, outcomes=[bad if tool.name == "weak" and at.size > 1000 else good]))
        return rows

    monkeypatch.setattr("benchmarks.race.growth.race", fake)
    tools = [Tool(name=name, script="ours", environment="") for name in ("strong", "weak", "slow")]
    *_, lines = grow(terms(case=CASES["growth"], limit=80_000), tools, [0.0005, 0.005, 0.05], tmp_path, told=print)
    assert [names for _, names in asked] == [["strong", "weak", "slow"], ["strong", "weak", "slow"], ["strong"]]
    strong, weak, slow = lines
    assert "would take some" in slow["points"][2]["failure"]
    assert strong["slope of peak"] == pytest.approx(1)
    assert strong["slope of seconds"] == pytest.approx(0.5)
    assert [point["failure"] is None for point in weak["points"]] == [True, False, False]
    asked.clear()
    *_, again = grow(terms(case=CASES["growth"]), tools, [0.0005, 0.005, 0.05], tmp_path, told=print, earlier=lines)
    assert not asked, "the slow one still has not enough time"
    assert again[0] == strong
    text = shown(showing.growth_table(lines, title="growth"))
    assert "out of memory" in text
    for place in showing.growth_plot(lines, tmp_path / "plot", title="growth"):
        assert place.stat().st_size > 1000


def test_every_tool_has_its_script_and_says_what_it_cannot_with_a_reason() -> None:
    for tool in TOOLS.values():
        assert (ROOT / "benchmarks" / ("peers" if tool.environment else "race") / f"{tool.script}.py").is_file()
        assert set(tool.cannot) <= set(ABILITIES)
        assert all(len(reason) > 10 for reason in tool.cannot.values())
        if tool.environment:
            assert (ROOT / "benchmarks" / "peers" / "requirements" / f"{tool.environment}.txt").is_file()


def test_scripts_of_peers_import_nothing_of_scalesr() -> None:
    for path in (ROOT / "benchmarks" / "peers").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "scalesr" for name in names), path


def test_requirements_are_pinned() -> None:
    for path in (ROOT / "benchmarks" / "peers" / "requirements").glob("*.txt"):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        assert lines
        assert all("==" in line for line in lines), path
        assert not any(line.startswith("torch==") for line in lines), "environment.sh chooses its build"


def test_who_cannot_run_a_case_says_why(tmp_path: Path) -> None:
    tool = Tool(name="t", script="ours", environment="", same_size=True, local_only=True)
    assert "keep the size" in (tool.excuse(CASES["edsr-2d"], store="disk") or "")
    assert tool.excuse(CASES["unet-3d"], store="disk") is None
    assert "local" in (tool.excuse(CASES["unet-3d"], store="s3") or "")
    absent = Tool(name="t", script="ours", environment="no-such")
    assert "environment.sh no-such" in (absent.excuse(CASES["unet-3d"], store="disk") or "")


def test_a_high_image_repeats_its_rows_of_chunks(tmp_path: Path) -> None:
    _, (place,) = images.make(CASES["growth"], tmp_path, size=8 * images.SLABS + 3, chunk=8)
    pixels = np.asarray(zarr.open_array(place)[...])
    assert pixels.shape == (8 * images.SLABS + 3,) * 2
    assert np.array_equal(pixels[-3:], pixels[:3])
    assert not np.array_equal(pixels[8:16], pixels[:8])
    assert pixels.min() > 1000


def test_an_image_is_the_same_in_other_chunks(tmp_path: Path) -> None:
    found = []
    for chunk in (8, 20, 64):
        _, (place,) = images.make(CASES["edsr-2d"], tmp_path / str(chunk), size=100, chunk=chunk)
        found.append(np.asarray(zarr.open_array(place)[...]))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_tools_are_chosen_by_how_their_names_begin() -> None:
    assert [tool.name for tool in chosen(["cubed", "monai, c"])] == ["cubed map_overlap", "MONAI, constant"]
    assert len(chosen(["all", "cubed"])) == len(TOOLS)
    with pytest.raises(SystemExit, match="No tool's name begins with 'nobody'"):
        chosen(["nobody"])


def test_the_table_holds_all_tools_also_those_without_figures(tmp_path: Path) -> None:
    ours = Outcome(ending="done", wall=3, cpu=4, peak=10**9, answer={"seconds": 2.0, "pixels": 32768, "tiles": 4})
    theirs = Outcome(ending="done", wall=6, cpu=5, peak=2 * 10**9, answer={"seconds": 5.0, "pixels": 16384})
    late = Outcome(ending="out of time", reason="more than 9 s")
    tools = [Tool(name=name, script="ours", environment="") for name in ("scalesr", "peer", "slow", "other")]
    rows = [Row(tool=tool, outcomes=[o]) for tool, o in zip(tools, (ours, theirs, late), strict=False)]
    rows.append(Row(tool=tools[3], excuse="reads local folders only"))
    kept = showing.figures(rows, terms())
    assert [row["times scalesr"] for row in kept] == [1.0, 2.5, None, None]
    assert [row["computed over needed"] for row in kept] == [2.0, 1.0, None, None]
    text = shown(showing.table(kept, title="a race"))
    for words in ("scalesr", "peer", "2.50", "slow", "out of time", "other", "cannot"):
        assert words in text
    assert showing.failures(kept) == ["slow: out of time: more than 9 s", "other: reads local folders only"]
    json.dumps(kept)
    for place in showing.plot(kept, tmp_path / "plot", title="a race"):
        assert place.stat().st_size > 1000


def shown(table: Any) -> str:
    console = Console(width=190, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(table)
    return console.export_text()


def test_differences_at_the_border_are_told_apart(tmp_path: Path) -> None:
    expected = np.linspace(0, 10, 40 * 40, dtype=np.float32).reshape(40, 40)
    found = expected.copy()
    found[0, 0] += 5
    found[20, 20] += 1
    places = [stored(tmp_path / n, a, chunks=(16, 16)) for n, a in (("e", expected), ("f", found))]
    likeness = compare(places[1], places[0], margin=4, ndim=2)
    assert likeness.inside == pytest.approx(0.1, rel=1e-3)
    assert likeness.anywhere == pytest.approx(0.5, rel=1e-3)
    found[20, 20] = np.nan
    assert compare(stored(tmp_path / "n", found, chunks=(8, 8)), places[0], margin=4, ndim=2).inside == np.inf


def test_bits_are_compared_whatever_the_chunks(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(size=(2, 30, 30)).astype(np.float32)
    one = stored(tmp_path / "1", pixels, chunks=(1, 16, 16))
    two = stored(tmp_path / "2", pixels, chunks=(2, 8, 8))
    pixels[1, 29, 29] = np.nextafter(pixels[1, 29, 29], np.float32(9))
    other = stored(tmp_path / "3", pixels, chunks=(2, 8, 8))
    assert identical([one], [two], ndim=2)
    assert not identical([one], [other], ndim=2)


def test_a_seam_is_found_where_tiles_meet(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    plain = stored(tmp_path / "plain", pixels, chunks=(64, 64))
    pixels[:, 72:136] += 3
    seamed = stored(tmp_path / "seamed", pixels, chunks=(64, 64))
    options: dict[str, Any] = {"period": [64, 64], "offset": [8, 8]}
    assert seam_score(plain, **options) == pytest.approx(1, abs=0.05)
    assert (seam_score(seamed, **options) or 0) > 1.3
    assert seam_score(seamed, period=[64, 64], offset=[40, 40]) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("name", ["edsr-2d", "rrdb-2d", "unet-3d", "growth"])
def test_networks_depend_on_no_more_than_their_halo(name: str, tmp_path: Path) -> None:
    network: Network = CASES[name].network
    ndim = len(CASES[name].axes)
    model = networks.load(str(network.write(tmp_path))).double()
    edge = 2 * (network.halo + 4)
    torch.manual_seed(0)
    image = torch.rand((1, 1, *(edge,) * ndim), dtype=torch.float64)
    middle, scaled = edge // 2, edge // 2 * network.scale
    left, right = image.clone(), image.clone()
    left[..., : middle - network.halo] += 1
    right[..., middle + network.halo :] += 1
    with torch.inference_mode():
        before = model(image)
        assert torch.equal(model(left)[..., scaled:], before[..., scaled:])
        assert torch.equal(model(right)[..., :scaled], before[..., :scaled])
        assert not torch.equal(model(left), before)


def test_weights_are_the_same_at_every_call_and_for_scalesr(tmp_path: Path) -> None:
    network = CASES["edsr-2d"].network
    first = networks.load(str(network.write(tmp_path))).state_dict()
    path = network.write(tmp_path)
    again = networks.load(str(path)).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    tile = torch.rand(1, 1, 56, 56)
    # Nearer to the border of the tile each continues it in its own way, which is what a halo is for.
    inner = (..., slice(40, -40), slice(40, -40))
    ours = load(resolve(str(path), image_channels=None, image_axes="yx"))
    with torch.inference_mode():
        theirs = networks.load(str(path))(tile)
        result = ours(tile, torch.zeros((1, 2), dtype=torch.int64))
    assert torch.allclose(result[inner], theirs[inner], atol=1e-6)


def test_borrowing_networks_needs_no_scalesr(tmp_path: Path) -> None:
    path = CASES["rrdb-2d"].network.write(tmp_path)
    code = f"import sys; from benchmarks.peers import networks; networks.load({str(path)!r}); "
    code += "print([name for name in sys.modules if name.split('.')[0] == 'scalesr'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pixels_of_cells_with_their_halo(tmp_path: Path) -> None:
    source = stored(tmp_path / "in", np.zeros((3, 100, 64), np.uint16), chunks=(1, 64, 64))
    job = Job(
        sources=[source], targets=[], weights="", scale=1, cell=[64, 64], halo=10, batch=1, low=0, high=1, threads=1,
        device="cpu",
    )  # fmt: skip
    assert expected_pixels(job) == (6, 3 * (84 * 84 + 56 * 84))


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("--case", "same-size-2d", "--size", "160", "--cell", "64", "--bits"),
        ("--case", "unet-3d", "--size", "64", "--cell", "32"),
    ],
)
def test_all_tools_that_are_installed_agree(arguments: tuple[str, ...], tmp_path: Path) -> None:
    if not PEERS.is_dir():
        pytest.skip("needs the peers: benchmarks/peers/environment.sh")
    command = [sys.executable, "-m", "benchmarks.race", *arguments, "--threads", "1", "--limit", "200"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"BENCHMARK_RESULTS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("*.json")
    rows = {row["tool"]: row for row in json.loads(file.read_text())["rows"]}
    for name, row in rows.items():
        if name in TOOLS and not TOOLS[name].python.is_file():
            continue
        assert row["failure"] is None, row
        if name != "whole image":
            exact = "halo is exact" not in row["cannot"] and "bf16" not in name
            assert (row["difference inside"] < 1e-5) == exact, row
    if "--bits" in arguments:
        assert rows["scalesr, same tiles"]["same bits from other chunks"] is True
