# Every target makes the environment it needs; a second call reuses it.
.PHONY: demo test test-all lint format benchmark peers notebooks docs train environment clean

demo:
	@deploy/environment.sh demo
	@.venv/bin/scalesr demo

# Two processes, each with the tests of whole files; threads of a network are part of a plan and not of these.
test: lint
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses 2 --dist loadfile

test-all: lint
	@.venv/bin/python -m pytest -m "slow or not slow"

lint: environment
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

format: environment
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

environment:
	@deploy/environment.sh test,dev,demo,docs,s3,tiff

benchmark: environment
	@.venv/bin/python -m benchmarks

# What scalesr is raced against, each from its release in an environment of its own below .peers.
peers:
	@benchmarks/peers/environment.sh

# Runs all notebooks and keeps their outputs in them.
notebooks:
	@deploy/environment.sh demo,analysis,notebooks
	@.venv/bin/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \
		notebooks/*.ipynb

# Builds the documentation into build/site; it asks for nothing outside itself.
docs:
	@deploy/environment.sh docs,xarray
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
