# `make` alone lists the targets. CI runs `make test` and nothing else, so what is green here is green there.

# Tools are pinned here and nowhere else; those of tests/peers by their own lock files, wasm-bindgen by Cargo.lock.
export ENVOY_VERSION := 1.40.0
export FUNC_E_VERSION := v1.6.0
export RATELIMIT_VERSION := v1.4.1-0.20260122083618-3fb702589d36
export CRANE_VERSION := v0.22.1
export ACTIONLINT_VERSION := v1.7.12

export CARGO_TARGET_DIR := $(CURDIR)/target
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help wasm build run check test lint doc unit wasm-test browser-test e2e screenshots differential conformance model reload soak limits-soak bench bench-decide fuel run-check getting-started fuzz dist dist-check pack-check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

wasm: ## Build the plugin, target/wasm32-wasip1/release/mcp_policy.wasm
	scripts/wasm.sh

build: wasm ## Build the plugin and the command line, target/cli/mcp-policy
	cargo build --profile cli --locked --bin mcp-policy

run: ## Serve a policy: [UPSTREAM=http://host:port/mcp] [POLICY=policies/x.json] [PORT=10000]
	@scripts/run.sh

check: ## The fast checks: format, lint, unit tests
	scripts/need.sh rustfmt clippy
	cargo fmt --check && cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked --lib --bins

test: lint doc unit wasm-test browser-test fuzz e2e conformance fuel run-check getting-started pack-check ## Everything that CI runs

lint: ## Format and lint, for this machine, for Envoy and for browsers
	scripts/need.sh rustfmt clippy
	cargo fmt --check && cargo clippy --locked --all-targets -- -D warnings
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	scripts/cargo-wasm.sh wasm32-wasip1 clippy --locked --lib -- -D warnings
	scripts/cargo-wasm.sh wasm32-unknown-unknown clippy --locked --lib -- -D warnings
	actionlint=$$(scripts/go-tool.sh github.com/rhysd/actionlint/cmd/actionlint $(ACTIONLINT_VERSION)) && \
	  $$actionlint -shellcheck= -pyflakes= .github/workflows/*.yml

doc: ## Build the library's documentation
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

unit: ## All tests but those that need Envoy
	cargo test --locked

# Those that need no files, processes or clock.
WASM_TESTS := $(addprefix --test ,approvals cases exchanges grants holds legacy playground streams)

wasm-test: ## The policy cases and streams, run as wasm under node
	runner=$$(scripts/wasm-bindgen.sh) && CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$$runner \
	  scripts/cargo-wasm.sh wasm32-unknown-unknown test --locked $(WASM_TESTS)

browser-test: ## The policy cases in headless Chromium, where the playground runs
	runner=$$(scripts/wasm-bindgen.sh) && driver=$$(scripts/chromedriver.sh) && \
	  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$$runner WASM_BINDGEN_USE_BROWSER=1 WASM_BINDGEN_TEST_TIMEOUT=300 \
	  CHROMEDRIVER=$$driver WASM_BINDGEN_TEST_WEBDRIVER_JSON=$(CURDIR)/target/chromium/webdriver.json \
	  scripts/cargo-wasm.sh wasm32-unknown-unknown test --locked --test cases --test playground

e2e: wasm ## Real clients, a real Envoy and real servers
	scripts/need.sh curl openssl
	scripts/peers.sh
	scripts/ratelimit.sh
	scripts/func-e.sh
	scripts/differential.sh
	envoy=$$(scripts/envoy.sh) && chromium=$$(scripts/chromium.sh) && MCP_POLICY_E2E=required MCP_POLICY_ENVOY=$$envoy \
	  MCP_POLICY_CHROMIUM=$$chromium cargo test --locked --test envoy -- --skip conformance::

screenshots: wasm ## The pictures of the console and the playground in docs/images, taken anew
	scripts/peers.sh npm
	envoy=$$(scripts/envoy.sh) && chromium=$$(scripts/chromium.sh) && MCP_POLICY_E2E=required MCP_POLICY_ENVOY=$$envoy \
	  MCP_POLICY_CHROMIUM=$$chromium MCP_POLICY_SCREENSHOTS=docs/images \
	  cargo test --locked --test envoy has_its_picture_taken

conformance: wasm ## The official MCP suites, directly and through the gateway
	scripts/peers.sh conformance
	envoy=$$(scripts/envoy.sh) && MCP_POLICY_E2E=required MCP_POLICY_ENVOY=$$envoy \
	  cargo test --locked --test envoy conformance:: -- --nocapture

differential: wasm ## Every disguise of tests/differential, through Envoy to servers on five SDKs
	scripts/differential.sh
	envoy=$$(scripts/envoy.sh) && MCP_POLICY_E2E=required MCP_POLICY_ENVOY=$$envoy \
	  cargo test --locked --test envoy differential::

model: ## Limits beside a simple reference, operation by operation: [OPERATIONS=1000000]
	MCP_POLICY_MODEL_OPERATIONS=$(or $(OPERATIONS),1000000) cargo test --locked --test model -- --nocapture

reload: wasm ## Exchange a policy under load, and print how long that takes
	envoy=$$(scripts/envoy.sh) && MCP_POLICY_E2E=required MCP_POLICY_ENVOY=$$envoy \
	  cargo test --locked --test envoy reload_load:: -- --nocapture

soak: wasm ## 1,000 event streams under load, restarts and reloads: [SECONDS=300]
	envoy=$$(scripts/envoy.sh) && ulimit -S -n 8192 && MCP_POLICY_E2E=required MCP_POLICY_ENVOY=$$envoy \
	  MCP_POLICY_SOAK_SECONDS=$(or $(SECONDS),300) \
	  cargo test --locked --test envoy soak:: -- --nocapture --test-threads 1

limits-soak: wasm ## What limits promise, to the full: millions of calls and sessions, outages, 10,000 reloads
	scripts/wasm.sh --example do_nothing
	scripts/ratelimit.sh
	envoy=$$(scripts/envoy.sh) && MCP_POLICY_E2E=required MCP_POLICY_ENVOY=$$envoy MCP_POLICY_LIMITS=full \
	  cargo test --locked --test envoy limits:: -- --nocapture --test-threads 1

bench: wasm ## What the plugin costs, beside a filter that does nothing
	scripts/wasm.sh --example do_nothing
	envoy=$$(scripts/envoy.sh) && MCP_POLICY_E2E=required MCP_POLICY_ENVOY=$$envoy cargo bench --locked --bench gate

bench-decide: ## What a decision costs by the size of the policy; fails when it grows with it
	cargo run --release --locked --example decide

fuel: wasm ## What requests cost, counted; fails where one has grown by 5 %: [BASELINE=new]
	cargo run --locked --quiet --example fuel -- $(if $(filter new,$(BASELINE)),--new)

# Of each target; for a longer look, give more.
SECONDS ?= 30
fuzz: ## Try the readers on input nobody thought of: [SECONDS=30]
	scripts/fuzz.sh $(SECONDS)

dist: ## All that a release has, into target/dist
	scripts/dist.sh

dist-check: ## Whether two builds of that are equal, and a registry and Envoy take the image
	scripts/dist-check.sh

pack-check: wasm ## The same but for the second build, with the command line of the tests
	scripts/dist-check.sh packing

run-check: ## Whether `make run` shows what it promises, and ends cleanly
	scripts/run-check.sh

getting-started: wasm ## Do what docs/getting-started.md says, and compare with what is recorded
	scripts/getting-started.sh

clean: ## Remove all that was built or installed here
	rm -rf target
