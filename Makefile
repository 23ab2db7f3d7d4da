# make demo: install and analyze the bundled clip.  make test: install for development and test.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=

.PHONY: demo test lint clean
.DELETE_ON_ERROR:

NEEDS := Python 3.11 or newer is needed, and
NAME_IT := name another: make PYTHON=python3.12 $(MAKECMDGOALS)

# In words that every Python since 2.7 reads.
define OLD
import sys
if sys.version_info < (3, 11): sys.exit("$(NEEDS) $(PYTHON) is %d.%d; $(NAME_IT)" % sys.version_info[:2])
endef
export OLD

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(NEEDS) there is no $(PYTHON); $(NAME_IT)" >&2; exit 1; }
	@$(PYTHON) -c "$$OLD"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/aucli analyze examples/demo.mp4 -o demo.parquet --overwrite
	@echo 'The table is demo.parquet; the exact curves of the clip are in examples/demo_truth.csv.'

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) demo.parquet
