#!/usr/bin/env bash
# Makes .peers hold the tools that scalesr is raced against, each group in an environment of its own, from pinned
# releases. Says nothing and returns at once when nothing changed since the last call. scalesr is not part of them.
# usage: benchmarks/peers/environment.sh [NAME ...]        arrays, bioimageio, careamics; all of them by default
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
torch_version=${TORCH_VERSION:-2.13.0}
requirements=benchmarks/peers/requirements
gpu=$(command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -c '^GPU' || true)

make_one() {
  local name=$1 venv=.peers/$1 wanted stamp
  [[ -f $requirements/$name.txt ]] || {
    echo "There is no $requirements/$name.txt. Names: $(cd $requirements && echo *.txt | sed 's/\.txt//g')" >&2
    exit 2
  }
  wanted=$(cat "$requirements/$name.txt" benchmarks/peers/environment.sh <(echo "$torch_version ${gpu:-0}") | cksum)
  stamp=$venv/installed
  [[ -x $venv/bin/python && -f $stamp && $(<"$stamp") == "$wanted" ]] && return 0
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "The peers need Python 3.11 or newer; $python is $("$python" -V 2>&1). Say which: PYTHON=python3.12 ..." >&2
    exit 1
  }
  echo "Creating $venv"
  "$python" -m venv --clear "$venv"
  local pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
  # The plain wheel of Linux drags in gigabytes of CUDA, as in deploy/environment.sh.
  local plan
  plan=$("$venv/bin/python" -m pip install --quiet --dry-run --report - "torch==$torch_version" 2>/dev/null || true)
  if [[ ${gpu:-0} == 0 && $plan == *'"nvidia-'* ]]; then
    "${pip[@]}" uv
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --torch-backend=cpu "torch==$torch_version"
  else
    "${pip[@]}" "torch==$torch_version"
  fi
  # Every release is pinned, dependencies too: pip has nothing to choose, and nothing may replace torch.
  "${pip[@]}" --no-deps --requirement "$requirements/$name.txt"
  echo "$wanted" >"$stamp"
}

mkdir -p .peers
[[ $# -gt 0 ]] || set -- arrays bioimageio careamics
for name in "$@"; do
  make_one "$name"
done
