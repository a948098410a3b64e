# Everything a newcomer needs: `make demo` and `make test`. Both set up the environment first.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test soak lint format bench setup clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

demo: $(READY) ## train a network, make it parallel, stream a video, write demo/report.html
	$(BIN)/mpvn demo --output demo

# TensorFlow's own allocator would keep the memory of the largest test until a worker ends.
test soak: export TF_ONEDNN_USE_SYSTEM_ALLOCATOR = 1

test: $(READY) ## run the tests
	$(BIN)/python -m pytest

lint: $(READY) ## formatter, linter, type checker and import contracts, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

soak: $(READY) ## run many random networks and real models, kills, a long stream and servers; not part of CI
	MPVN_EXAMPLES=300 MPVN_KILLS=20 MPVN_FRAMES=100000 $(BIN)/python -m pytest \
	  tests/executors/test_random_networks.py tests/report/test_architecture.py \
	  tests/training/test_resume.py tests/cli/test_stream_command.py \
	  tests/models/test_applications.py tests/models/test_keras_hub.py tests/test_documents.py \
	  tests/export/test_converters.py
	MPVN_FRAMES=100000 $(BIN)/python -m pytest -n 0 tests/streaming/test_long_run.py
	MPVN_MINUTES=10 $(BIN)/python -m pytest -n 0 -s tests/serving/test_soak.py
	MPVN_FAULTS=20 $(BIN)/python -m pytest -n 0 -s tests/cluster/test_faults.py
	MPVN_CLUSTER=1 $(BIN)/python -m pytest -n 0 tests/serving/test_ray_serve.py

bench: $(READY) ## run the benchmarks (long; leave the machine alone meanwhile)
	$(BIN)/python benchmarks/streaming/run.py
	$(BIN)/python benchmarks/inference/run.py
	$(BIN)/python benchmarks/serving/run.py

setup: $(READY) ## only create the virtual environment

# Keep a build of TensorFlow that the environment has already, for example one for a GPU. keras-hub
# and TensorFlow Serving's protocol come without their dependencies, which would install a second
# TensorFlow over it. For image models, keras-hub needs only two packages that no other one brings;
# the protocol needs one more.
$(READY): setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	extras=test,lint,tfds,jhmdb,flow,int8,onnx,serving,ray; $(BIN)/python -c "import importlib.util as u, sys; sys.exit(u.find_spec('tensorflow') is None)" \
	  || extras=$$extras,cpu; $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[$$extras]"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps -c constraints.txt \
	  keras-hub regex tokenizers tensorflow-serving-api grpcio
	touch $@

clean: ## remove the environment and the output of demo and tests
	rm -rf $(VENV) demo .pytest_cache .ruff_cache .mypy_cache .hypothesis
