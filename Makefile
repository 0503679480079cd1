# Springboard: `make demo` runs the main job, `make test` runs all tests; both set up what they need.
SHELL := /bin/bash
PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
TORCH := 2.13.0

# The demo's own model and clips, or a checkpoint and a video of yours.
WEIGHTS ?= demo/weights
CLIP ?=

.PHONY: setup demo serve test test-tools check lock clean
.DELETE_ON_ERROR:

setup: .venv/ready

# PyPI's torch is the CUDA build (gigabytes), so a machine without an NVIDIA GPU asks for the +cpu build by its
# full version: first where pip already looks (a mirror, a local wheel), then on PyTorch's own CPU index.
.venv/ready: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Springboard needs Python 3.11 or newer; $(PYTHON) is older. Set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m ensurepip --version >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ]; then echo "setup: installing python3-venv with apt"; apt-get update -q && apt-get install -qy python3-venv; \
	  else echo "Python's venv module is missing. Run: sudo apt-get install python3-venv"; exit 1; fi; }
	$(PYTHON) -m venv --clear .venv
	@if nvidia-smi -L >/dev/null 2>&1; then \
	  echo "setup: NVIDIA GPU found, installing torch $(TORCH) with CUDA"; $(PIP) install -qq torch==$(TORCH); \
	else \
	  echo "setup: no NVIDIA GPU, installing torch $(TORCH)+cpu"; \
	  $(PIP) install -qq torch==$(TORCH)+cpu 2>/dev/null || \
	  $(PIP) install -qq torch==$(TORCH)+cpu --extra-index-url https://download.pytorch.org/whl/cpu; \
	fi
	$(PIP) install -qq --require-hashes -r requirements/dev.txt
	$(PIP) install -qq --no-deps --no-build-isolation -e .
	@touch $@

# make demo [WEIGHTS=folder] [CLIP=file]
demo: setup
	@$(PY) -m demo.run "$(WEIGHTS)" $(if $(CLIP),"$(CLIP)",demo/clips/{good-dive,poor-dive,not-a-dive}.mp4)

# make serve WEIGHTS=folder, or ARGS="--endpoint-file endpoint.yml" and whatever else `springboard serve` takes
serve: setup
	exec .venv/bin/springboard serve $(if $(filter --endpoint-file% --archive%,$(ARGS)),,--weights "$(WEIGHTS)") $(ARGS)

test: setup test-tools
	$(PY) -m pytest -n 2 --dist loadgroup

# What tests call that pip does not bring; without it those tests are skipped, with the reason.
test-tools:
	@command -v curl >/dev/null || \
	  if [ "$$(id -u)" = 0 ]; then echo "test: installing curl with apt"; apt-get update -q && apt-get install -qy curl; \
	  else echo "test: without curl some tests are skipped; run: sudo apt-get install curl"; fi

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/shellcheck archive.sh .ci/run
	.venv/bin/yamllint --strict .

# Resolve requirements/*.in into pinned, hashed requirements/*.txt.
lock: setup
	for part in worker front dev; do \
	  .venv/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
	    requirements/$$part.in -o requirements/$$part.txt; \
	done

clean:
	rm -rf build .venv
