# One command each to set up, run, test and check; CI calls the same.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
SIDE_BY_SIDE := -n 2

.PHONY: setup run test unit lint format bench soak

setup: $(STAMP)

$(STAMP): requirements.txt requirements-dev.txt pyproject.toml scripts/setup.sh
	PYTHON="$(PYTHON)" sh scripts/setup.sh
	touch $(STAMP)

run: setup
	sh scripts/run.sh $(ARGS)

test: setup
	sh scripts/test_packages.sh
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

unit: setup
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/unit tests/contract tests/architecture $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m bench.features
	$(BIN)/python -m bench.confined
	$(BIN)/python -m bench.optimizer
	$(BIN)/python -m bench.engines
	$(BIN)/python -m bench.start $(ARGS)

soak: setup
	$(BIN)/python -m bench.soak $(ARGS)
