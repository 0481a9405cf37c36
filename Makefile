# make demo    install edgecsp alone, then find the codes in a video: demo/ holds the mp4 and the boxes (SOURCE=... for one of yours)
# make test    set up, then run every test (also under Python 3.8 where there is one, and those of training with PyTorch)
#              and print what share of the lines they run
# make check   set up, then lint, types and the import rules
# make bench   set up, then time the ten detectors of the paper's Table 5 on every engine that is here
# make bench-peers   other people's programs beside it, each in an environment of its own and at its own defaults
#                    (EQUAL=1: the same precision and threads for all; MODEL_ONLY=1: the network alone)
# make bench-train   edgecsp train beside ultralytics' YOLO11n, MINUTES=30 of training each on DATA=bccd
# make docs    build the documentation into site/, strictly (docs-serve: show it at http://127.0.0.1:8000 and rebuild what changes)
# make check-image   build docker/cpu.Dockerfile for this machine and run it (root, buildah, debootstrap; some minutes);
#                    check-arm64: for arm64, under qemu (slow); check-tx2: the TX2's, without NVIDIA's packages;
#                    test-tx2: the tests with exactly its versions

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
export EDGECSP_TEST_DATA ?= ../shared

# A file of tests stays with one process: what its tests share is made once.
SPREAD = -n 2 --dist loadfile

# The Jetson TX2's Python. A pyenv shim may answer to the name without having the version, so it is run.
PYTHON38 ?= $(shell for p in python3.8 $$HOME/.pyenv/versions/3.8.*/bin/python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 8))' 2>/dev/null && echo "$$p" && break; done)

.PHONY: docs docs-serve coverage check-image check-arm64 check-tx2 test-tx2 demo check test test-main test-38 test-exporters test-train bench bench-peers bench-train clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/ready: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

SOURCE ?= benchmarks/codes.mp4
demo: $(VENV)/installed
	mkdir -p demo
	$(BIN)/edgecsp run '$(SOURCE)' --out demo/out.mp4 --json demo/out.jsonl

bench: $(VENV)/ready
	$(BIN)/edgecsp bench

# The same versions as edgecsp's own, so that ways are compared and not releases. ultralytics is AGPL-3.0: a peer in this
# environment and nothing of ours. torch and torchvision are a pair whose CPU build serves.
version = $$($(BIN)/python -c 'import importlib.metadata as m; print("$(1)==" + m.version("$(1)"))')
.venv-peers-openvino/ready: $(VENV)/ready
	$(PYTHON) -m venv .venv-peers-openvino
	.venv-peers-openvino/bin/python -m pip install --quiet --disable-pip-version-check \
		$(call version,openvino) 'openvino-model-api[onnx]>=0.4,<0.5'
	touch $@

.venv-peers-onnxruntime/ready: $(VENV)/ready
	$(PYTHON) -m venv .venv-peers-onnxruntime
	.venv-peers-onnxruntime/bin/python -m pip install --quiet --disable-pip-version-check \
		$(call version,onnxruntime) opencv-python-headless
	touch $@

.venv-peers-ultralytics/ready: $(VENV)/ready
	$(PYTHON) -m venv .venv-peers-ultralytics
	.venv-peers-ultralytics/bin/python -m pip install --quiet --disable-pip-version-check \
		torch==2.13.0 torchvision==0.28.0 'ultralytics>=8.4,<9' onnx $(call version,onnxruntime) \
		$(call version,openvino)
	touch $@

.venv-peers-opencv5/ready: $(VENV)/ready
	$(PYTHON) -m venv .venv-peers-opencv5
	.venv-peers-opencv5/bin/python -m pip install --quiet --disable-pip-version-check 'opencv-python-headless>=5,<6'
	touch $@

.venv-peers-ncnn/ready: $(VENV)/ready
	$(PYTHON) -m venv .venv-peers-ncnn
	.venv-peers-ncnn/bin/python -m pip install --quiet --disable-pip-version-check numpy $(call version,ncnn)
	touch $@

bench-peers: $(VENV)/ready .venv-opencv4/ready .venv-peers-openvino/ready .venv-peers-onnxruntime/ready \
		.venv-peers-ultralytics/ready .venv-peers-opencv5/ready .venv-peers-ncnn/ready
	$(BIN)/python -m benchmarks.peers $(if $(EQUAL),--equal) $(if $(MODEL_ONLY),--model-only)

MINUTES ?= 30
DATA ?= bccd
bench-train: $(VENV)/ready .venv-peers-ultralytics/ready
	$(BIN)/python -m benchmarks.peers.train --data '$(DATA)' --minutes $(MINUTES)

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# What share of edgecsp's lines the tests run in their own processes, training's among them; what child processes alone
# run does not count. Less than the floor fails. Raise it to what is printed, rounded down, when that has grown.
# Counting takes a quarter more time, so that `make test` goes without.
COVERAGE_FLOOR ?= 90
COVER ?=

coverage:
	$(MAKE) test COVER='--cov=edgecsp --cov-report='

test: test-main test-38 test-train
ifneq ($(COVER),)
	$(BIN)/coverage combine --quiet --keep --data-file=.coverage .coverage.main .coverage.train
	$(BIN)/coverage report --data-file=.coverage --skip-covered --sort=-cover --fail-under=$(COVERAGE_FLOOR)
endif

# OpenCV 5 has dropped darknet's formats; version 4, in an environment of its own, is what the importer and the
# zoo are held against.
.venv-opencv4/ready: Makefile
	$(PYTHON) -m venv .venv-opencv4
	.venv-opencv4/bin/python -m pip install --quiet --disable-pip-version-check 'opencv-python-headless>=4.10,<5'
	touch $@

