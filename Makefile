# The front door: `make demo` shows it, `make test` guards it. Both set themselves up.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
# An editable install is found through a file that Python reads in the locale's encoding.
export LC_ALL := C.UTF-8
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-all lint types imports live clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[local,xlsx]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) -e '.[all,dev]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/batchmod run manifests/demo.yaml

test: lint types imports
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not slow"

test-all: lint types imports
	$(BIN)/python -m pytest -n 4

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

imports: $(VENV)/.installed-dev
	$(BIN)/lint-imports

# One clip of 2 s against a live service, with a real key: `make live PROVIDER=luma CLIP=https://…`
live: $(VENV)/.installed-dev
	$(BIN)/python -m tests.live $(PROVIDER) $(if $(CLIP),--clip $(CLIP))

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
