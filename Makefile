# Needs only Python >= 3.11, make and a C compiler. Everything else is installed into .venv from the lock.
#   make              this list of targets
#   PYTHON=python3.12 make install     to name the interpreter yourself

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK := requirements.lock
RUNTIME_LOCK := requirements-runtime.lock
BENCH_VENV := .venv-bench
BENCH_STAMP := $(BENCH_VENV)/.installed
BENCH_LOCK := requirements-bench.lock

# The candidates are asked in this order; the first one that is new enough and can make an environment is taken.
PYTHON ?=
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python)
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

# Used by `make lock` alone, so it is not part of everybody's environment.
UV := uv==0.13.9
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo up test lint check matrix matrix-page throughput sizes conformance conformance-celery chaos bench format lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## Make .venv from requirements.lock (again only when the lock changes)

# The stamp is written last: an interrupted installation is simply taken up again by the next `make`.
# --no-build-isolation: the build backend comes from the lock too, so nothing unhashed is ever installed.
$(STAMP): $(LOCK) pyproject.toml
	@rm -f $@
	@$(BIN)/python -c 'import pip; $(SUITABLE)' 2>/dev/null || { \
		for python in $(PYTHONS); do \
			if command -v $$python >/dev/null 2>&1 && $$python -c '$(SUITABLE)' 2>/dev/null; then \
				echo "Making $(VENV) with $$($$python --version)"; \
				exec $$python -m venv --clear $(VENV); \
			fi; \
		done; \
		echo "No suitable Python was found (tried: $(PYTHONS))." >&2; \
		echo "Understudy needs Python 3.11 or newer with the venv module; on Debian and Ubuntu that is" >&2; \
		echo "the package python3-venv. If yours has another name: PYTHON=/path/to/python make install" >&2; \
		exit 1; \
	}
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# make waits for these two after Ctrl-C, so the server and the workers can finish what they hold.
demo: $(STAMP) ## Send a campaign through a worker and a misbehaving mail server, and check every mail
	@exec $(BIN)/understudy demo

up: $(STAMP) ## Run the embedded server and workers until Ctrl-C
	@exec $(BIN)/understudy up

# The tests start Python by the hundred: where it must not keep what it has compiled, it compiles for a third of the time.
# In the order of their names: xdist's own leaves files of few tests to the end, and these are those that wait.
test: $(STAMP) ## Run the tests (under 10 minutes on two cores)
	@$(BIN)/python -m compileall -q -x '/test_[^/]*$$' middleware tasks tests understudy workflows
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

lint: $(STAMP) ## Check style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: lint test ## Everything that CI runs

matrix: $(STAMP) ## Print the test matrix: every actor against retry, timeout, partial failure, chain-stop ...
	@exec $(BIN)/python -m tests.matrix

matrix-page: $(STAMP) ## Run it, and write docs/reference/matrix.md (a test tells when it is stale)
	@exec $(BIN)/python -m tests.matrix --page docs/reference/matrix.md

throughput: $(STAMP) ## Measure the main actor of each domain, and write docs/reference/throughput.md
	@exec $(BIN)/python -m tests.matrix.mains --page docs/reference/throughput.md

# For example SIZES="--quick --only export_rows": then the page in docs/reference is left as it is. And with
# SIZES="--only export_rows --page docs/reference/sizes.md" it gets new lines of that actor alone.
sizes: $(STAMP) ## Give every actor as much to do as production would (half an hour)
	@exec $(BIN)/python -m tests.matrix.sizes $(or $(SIZES),--page docs/reference/sizes.md)

conformance: $(STAMP) ## Print every behaviour of Celery that was recorded, and what happens here
	@exec $(BIN)/python -m tests.conformance

conformance-celery: $(STAMP) $(BENCH_STAMP) ## Run the same on a real Celery, and say what is not as recorded
	@exec $(BIN)/python -m tests.conformance.record $(BENCH_VENV)/bin/python

chaos: $(STAMP) ## Run the long chaos tests (minutes; not part of `make test`)
	TEST_DEPTH=all $(BIN)/python -m pytest -m "chaos_long or deep" --timeout=1800

# The peers live in an environment of their own, so that nobody else has to install them.
$(BENCH_STAMP): $(BENCH_LOCK) | $(STAMP)
	@rm -f $@
	$(BIN)/python -m venv --clear $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(BENCH_LOCK)
	@touch $@

# For example BENCH="--quick --only idle drain-1": then the page in docs/reference is left as it is.
bench: $(STAMP) $(BENCH_STAMP) ## Measure beside stock Dramatiq and Celery (BENCH=--quick for a first impression)
	@exec $(BIN)/python -m benchmarks $(or $(BENCH),--out docs/reference/benchmarks.md)

format: $(STAMP) ## Format the code and repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(STAMP) ## Make the lock files again after a change of the dependencies in pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(UV)"
	$(COMPILE) --all-extras pyproject.toml -o $(LOCK)
	$(COMPILE) --extra cli --extra email --extra scheduler --extra metrics --extra data --extra postgres --extra notifications -c $(LOCK) pyproject.toml -o $(RUNTIME_LOCK)
	$(COMPILE) --group bench -o $(BENCH_LOCK)

clean: ## Remove caches and built files; keeps .venv and the embedded server's data (.understudy)
	rm -rf dist .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name '$(VENV)*' -prune -o -type d -name __pycache__ -exec rm -rf {} +