# NVIDIA's own ONNX parser and builder, as far as they go without a GPU. The bindings and their libraries are in two
# wheels, of which each would want more; there are none for Arm, and there the tests say so.
.venv-trtrtx/ready: Makefile
	$(PYTHON) -m venv .venv-trtrtx
	.venv-trtrtx/bin/python -m pip install --quiet --disable-pip-version-check 'numpy>=1.24'
	.venv-trtrtx/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		tensorrt-rtx-cu12-bindings==1.7.1.116 onnxruntime-ep-nv-tensorrt-rtx-cu12==0.5.0 || \
		rm .venv-trtrtx/bin/python
	touch $@

# What makes requests of our OpenAPI document: a program with thirty packages of its own.
.venv-schemathesis/ready: Makefile
	$(PYTHON) -m venv .venv-schemathesis
	.venv-schemathesis/bin/python -m pip install --quiet --disable-pip-version-check 'schemathesis>=4.32,<5'
	touch $@

# Exporters whose own boxes ours are compared with: some gigabytes, so only when asked for.
.venv-exporters/ready: Makefile
	$(PYTHON) -m venv .venv-exporters
	.venv-exporters/bin/python -m pip install --quiet --disable-pip-version-check torch torchvision transformers \
		onnx onnxscript onnxruntime opencv-python-headless pillow pyyaml requests tqdm
	.venv-exporters/bin/python -m pip install --quiet --disable-pip-version-check --no-deps rapid-layout==0.3.0
	touch $@

test-exporters: $(VENV)/ready .venv-exporters/ready
	EDGECSP_EXPORTERS_PYTHON=$${EDGECSP_EXPORTERS_PYTHON:-$(CURDIR)/.venv-exporters/bin/python} \
	$(BIN)/python -m pytest -m exporters tests/exporters

test-main: $(VENV)/ready .venv-opencv4/ready .venv-trtrtx/ready .venv-schemathesis/ready .venv-docs/ready
	EDGECSP_MKDOCS=$${EDGECSP_MKDOCS:-$(CURDIR)/.venv-docs/bin/mkdocs} \
	EDGECSP_SCHEMATHESIS=$${EDGECSP_SCHEMATHESIS:-$(CURDIR)/.venv-schemathesis/bin/schemathesis} \
	EDGECSP_OPENCV4_PYTHON=$${EDGECSP_OPENCV4_PYTHON:-$(CURDIR)/.venv-opencv4/bin/python} \
	EDGECSP_TRTRTX_PYTHON=$${EDGECSP_TRTRTX_PYTHON:-$(CURDIR)/.venv-trtrtx/bin/python} \
	COVERAGE_FILE=.coverage.main $(BIN)/python -m pytest $(SPREAD) $(COVER)

.venv38/ready: pyproject.toml
	$(PYTHON38) -m venv .venv38
	.venv38/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	.venv38/bin/python -m pip install --quiet --disable-pip-version-check -e '.[heic,openvino,ncnn,val,serve,ray]' 'pytest>=8.3' 'pytest-xdist>=3.6' 'hypothesis>=6.100'
	touch $@

ifeq ($(PYTHON38),)
test-38:
	@echo "Python 3.8: none found here, its tests did not run"
else
test-38: .venv38/ready
	@echo "Python 3.8: running the tests that are not marked slow"
	.venv38/bin/python -m pytest -q $(SPREAD) -m "not slow"
endif

# Training needs PyTorch, which nothing else does: an environment of its own keeps it out of the other tests.
.venv-train/ready: pyproject.toml
	$(PYTHON) -m venv .venv-train
	.venv-train/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	.venv-train/bin/python -m pip install --quiet --disable-pip-version-check \
		-e '.[calib,val,openvino,serve]' torch==2.13.0 'pytest>=8.3' 'pytest-xdist>=3.6' 'pytest-cov>=7' 'hypothesis>=6.100' 'nbclient>=0.10' 'ipykernel>=6.29' build
	touch $@

test-train: .venv-train/ready
	@echo "Training: running the tests that need PyTorch"
	COVERAGE_FILE=.coverage.train .venv-train/bin/python -m pytest -q $(SPREAD) $(COVER) tests/train tests/calib \
		tests/bench/test_table5_accuracy.py tests/bench/test_peers_train.py

# The site's generator and its packages, which nothing else needs; `strict` in mkdocs.yml makes its warnings errors.
.venv-docs/ready: pyproject.toml
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $@

docs: .venv-docs/ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build

docs-serve: .venv-docs/ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs serve

check-image:
	docker/check-build cpu

check-arm64:
	docker/check-build cpu arm64

check-tx2:
	docker/check-build tx2

# The tests of the package itself on the TX2's Python, with exactly the versions of its image.
.venv-tx2/ready: docker/requirements-tools.txt docker/requirements-tx2.txt
	$(PYTHON38) -m venv .venv-tx2
	.venv-tx2/bin/python -m pip install --quiet --require-hashes -r docker/requirements-tools.txt
	.venv-tx2/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r docker/requirements-tx2.txt
	.venv-tx2/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	.venv-tx2/bin/python -m pip install --quiet 'pytest>=8.3' 'pytest-xdist>=3.6' 'hypothesis>=6.100'
	touch $@

test-tx2: .venv-tx2/ready
	.venv-tx2/bin/python -m pytest -q $(SPREAD) -m "not slow" tests/unit tests/contract tests/properties tests/golden tests/test_run.py tests/test_readme.py

clean:
	rm -rf .venv .venv-docs site .venv38 .venv-tx2 .venv-opencv4 .venv-trtrtx .venv-schemathesis .venv-exporters .venv-peers-* .coverage* build dist demo runs
