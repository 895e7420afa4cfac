# `make help` explains itself. Everything runs from .venv, which is made when it is first needed.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
# Without compiled files each run of the tests would begin by compiling them all.
unexport PYTHONDONTWRITEBYTECODE
READY := .venv/.ready
# Full-size acceptance runs: STREAMS_TEST_SCALE=1.
FULL ?= 1
# The earlier schemas that today's must be compatible with: a folder or a git ref.
AGAINST ?= HEAD

.PHONY: help
help: ## show this
	@printf 'make TARGET, where TARGET is\n\n'
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  %-10s %s\n' "$$name" "$$text"; done
	@printf '\nThe broker for demo, test and chaos: BROKER=HOST:PORT|docker|apache|embedded,\n'
	@printf 'else the first that works of Docker, Apache Kafka by Java 17 and Maven, embedded. For bench: BROKER, else apache.\n'

$(READY): pyproject.toml constraints.txt scripts/venv.sh
	@scripts/venv.sh

.PHONY: setup
setup: $(READY) ## make .venv with all that development needs

.PHONY: demo
demo: $(READY) ## run it all: broker, worker, gateway, a kill by filter; checks itself; KEEP=1: leaves it up, with its page
	@$(BIN)/streams demo $(if $(KEEP),--keep)

.PHONY: up
up: $(READY) ## a broker, a worker and the gateway with its page, in one log, until Ctrl-C
	@$(BIN)/streams up --broker

.PHONY: test
test: export STREAMS_TEST_EXAMPLES = 1
test: $(READY) ## all that check does, and every test that needs a broker (STREAMS_TEST_SCALE=1 for full size)
	@$(MAKE) --no-print-directory -j 2 lint gate costs GATE="$(if $(CI),,--if-known)"
	@$(BIN)/pytest -q -n 4 --dist worksteal -m "not stack"

.PHONY: check
check: $(READY) ## lint, schemas gate, layers, unit and property tests: under a minute, needs no broker
	@$(MAKE) --no-print-directory -j 3 unit lint gate

.PHONY: gate
gate: $(READY)
	@$(BIN)/streams schemas check --against $(AGAINST)

.PHONY: costs
costs: $(READY) ## what commands and pages take, in counts; to accept new ones: python -m bench gate --record
	@$(BIN)/python -m bench gate $(GATE)

.PHONY: unit
unit: $(READY)
	@$(BIN)/pytest -q -n 2 -m "not broker and not chaos and not long and not stack"

.PHONY: lint
lint: $(READY) ## ruff, the format, mypy --strict
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .
	@$(BIN)/mypy

.PHONY: format
format: $(READY) ## let ruff format and fix what it can
	@$(BIN)/ruff check -q --fix .
	@$(BIN)/ruff format -q .

.PHONY: chaos
chaos: $(READY) ## the tests that kill workers and brokers, at full size
	@STREAMS_TEST_SCALE=$(FULL) $(BIN)/pytest -q -m chaos

.PHONY: stack
stack: $(READY) ## the compose stack (Docker), and the examples in Java, Go and JavaScript where installed
	@$(BIN)/pytest -q -m stack

.PHONY: bench
bench: $(READY) ## measure: applied a second, killed a second, latency beside it (python -m bench --help: all else)
	@$(BIN)/python -m bench

.PHONY: docs
docs: export PYTHONPATH = .
docs: $(READY) ## make the generated pages of docs/ again: configuration, command line, tables, metrics, fingerprints
	@set -e; for page in scripts/*_page.py; do $(BIN)/python $$page; done

.PHONY: picture
picture: $(READY) ## record the demo again, as docs/demo.svg
	@$(BIN)/python scripts/picture.py

.PHONY: clean
clean: ## remove .venv, what tools have left, .state (tables) and .broker (its data)
	rm -rf .venv dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .state .broker
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
