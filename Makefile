# Tessera's everyday commands. `make demo` makes a picture, `make test` proves the whole.

SWIFT ?= swift
PACKAGES := libzmq3-dev libopenblas-dev libprotobuf-c-dev protobuf-c-compiler libpng-dev
SOURCES := Package.swift Sources Tests

# A test build has no debugging information and indexes this package alone, which takes a third off it;
# `swift build --build-tests` without these has both.
TEST_BUILD := -debug-info-format none -Xswiftc -index-ignore-system-modules \
  -Xswiftc -index-ignore-clang-modules

# Swift's own crash handler waits for every thread, and libzmq's do not answer: a crash of a process
# with many would look like a hang of an hour. The reason is printed all the same.
export SWIFT_BACKTRACE ?= enable=no

# Swift Testing begins all tests at once. Hundreds of them would share the cores, and what waits for a
# heartbeat would wait for minutes of matrix products.
export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH ?= $(shell expr 2 '*' $$(nproc))

.PHONY: help deps build demo test soak fuzz fuzz-smoke sanitize chaos chaos-quick lint format proto \
  clean

help: ## Say what can be made.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

deps: ## Install the Debian packages that are missing.
	@missing=""; for package in $(PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' \
	    || missing="$$missing $$package"; \
	done; \
	[ -z "$$missing" ] && exit 0; \
	if ! command -v apt-get >/dev/null; then \
	  echo "make deps: these Debian packages are missing and there is no apt-get to install" \
	    "them:$$missing. Install their equivalents, then run make again." >&2; exit 69; fi; \
	if [ "$$(id -u)" = 0 ]; then run=""; \
	elif command -v sudo >/dev/null; then run="sudo"; \
	else echo "make deps: not root and no sudo; ask an administrator to run:" \
	    "apt-get install$$missing" >&2; exit 69; fi; \
	echo "installing$$missing"; \
	$$run apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive $$run apt-get install -y -qq $$missing >/dev/null

build: deps ## Build the product, optimised.
	$(SWIFT) build -c release --product tessera

demo: build ## Make demo.png with a coordinator and two worker processes.
	.build/release/tessera generate \
	  --prompt "a mountain range at sunset above a lake" \
	  --size 4x --seed 0 --workers 2 --output demo.png

# A run in which no test has ended for five minutes stands: Tests/watch says which and where.
test: deps ## Build and run every test.
	$(SWIFT) build --build-tests $(TEST_BUILD)
	Tests/watch 300 $(SWIFT) test --skip-build $(TEST_BUILD)

fuzz: deps ## Fuzz every target for FUZZ_SECONDS (600) each.
	Tests/Fuzzing/run long

fuzz-smoke: deps ## Replay the fuzz seeds, then fuzz for a minute in all.
	Tests/Fuzzing/run smoke

sanitize: deps ## Run tests under ThreadSanitizer and AddressSanitizer.
	Tests/Sanitizing/run

soak: build ## Run 5,000 simulated clusters, then 100 jobs in one coordinator life.
	.build/release/tessera simulate --count 5000
	.build/release/tessera bench jobs --jobs 100 --workers 2

lint: deps ## Check formatting and that generated code is fresh.
	$(SWIFT) format lint --strict --parallel --recursive $(SOURCES)
	proto/generate.sh --check

format: ## Format every Swift file in place.
	$(SWIFT) format --in-place --parallel --recursive $(SOURCES)

proto: deps ## Generate Sources/CWireMessages from proto/tessera.proto.
	proto/generate.sh

chaos: build ## Break a real cluster in every way of the matrix; half an hour.
	cluster/chaos/run.sh

chaos-quick: build ## The same, a short selection that needs no root.
	cluster/chaos/run.sh --quick

clean: ## Remove what was built.
	rm -rf .build .build-fuzz .build-thread .build-address demo.png
