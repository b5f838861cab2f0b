# Everything a user or a developer types. `make help` lists it.

PYTHON ?= python3
PORT ?= $(or $(TWINLENS_PORT),8000)
SCALE ?= full
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup serve test test-oldest lint format bench bench-all bench-engines bench-gpu bench-growth bench-peers bench-precision bench-training deploy-lint deploy-check torture clean

help:  ## This list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# Debian's Python comes without what it needs for this; pip is quiet for as long as it takes.
environment = $(PYTHON) -m venv $(1) || \
	{ echo "No environment could be made; on Debian and Ubuntu, first: apt install python3-venv"; exit 1; }; \
	echo "Installing into $(1): at first some 6 GB on Linux, which takes minutes"

setup: $(READY)  ## A virtual environment in .venv with all that is needed.

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Twinlens needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(call environment,$(VENV))
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[training,development]'
	@touch $@

serve: $(READY)  ## Serve the shipped models on http://127.0.0.1:8000 (PORT=8000).
	@$(BIN)/python -m model_store import photos
	TWINLENS_PORT=$(PORT) $(BIN)/python -m app

# A core for each process; files are kept together for what their tests share.
PARALLEL := --numprocesses logical --maxprocesses 4 --dist loadfile

test: $(READY)  ## Run the tests.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL)

OLDEST := .venv-oldest
$(OLDEST)/.ready: pyproject.toml
	@$(call environment,$(OLDEST))
	$(OLDEST)/bin/python -m pip install --quiet --upgrade pip
	$(OLDEST)/bin/python -m pip install --quiet --editable '.[training,development]' \
		'torch==2.11.*' 'torchvision==0.26.*'
	@touch $@

test-oldest: $(OLDEST)/.ready  ## Run the tests with the oldest PyTorch that pyproject.toml allows.
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest $(PARALLEL)

lint: $(READY)  ## Style, types and the direction of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## Put the style right.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# They measure what is shipped, by its path and served alike, whatever store the user's is.
bench bench-peers bench-growth bench-engines bench-precision: \
	export TWINLENS_MODEL_STORE := $(CURDIR)/model_store/checkpoints

bench: $(READY)  ## Measure the service against its own limit (a few minutes).
	@$(BIN)/python -m model_store import photos
	$(BIN)/python -m benchmarks.serving --json serving.json

bench-peers: $(READY)  ## Measure the service beside other servers, which it installs (20 minutes).
	@$(BIN)/python -m model_store import photos
	$(BIN)/python -m benchmarks.peers --json peers.json --plot peers.png

bench-growth: $(READY)  ## Measure by batch, image size, models and candidates (ten minutes).
	@$(BIN)/python -m model_store import photos
	$(BIN)/python -m benchmarks.growth --json growth.json --plot growth.png

bench-gpu: $(READY)  ## Measure on a machine with a CUDA device (some minutes).
	$(BIN)/python -m benchmarks.gpu --json gpu.json

$(VENV)/.benchmarks: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[benchmarks]'
	@touch $@

bench-engines: $(VENV)/.benchmarks  ## Measure the CPU engine beside others (the first time long).
	@$(BIN)/python -m model_store import photos
	$(BIN)/python -m benchmarks.engines --json engines.json --plot engines.png

bench-precision: $(READY)  ## Measure what bfloat16 and int8 do to figures and decisions (a minute; reads TWINLENS_DATA).
	@$(BIN)/python -m model_store import photos
	$(BIN)/python -m benchmarks.precision --json precision.json

bench-all: bench bench-growth bench-peers bench-engines  ## The benchmarks that need neither a GPU nor TWINLENS_DATA.

bench-training: $(READY)  ## Measure training against a plain loop (minutes; reads TWINLENS_DATA).
	$(BIN)/python -m benchmarks.training

$(VENV)/.deployment: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[deployment]'
	@touch $@

deploy-lint: $(VENV)/.deployment  ## Dockerfile, composition, alerts, dashboard and manifests.
	$(BIN)/python -m pytest tests/deploy

deploy-check: $(READY)  ## Real containers behind the balancer, under load (needs Docker; minutes).
	$(BIN)/python -m benchmarks.deployment --write docs/deploy.md

torture: $(READY)  ## Overload, faults and hostile input, for an hour (SCALE=small: a quarter of one).
	$(BIN)/python -m torture --scale $(SCALE) --report torture.md

clean:  ## Remove the virtual environment and caches.
	rm -rf $(VENV) $(OLDEST) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
