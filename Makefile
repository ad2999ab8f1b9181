# Each target first makes .venv with everything in it; that is done once, and again when pyproject.toml changes.
# `make test ARGS="tests/core -x"` hands ARGS to pytest.

BIN := .venv/bin
ENVIRONMENT := @scripts/environment.sh
SCREEN := scripts/with-screen.sh

.PHONY: help demo test lint format docs package

help:
	@echo "make demo     find the objects in the sample images, in napari; pictures and boxes go to demo/"
	@echo "make test     run the tests, with real napari windows (a virtual screen where there is none)"
	@echo "make lint     ruff, mypy and the rules on who may import what"
	@echo "make format   let ruff put the code in order"
	@echo "make docs     build the guide into site/"
	@echo "make package  build sdist and wheel into dist/ and check what napari will find in the wheel"

demo:
	$(ENVIRONMENT) all,testing
	$(SCREEN) $(BIN)/napari-localize demo --output demo --overwrite

test:
	$(ENVIRONMENT) all,testing
	$(SCREEN) $(BIN)/python -m pytest $(ARGS)

lint:
	$(ENVIRONMENT) all,testing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format:
	$(ENVIRONMENT) all,testing
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs:
	$(ENVIRONMENT) all,testing,docs
	$(BIN)/mkdocs build --strict

package:
	$(ENVIRONMENT) all,testing
	$(SCREEN) scripts/check-wheel.sh $(BIN)/python
