#!/usr/bin/env bash
# Makes .venv hold scalesr, its extras and the torch build that fits this machine. Says nothing and returns in
# well under a second when nothing changed since the last call.
# usage: deploy/environment.sh EXTRAS        for example: deploy/environment.sh demo,test,dev
set -euo pipefail
cd "$(dirname "$0")/.."

extras=$1
torch_version=${TORCH_VERSION:-2.13.0} # tested with; any from pyproject.toml on will do
spandrel_version=0.4.2
python=${PYTHON:-python3}
venv=.venv
gpu=$(command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -c '^GPU' || true)
wanted=$(cat pyproject.toml deploy/environment.sh <(echo "$extras $torch_version ${gpu:-0}") | cksum)
stamp=$venv/installed-${extras//,/-}
[[ -x $venv/bin/scalesr && -f $stamp && $(<"$stamp") == "$wanted" ]] && exit 0

if [[ ! -x $venv/bin/python ]]; then
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "scalesr needs Python 3.11 or newer; $python is $("$python" -V 2>&1). Say which: PYTHON=python3.12 make ..." >&2
    exit 1
  }
  echo "Creating $venv with $("$python" -V)"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --upgrade pip
fi
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)

installed() { "$venv/bin/python" -c "from importlib.metadata import version; print(version('$1').split('+')[0])" 2>/dev/null; }

if ! installed torch >/dev/null; then
  # On Linux the plain wheel may drag in gigabytes of CUDA. Ask pip what it would install before it does.
  plan=$("$venv/bin/python" -m pip install --quiet --dry-run --report - "torch==$torch_version" 2>/dev/null || true)
  if [[ ${gpu:-0} == 0 && $plan == *'"nvidia-'* ]]; then
    echo "Installing torch $torch_version for the CPU (no NVIDIA GPU found)"
    "${pip[@]}" uv
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --torch-backend=cpu "torch==$torch_version"
  else
    echo "Installing torch $torch_version"
    "${pip[@]}" "torch==$torch_version"
  fi
fi
# Whatever torch is there stays: another package must not replace the build that was chosen for this machine.
echo "torch==$(installed torch)" >"$venv/constraints.txt"
echo "Installing scalesr[$extras]"
"${pip[@]}" --constraint "$venv/constraints.txt" --editable ".[$extras]" 'einops>=0.7'
# Last, and without its dependency torchvision, whose published wheels fit only the CUDA build of torch;
# scalesr.models.spandrel does without it.
"${pip[@]}" --no-deps "spandrel==$spandrel_version"
# Its reader is part of the table of interoperability; napari itself, which it asks for, is not needed to read.
[[ ,$extras, != *,test,* ]] || "${pip[@]}" --no-deps "napari-ome-zarr==0.10.0"
echo "$wanted" >"$stamp"
