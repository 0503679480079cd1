# Springboard: `make demo` runs the main job, `make test` runs all tests; both set up what they need.
SHELL := /bin/bash
PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
TORCH = $(PIP) install -qq --no-deps --require-hashes -r requirements/torch
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu
# The web page, its tools, and the environment's Node.js for them.
PAGE := springboard/front/page/static
WEB := tools/web
NODE := PATH="$(CURDIR)/.venv/bin:$$PATH"

# The demo's own model and clips, or a checkpoint and a video of yours.
WEIGHTS ?= demo/weights
CLIP ?=
# The dive whose score hosts check a release by.
GOLDEN ?= demo/clips/good-dive.mp4

.PHONY: setup demo serve release deploy test durations test-pythons test-tools check check-web web-vendor docs docs-site bench lock lock-torch clean
.DELETE_ON_ERROR:

setup: .venv/ready

# PyPI's torch is the CUDA build (gigabytes), so a machine without an NVIDIA GPU asks for the +cpu build: first where pip
# already looks (a mirror, a local wheel), then on PyTorch's own CPU index alone. By hash, whichever answers.
.venv/ready: requirements/dev.txt requirements/torch-cpu.txt requirements/torch-cuda.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Springboard needs Python 3.11, 3.12 or 3.13; $(PYTHON) is another. Set PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -m ensurepip --version >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ]; then echo "setup: installing python3-venv with apt"; apt-get update -q && apt-get install -qy python3-venv; \
	  else echo "Python's venv module is missing. Run: sudo apt-get install python3-venv"; exit 1; fi; }
	$(PYTHON) -m venv --clear .venv
	@if nvidia-smi -L >/dev/null 2>&1; then \
	  echo "setup: NVIDIA GPU found, installing torch with CUDA"; $(TORCH)-cuda.txt; \
	else \
	  echo "setup: no NVIDIA GPU, installing torch's CPU build"; \
	  $(TORCH)-cpu.txt 2>/dev/null || $(TORCH)-cpu.txt --index-url $(TORCH_CPU_INDEX); \
	fi
	$(PIP) install -qq --require-hashes -r requirements/dev.txt
	$(PIP) install -qq --no-deps --no-build-isolation -e .
	@touch $@

# make demo [WEIGHTS=folder] [CLIP=file] [KEEP=1: leave the server on, for a browser]
demo: setup
	@$(PY) -m demo.run $(if $(KEEP),--keep) "$(WEIGHTS)" $(if $(CLIP),"$(CLIP)",demo/clips/{good-dive,poor-dive,not-a-dive}.mp4)

# make serve WEIGHTS=folder, or ARGS="--endpoint-file endpoint.yml" and whatever else `springboard serve` takes
serve: setup
	exec .venv/bin/springboard serve $(if $(filter --endpoint-file% --archive%,$(ARGS)),,--weights "$(WEIGHTS)") $(ARGS)

# make release VERSION=X.Y.Z WEIGHTS=folder GOLDEN=dive.mp4 BUCKET=my-models [REFERENCE=folder of dives]
release: setup
	@[ -n "$(VERSION)" ] && [ -n "$(BUCKET)" ] || \
	  { echo "make release needs VERSION=X.Y.Z and BUCKET=name (WEIGHTS, GOLDEN: default the demo's)"; exit 2; }
	./archive.sh --weights "$(WEIGHTS)" --version "$(VERSION)" --golden "$(GOLDEN)" \
	  $(if $(REFERENCE),--reference "$(REFERENCE)") --publish "s3://$(BUCKET)"

# make deploy RELEASE=X.Y.Z [ARGS="-i inventory/aws_ec2.yml"]
deploy: setup
	@[ -n "$(RELEASE)" ] || { echo "make deploy needs RELEASE=X.Y.Z (springboard releases list)"; exit 2; }
	.venv/bin/ansible-playbook playbooks/deploy.yml -e release="$(RELEASE)" $(ARGS)

# All tests, or with QUICK=1 those in this process and on real servers that do not take long: in under four minutes.
PYTEST := $(PY) -m pytest -n 2 --dist loadgroup --no-loadscope-reorder --durations=10
test: setup test-tools $(WEB)/node_modules/ready
	$(if $(QUICK),SPRINGBOARD_QUICK_TESTS=1 )$(PYTEST)$(if $(QUICK), tests/unit tests/serving)

# The same, and what took how long goes to tests/durations.json: the next run begins with the longest.
durations: setup test-tools $(WEB)/node_modules/ready
	SPRINGBOARD_WRITE_DURATIONS=1 $(PYTEST)

# The tests of one process and of real servers on Python 3.11, 3.12 and 3.13, or SESSION=quick-3.13; pyenv's are found.
test-pythons: setup test-tools
	PYENV_VERSION="$$(pyenv versions --bare 2>/dev/null | grep -E '^3\.1[1-3]\.' | paste -sd:)" \
	  .venv/bin/nox --session $(or $(SESSION),tests) $(if $(TESTS),-- $(TESTS))

# What tests call that pip does not bring; without it those tests are skipped, with the reason.
TOOLS := buildah chromium curl haproxy iproute2 mmdebstrap nginx-light openssh-client openssl prometheus prometheus-alertmanager \
  prometheus-blackbox-exporter prometheus-nginx-exporter prometheus-node-exporter slirp4netns systemd-container
