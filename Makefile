# Every target first sets up .venv with the pinned packages: once, and again when the pins change.
SHELL := bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Where bytecode is not kept, every process that the tests start compiles the project again.
unexport PYTHONDONTWRITEBYTECODE
# The first Python of at least 3.11 that can create an environment; `make PYTHON=/path/to/python` chooses another.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)

.PHONY: help install run test test-long check lint fuzz bench row chaos soak mutants page guide typescript interoperability secrets lock supply-chain clean

help:
	@echo "make run        the whole service on http://127.0.0.1:8000, with a synthetic radar day"
	@echo "make test       every test"
	@echo "make check      lint, types, import contracts, 20,000 mutated inputs, and every test; called by .ci/run"
	@echo "make test-long  the slow tests"
	@echo "make bench      the benchmarks, half an hour: docs/results/performance.md (DATA=folder of radar events)"
	@echo "make row        a row of the table of Moving MNIST, trained and scored, in build/row (MODEL=convlstm for another)"
	@echo "make chaos      faults in the whole service while a radar day is played, 40 minutes (DATA=folder)"
	@echo "make soak       a radar day under mixed load, 100 minutes (MINUTES=5 for less), with curves"
	@echo "make mutants    mistakes in the critical paths, each of which a test must notice; an hour"
	@echo "make interoperability  runs the service with programs of others: docs/results/interoperability.md (ONLY='nginx cdo')"
	@echo "make install    the environment alone"
	@echo "make typescript the TypeScript client, in build/typescript, from the OpenAPI document (needs npm)"
	@echo "make page       the page's built files, from service/page/source (needs npm)"
	@echo "make secrets    a random password for each server of docker-compose.yml, in secrets/"
	@echo "make lock       requirements.lock, the packages of the image with their hashes"
	@echo "make supply-chain bill of materials and licences of the image, and what bandit finds"
	@echo "make guide      the guide as web pages, in build/site"

install: $(STAMP)

$(STAMP): constraints.txt pyproject.toml benchmarks/mlcast.txt .ci/install
	@test -n "$(PYTHON)" || { echo "no Python of at least 3.11 with the venv module was found;" \
		"install one (Debian: python3-venv) or run make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	.ci/install $(BIN)/python --no-deps -r benchmarks/mlcast.txt
	.ci/install $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $@

run: install
	$(BIN)/python -m service.run

# One process of tests per core, four at most (each takes 1 to 2 GB), and one thread in each: more would compete for the cores.
test: install
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

test-long: install
	$(BIN)/python -m pytest -m long

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# BEFORE_TESTS is a command between linters and tests: .ci/run waits there for what it installs meanwhile.
# The fuzzer runs at the same time: mypy uses one processor.
check: install
	$(MAKE) --jobs 2 lint fuzz
	$(BEFORE_TESTS)
	$(MAKE) test

fuzz: install
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.fuzz.run --seed 24 --cases 5000

bench: install
	$(BIN)/python -m benchmarks.run --json docs/results/performance.json --markdown docs/results/performance.md $(if $(DATA),--data $(DATA))

# The setting of docs/results/moving_mnist, whose records give the other rows. A second call continues the training.
ROW := $(or $(MODEL),ms-convlstm)
row: install
	test -f build/row/digits/0.json || $(BIN)/python -m training.datasets.fetch_digits --out build/row/digits
	if test -f build/row/runs/own-$(ROW)/config.yaml; then \
	  $(BIN)/python -m training.run --resume build/row/runs/own-$(ROW); \
	else \
	  $(BIN)/python -m training.run --dataset moving_mnist --model $(ROW) --data build/row/digits \
	    --out build/row/runs/own-$(ROW) --precision 32-true --max-steps 2000 --set hidden_channels=16 --set input_steps=5 \
	    --set lead_steps=5 --set size=32 --set digit_size=14 --set validate_every=500 --set log_every=50 \
	    $(if $(shell command -v g++ 2>/dev/null),--compile); \
	fi
	$(BIN)/python -m training.report --runs build/row/runs --runs docs/results/moving_mnist/runs --out build/row/page \
	  --evaluate --clips 500

chaos: install
	$(BIN)/python -m tests.chaos.run $(or $(DATA),../shared/data/events) --json build/chaos.json

soak: install
	$(BIN)/python -m tests.chaos.soak $(or $(DATA),../shared/data/events) --minutes $(or $(MINUTES),100) \
		--json build/soak.json --picture build/soak.png

mutants: install
	$(BIN)/python -m tests.mutation.run --json build/mutants.json

interoperability: install
	$(BIN)/python -m tests.interoperability.run $(if $(ONLY),--only $(ONLY))

page:
	cd service/page && npm ci && npm run build

# From the document of this checkout: types, compiled client, and the package of npm.
typescript: install
	$(BIN)/python docs/make_openapi.py service/client/typescript/openapi.json
	mkdir -p build/typescript
	cd service/client/typescript && npm ci && npm run build && npm pack --pack-destination ../../../build/typescript

# Readable for the containers' own users, in a folder that no other user of this machine may enter.
secrets:
	@mkdir -p -m 700 secrets
	@for name in nowcast_redis_password nowcast_database_password; do test -e secrets/$$name || \
		{ head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n' > secrets/$$name && chmod 444 secrets/$$name; }; done

# Again whenever dependencies or their pins change; tests/deploy/test_lock.py compares the two.
lock:
	$(PYTHON) -m venv build/uv && build/uv/bin/pip install --quiet --disable-pip-version-check uv==0.13.8
	build/uv/bin/uv pip compile pyproject.toml --quiet --extra postgresql --extra traces --constraint constraints.txt --universal \
		--python-version 3.11 --generate-hashes --no-emit-package torch --no-header --no-annotate \
		--output-file requirements.lock

supply-chain: install
	$(BIN)/python -m venv build/supply
	build/supply/bin/python -m pip install --quiet --disable-pip-version-check -r deploy/supply-chain.txt
	$(BIN)/python deploy/supply_chain.py build/supply/bin

guide: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "open build/site/index.html"

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
