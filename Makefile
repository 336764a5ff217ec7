# Everything a person or CI does here. `make help` lists it.

# Jars, the Python environment and built clients: outside the checkout, shared by all checkouts.
export WEIR_CACHE ?= $(HOME)/.cache/weir

CARGO ?= cargo
SETUP := ./loadtest/setup.sh

.DEFAULT_GOAL := help
.PHONY: help setup setup-test setup-bench setup-fuzz build demo test soak lint compatibility openapi bench fuzz clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what building and the demo need: libclang, a JDK, Maven, Kafka's jars
	@$(SETUP) demo

setup-test: ## ... and what the tests need: clients in Python, Go and Node.js, a browser, older Kafkas, Keycloak
	@$(SETUP) demo test

setup-bench: ## ... and what the benches compare with: HAProxy
	@$(SETUP) demo bench

setup-fuzz: ## ... and what fuzzing needs: cargo-fuzz, a nightly Rust
	@$(SETUP) demo fuzz

build: setup ## Build the gateway
	$(CARGO) build --release --locked

demo: setup ## A real Kafka, Weir in front, three identities at work; Ctrl-C ends it (ONCE=1: ends by itself)
	@$(CARGO) build --release --locked --package weir --package loadtest --bins
	@ONCE=$(ONCE) $(CARGO) run --release --locked --quiet --package loadtest --bin demo

lint: setup ## Formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTFLAGS="--cfg fuzzing" $(CARGO) check --locked --manifest-path fuzz/Cargo.toml

test: setup-test lint ## What CI runs: lints, then every test, real Kafka and clients included
	$(CARGO) test --release --locked --workspace --no-fail-fast

soak: setup-test ## Ten minutes of mixed clients and broker restarts on both runtimes, every record accounted for (SOAK_SECONDS=…)
	@$(CARGO) build --release --locked --package weir --package loadtest --bins
	@SOAK_SECONDS=$(SOAK_SECONDS) $(CARGO) run --release --locked --quiet --package loadtest --bin soak

compatibility: setup ## Write docs/compatibility.md anew from the tables; a test fails when it is stale
	$(CARGO) test --release --locked --test differential -- --ignored --exact write_the_compatibility_page

openapi: setup ## Write docs/openapi.json anew from the code; a test fails when it is stale
	$(CARGO) run --release --locked --quiet --package weir -- openapi >docs/openapi.json

bench: setup-bench ## CPU per byte and per request beside HAProxy and a bare relay; bytes of disk per exchange; full recording; questions; masking
	$(CARGO) bench --locked --package weir --bench data_plane --bench recording --bench queries --bench mask

# Seconds for each target, and which: `make fuzz SECONDS_EACH=3600 TARGETS="walks batches"`.
SECONDS_EACH ?= 60
TARGETS ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

fuzz: setup-fuzz ## Fuzz every target, a minute each (SECONDS_EACH, TARGETS): docs/fuzzing.md
	@set -e; cd fuzz; export PATH="$(WEIR_CACHE)/bin:$$PATH"; for target in $(TARGETS); do \
		cargo +nightly fuzz run --sanitizer none $$target -- \
			-max_total_time=$(SECONDS_EACH) -max_len=16384 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1; \
	done

clean: ## Remove what was built; the cache stays
	$(CARGO) clean
