# Everything a person or CI does here. `make help` lists it.

# Jars, the Python environment and built clients: outside the checkout, shared by all checkouts.
export WEIR_CACHE ?= $(HOME)/.cache/weir

CARGO ?= cargo
SETUP := ./loadtest/setup.sh

.DEFAULT_GOAL := help
.PHONY: help setup setup-test setup-bench build demo test soak lint bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what building and the demo need: libclang, a JDK, Maven, Kafka's jars
	@$(SETUP) demo

setup-test: ## ... and what the tests need: clients in Python, Go and Node.js, Keycloak
	@$(SETUP) demo test

setup-bench: ## ... and what the benches compare with: HAProxy
	@$(SETUP) demo bench

build: setup ## Build the gateway
	$(CARGO) build --release --locked

demo: setup ## A real Kafka, Weir in front, two identities at work; Ctrl-C ends it (ONCE=1: ends by itself)
	@$(CARGO) build --release --locked --package weir --package loadtest --bins
	@ONCE=$(ONCE) $(CARGO) run --release --locked --quiet --package loadtest --bin demo

lint: setup ## Formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

test: setup-test lint ## What CI runs: lints, then every test, real Kafka and clients included
	$(CARGO) test --release --locked --workspace --no-fail-fast

soak: setup-test ## Ten minutes of mixed clients and broker restarts on both runtimes, every record accounted for (SOAK_SECONDS=…)
	@$(CARGO) build --release --locked --package weir --package loadtest --bins
	@SOAK_SECONDS=$(SOAK_SECONDS) $(CARGO) run --release --locked --quiet --package loadtest --bin soak

bench: setup-bench ## CPU per byte and per request beside HAProxy and a bare relay; bytes of disk per exchange; full recording; questions
	$(CARGO) bench --locked --package weir --bench data_plane --bench recording --bench queries

clean: ## Remove what was built; the cache stays
	$(CARGO) clean