# Compilers of other people's clients, by their commands: any of them will do.
COMPILERS := go=golang-go javac=default-jdk-headless
test-tools:
	@missing=$$(for tool in $(TOOLS); do dpkg -s $$tool >/dev/null 2>&1 || echo -n " $$tool"; done; \
	  for pair in $(COMPILERS); do command -v $${pair%=*} >/dev/null || echo -n " $${pair#*=}"; done); \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ]; then echo "test: installing$$missing with apt"; \
	  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; \
	else echo "test: some tests are skipped without$$missing; run: sudo apt-get install$$missing"; fi

# The page's checkers and libraries, by the lock file's hashes; Node.js comes with the environment, no script of theirs runs.
$(WEB)/node_modules/ready: $(WEB)/package-lock.json .venv/ready
	cd $(WEB) && $(NODE) npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

check-web: $(WEB)/node_modules/ready
	$(NODE) $(WEB)/node_modules/.bin/tsc -p $(WEB)
	$(NODE) $(WEB)/node_modules/.bin/eslint --config $(WEB)/eslint.config.js --max-warnings 0 $(PAGE)

# The page's two libraries with their licences, as npm has them; other bytes than tools/web/vendor.sha256 says stay out.
web-vendor: $(WEB)/node_modules/ready
	@rm -rf build/vendor && mkdir -p build/vendor
	cp $(WEB)/node_modules/htm/preact/standalone.module.js build/vendor/preact.js
	cp $(WEB)/node_modules/idb-keyval/dist/index.js build/vendor/idb-keyval.js
	@for package in htm preact idb-keyval; do \
	  printf '%s (https://www.npmjs.com/package/%s)\n\n' $$package $$package; cat $(WEB)/node_modules/$$package/LICEN[CS]E; echo; \
	done >build/vendor/LICENSES.txt
	cd build/vendor && sha256sum --strict --check $(CURDIR)/$(WEB)/vendor.sha256
	cp build/vendor/* $(PAGE)/vendor/

check: setup test-tools check-web
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/shellcheck archive.sh bench/gpu.sh .ci/run tests/hosts/*.sh playbooks/roles/*/files/*.sh
	.venv/bin/yamllint --strict .
	.venv/bin/ansible-lint playbooks inventory
	promtool check rules monitoring/rules/*.yml
	@$(MAKE) --no-print-directory docs-site

# docs/reference, written from the code; committed, and compared by a test.
docs: setup
	$(PY) -m docs.reference

# The site, in build/site; a dead link or heading fails it. Its generator has an environment of its own.
docs-site: setup build/docs-venv/ready
	$(PY) -m docs.site
	build/docs-venv/bin/zensical build --clean --strict

build/docs-venv/ready: requirements/docs.txt
	$(PYTHON) -m venv --clear build/docs-venv
	build/docs-venv/bin/python -m pip --disable-pip-version-check install -qq --require-hashes -r requirements/docs.txt
	@touch $@

# Resolve requirements/*.in into pinned, hashed requirements/*.txt.
lock: setup
	for part in worker front dev docs audit peers; do \
	  .venv/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
	    requirements/$$part.in -o requirements/$$part.txt; \
	done
	.venv/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
	  -c requirements/worker.in -c requirements/front.in requirements/quantise.in -o requirements/quantise.txt
	.venv/bin/uv pip compile -q --universal --no-deps --generate-hashes --python-version 3.11 --no-header --no-annotate \
	  requirements/openvino.in -o requirements/openvino.txt

# The same of torch and what its CUDA build brings beside worker.txt. The CPU build's hashes are on its own index only.
lock-torch: setup
	.venv/bin/uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --python-platform x86_64-manylinux_2_28 -c requirements/worker.txt \
	  $$(sed -nE 's/^([a-z0-9._-]+)==.*/--no-emit-package \1/p' requirements/worker.txt) \
	  requirements/torch-cuda.in -o requirements/torch-cuda.txt
	{ sed -n '/^#/p' requirements/torch-cpu.txt; sed -n 's/^\(torch==.*\)/\1+cpu/p' requirements/torch-cuda.in | \
	  .venv/bin/uv pip compile -q --no-deps --generate-hashes --no-header --no-annotate --python-version 3.11 \
	    --default-index $(TORCH_CPU_INDEX) -; } >build/torch-cpu.txt && mv build/torch-cpu.txt requirements/

# Ours beside peers that serve the same core, and beside the bare core, in one run: a table, and build/bench.json.
bench: setup build/peers-venv/ready
	$(PY) -m bench.compare --weights "$(WEIGHTS)" $(if $(CLIP),--clip "$(CLIP)") $(if $(QUICK),--quick --clients 1 8 --requests 16)

# Peers have an environment of their own, over this one's torch and decoders.
build/peers-venv/ready: requirements/peers.txt .venv/ready
	$(PYTHON) -m venv --clear build/peers-venv
	build/peers-venv/bin/python -m pip --disable-pip-version-check install -qq --require-hashes -r requirements/peers.txt
	$(PY) -c 'import site; print(site.getsitepackages()[0])' >"$$(build/peers-venv/bin/python -c 'import site; print(site.getsitepackages()[0])')/springboard.pth"
	@touch $@

clean:
	rm -rf build .venv $(WEB)/node_modules
