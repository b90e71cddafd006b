"""Files of weights written by somebody else: a clear error or a network, no code, and no memory on their word."""

from __future__ import annotations

import json
import pickle
import struct
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from scalesr.errors import ModelError, ScalesrError
from scalesr.models import load, resolve
from scalesr.models.edsr import EDSR
from scalesr.models.filling import filled
from scalesr.msdsr.network import Denoiser, save_denoiser
from scalesr.msdsr.settings import NetworkSettings
from scalesr.msdsr.student import Student, save_student
from scalesr.rls.checkpoints import save as save_pair
from scalesr.rls.flow import MAF
from scalesr.rls.generator import StyleGAN2
from scalesr.rls.prior import Prior
from scalesr.rls.settings import FlowSettings, GeneratorSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

PLENTY = 64 * 2**20
"""Bytes that opening a network of kilobytes may take."""
MANY = 10**9
NOTES = ("", "{}", "[]", "null", "-1", "0", "1e400", "[1000000000]", f"{MANY}", "../../etc/passwd", "os:system")
UPRIGHT = (Fraction(2), Fraction(1), Fraction(1))


def edsr(path: Path) -> None:
    sizes: dict[str, Any] = {"features": 8, "blocks": 1, "scale": 2}
    tensors = EDSR(**sizes).state_dict()
    save_file(tensors, path, metadata={"architecture": "edsr", **{name: str(size) for name, size in sizes.items()}})


def denoiser(path: Path) -> None:
    settings = NetworkSettings(widths=(8, 8), attention=(False, False), tile=8)
    save_denoiser(Denoiser(settings), path, title="a network")


def student(path: Path) -> None:
    save_student(Student(scale=2, features=8, blocks=1, planes=2), path, title="a network")


def latents(path: Path) -> None:
    generator = StyleGAN2(GeneratorSettings(size=16, channels=1, latent=8, depth=1, widths=(8, 8, 8)))
    prior = Prior(MAF(FlowSettings(latent=8, blocks=1, hidden=8)))
    save_pair(path, generator, prior, title="a network", factor=4)


MAKERS = {"edsr": edsr, "msdsr": denoiser, "msdsr-fast": student, "rls": latents}


@pytest.fixture(scope="module")
def hostages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small networks of all kinds, as files."""
    folder, found = tmp_path_factory.mktemp("models"), {}
    for name, make in MAKERS.items():
        make(folder / name)
        found[name] = (folder / name).read_bytes()
    return found


def loaded(path: Path) -> None:
    """Load a file of weights."""
    stack = b"rls" in path.read_bytes()[:400]
    axes, channels = ("nyx", None) if stack else ("zyx", None)
    scale = None if b'"scale"' in path.read_bytes() else UPRIGHT
    load(resolve(str(path), image_channels=channels, image_axes=axes, scale=scale))


def opened(path: Path) -> None:
    """Load a file of weights in little memory, or be told clearly why not."""
    said = None
    tracemalloc.start()
    try:
        loaded(path)
    except ScalesrError as error:
        said = error
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < PLENTY
    assert said is None or (said.problem and said.remedy)


def parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def joined(header: Mapping[str, Any], rest: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


@pytest.mark.parametrize("kind", MAKERS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_one_changed_note(
    hostages: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, kind: str, data: Any
) -> None:
    header, rest = parts(hostages[kind])
    notes = header["__metadata__"]
    name = data.draw(st.sampled_from(sorted(notes)))
    notes[name] = data.draw(st.sampled_from(NOTES) | st.text(max_size=20))
    path = tmp_path_factory.mktemp("changed") / "net.safetensors"
    path.write_bytes(joined(header, rest))
    opened(path)


@pytest.mark.parametrize("kind", MAKERS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_changed_bytes(
    hostages: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, kind: str, data: Any
) -> None:
    content = bytearray(hostages[kind])
    (size,) = struct.unpack("<Q", content[:8])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, size + 20))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    path = tmp_path_factory.mktemp("bytes") / "net.safetensors"
    path.write_bytes(content[:kept])
    opened(path)


@pytest.mark.parametrize(
    ("kind", "note", "value"),
    [
        ("edsr", "features", MANY),
        ("edsr", "blocks", MANY),
        ("msdsr", "widths", [MANY * 8, 8]),
        ("msdsr", "layers", MANY),
        ("msdsr-fast", "features", MANY),
        ("msdsr-fast", "blocks", MANY),
        ("rls", "generator", {"size": 1024, "channels": 1, "latent": 2**30, "depth": 1, "widths": [2**20] * 9}),
        ("rls", "generator", {"size": 16, "channels": 1, "latent": 8, "depth": MANY, "widths": [8, 8, 8]}),
        ("rls", "flow", {"latent": 8, "blocks": MANY, "hidden": 8}),
        ("rls", "flow", {"latent": 8, "blocks": 1, "hidden": 2**40}),
    ],
)
def test_terabytes_on_its_word(hostages: dict[str, bytes], tmp_path: Path, kind: str, note: str, value: Any) -> None:
    header, rest = parts(hostages[kind])
    header["__metadata__"][note] = json.dumps(value)
    path = tmp_path / "net.safetensors"
    path.write_bytes(joined(header, rest))
    with pytest.raises(ModelError):
        loaded(path)
    opened(path)


def test_a_tensor_of_a_terabyte(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    header = {"w": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}}
    path.write_bytes(joined(header, b""))
    with pytest.raises(ModelError, match="damaged"):
        loaded(path)
    opened(path)


class Trap:
    """Leaves a mark where a pickle is run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        """Make a file."""
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors", "net.onnx", "net"])
def test_code_is_never_run(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "mark"
    torch.save({"params": Trap(mark)}, tmp_path / name)
    with pytest.raises(ModelError):
        loaded(tmp_path / name)
    (tmp_path / name).write_bytes(pickle.dumps(Trap(mark), protocol=0))
    with pytest.raises(ModelError):
        loaded(tmp_path / name)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Trap(mark)))
    assert mark.exists()


def test_what_is_claimed_is_compared_before_it_is_built() -> None:
    tensors = torch.nn.Linear(3, 2).state_dict()
    assert filled(lambda: torch.nn.Linear(3, 2), tensors).in_features == 3
    for make, words in (
        (lambda: torch.nn.Linear(3, 2**40), "is claimed"),
        (lambda: torch.nn.Linear(3, 2, bias=False), "no place"),
        (lambda: torch.nn.Sequential(*(torch.nn.Linear(3, 2) for _ in range(MANY))), "more than"),
    ):
        with pytest.raises(RuntimeError, match=words):
            filled(make, tensors)
    with pytest.raises(RuntimeError, match="missing"):
        filled(lambda: torch.nn.Linear(3, 2), {})
    assert save(tensors)
