# The front door. `make` lists the targets; CONTRIBUTING.md says when to use which.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Prerequisites run in the order written: what installs comes before what builds.
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory --no-builtin-rules

# Any target that Rust can link statically, such as x86_64-unknown-linux-musl.
TARGET ?= $(shell rustc -vV | sed -n 's/^host: //p')
PREFIX ?= /usr/local
CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.2

# How long, and how, `make fuzz` does what it does.
FUZZ_TARGETS := frame events spec report
SECONDS := 600
SANITIZER ?= none

export CARGO_TARGET_DIR := $(CURDIR)/target
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
RELEASE = target/$(TARGET)/release
ARCHIVE := target/image/landfall-agent.tar.gz
TEST_IMAGES := target/test-images

# The paths of this machine are no part of a program: the same commit is the same bytes wherever it is built.
STATIC_FLAGS = -C target-feature=+crt-static -C force-unwind-tables=no --remap-path-prefix=$(CURDIR)= \
	--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo
CARGO_STATIC = RUSTFLAGS='$(STATIC_FLAGS)' cargo build --quiet --locked --release --target $(TARGET)

# What the tiers that run real programs are told.
TEST_ENV = LANDFALL=$(CURDIR)/target/dist/landfall \
	LANDFALL_AGENT=$(CURDIR)/target/dist/landfall-agent \
	LANDFALL_IMAGES=$(CURDIR)/$(RELEASE)/landfall-images \
	LANDFALL_WEB=$(CURDIR)/$(RELEASE)/landfall-web \
	LANDFALL_MOZIM=$(CURDIR)/target/release/landfall-mozim \
	LANDFALL_TEST_IMAGES=$(CURDIR)/$(TEST_IMAGES)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: packages cargo-deny ## Install what is missing to build, check and test (needs root or sudo)

.PHONY: packages
packages:
	@.ci/deps

# The linter of licences and sources is not in Debian. Unoptimised it compiles in a minute and checks in a second.
.PHONY: cargo-deny
cargo-deny:
	@cargo deny --version >/dev/null 2>&1 || \
		env --unset CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 \
		cargo install --quiet --locked --debug cargo-deny@$(CARGO_DENY_VERSION)

.PHONY: build
build: archive ## Build target/dist/landfall, one static file that carries the agent image
	@LANDFALL_AGENT_IMAGE=$(CURDIR)/$(ARCHIVE) $(CARGO_STATIC) -p landfall
	@mkdir -p target/dist
	@install -C -m 755 $(RELEASE)/landfall $(RELEASE)/landfall-agent target/dist/
	@if readelf -lW target/dist/landfall | grep INTERP; then echo 'target/dist/landfall is not static' >&2; exit 1; fi
	@ls -l target/dist | awk 'NR > 1 { printf "built target/dist/%s, %d bytes\n", $$9, $$5 }'

.PHONY: archive
archive:
	@echo "building the agent and its image for $(TARGET)"
	@$(CARGO_STATIC) -p landfall-images
	@$(CARGO_STATIC) -p landfall-agent
	@$(RELEASE)/landfall-images agent --agent $(RELEASE)/landfall-agent --version $(VERSION) --out $(ARCHIVE)

.PHONY: image
image: archive ## Load the agent image into Docker as landfall-agent:VERSION
	@docker load --input $(ARCHIVE)

.PHONY: push
push: registry-named image ## Push the agent image: make push REGISTRY=host:port/name
	@docker tag landfall-agent:$(VERSION) $(REGISTRY):$(VERSION)
	@trap 'docker rmi $(REGISTRY):$(VERSION) >/dev/null' EXIT; docker push $(REGISTRY):$(VERSION)

.PHONY: registry-named
registry-named:
	@[[ -n '$(REGISTRY)' ]] || { echo 'push where? make push REGISTRY=host:port/name' >&2; exit 1; }

.PHONY: check
check: ## Check format, lints, documentation, licences and sources
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items
	cargo deny --locked check licenses bans sources
	@if timeout 60 cargo deny fetch db >/dev/null 2>&1; then cargo deny --locked check advisories; \
		else echo 'advisories: NOT CHECKED, the database could not be fetched'; fi

.PHONY: test
test: packages ## Run every tier: unit (no privilege), netns (root), docker (root and a Docker daemon)
	@echo '== tier 1 of 3: unit'
	@$(MAKE) test-unit
	@echo '== tier 1 of 3: unit passed; tier 2 of 3: netns'
	@$(MAKE) test-netns
	@echo '== tiers unit, netns passed; tier 3 of 3: docker'
	@$(MAKE) test-docker

.PHONY: test-unit
test-unit: ## Run the tier that needs no privilege: units and simulation
	@cargo test --locked -p landfall-api -p landfall-agent -p landfall -p landfall-images

# Its tests wait for servers and leases more than they compute.
.PHONY: test-netns
test-netns: root build test-images ## Run the tier that needs root: network namespaces
	@$(TEST_ENV) RUST_TEST_THREADS=8 cargo test --locked -p landfall-tests --test 'netns*'

.PHONY: test-docker
test-docker: root docker build test-images ## Run the tier that needs root and Docker
	@$(TEST_ENV) cargo test --locked -p landfall-tests --test 'docker*'

.PHONY: root
root:
	@[[ $$EUID == 0 ]] || { echo "this needs root: sudo -E env PATH=\"\$$PATH\" make $(MAKECMDGOALS)" >&2; exit 1; }
	@unshare --net true || { echo 'this needs network namespaces (CAP_SYS_ADMIN), which are denied here' >&2; exit 1; }

.PHONY: docker
docker:
	@docker version >/dev/null || { echo 'this needs a Docker daemon: make deps installs and starts one' >&2; exit 1; }

# Programs for containers to run in tests and in the demo; they never ship.
.PHONY: test-images
test-images:
	@$(CARGO_STATIC) -p landfall-images
	@$(RELEASE)/landfall-images test --program $(RELEASE)/landfall-web --tag landfall-test-web:latest \
		--expose 80/tcp --out $(TEST_IMAGES)/landfall-test-web.tar.gz -- --tcp 80 >/dev/null
	@$(RELEASE)/landfall-images test --program $(RELEASE)/landfall-web --tag landfall-test-idle:latest \
		--out $(TEST_IMAGES)/landfall-test-idle.tar.gz >/dev/null

.PHONY: demo
demo: packages root build test-images ## Give a container an address on a practice LAN, from nothing to a page
	@LANDFALL=target/dist/landfall WEB=$(TEST_IMAGES)/landfall-test-web.tar.gz images/demo

.PHONY: bench
bench: packages root docker build test-images ## Measure the figures of docs/benchmarks.md
	@$(TEST_ENV) cargo run --locked --release -p landfall-tests --bin bench

.PHONY: bench-dhcp
bench-dhcp: packages clients root build ## Measure the DHCP client beside others, and herds of it
	@$(TEST_ENV) cargo run --locked --release -p landfall-tests --bin bench_dhcp $(ONLY)

.PHONY: mutants
mutants: ## Put bugs of other clients into ours, see the tests find them, and write docs/mutants.md
	@mkdir -p target
	@tests/mutants/run > target/mutants.md
	@{ sed -n '/^|/q;p' docs/mutants.md; cat target/mutants.md; } > target/mutants-page.md
	@mv target/mutants-page.md docs/mutants.md

# libFuzzer needs unstable flags of the compiler, but not another compiler. Our decoders have no unsafe code: a sanitizer
# (SANITIZER=address) would look for what cannot be there, at a third of the speed.
.PHONY: fuzz
fuzz: cargo-fuzz ## Feed garbage to the decoders and to the client: make fuzz SECONDS=600 for each target
	@mkdir -p $(addprefix target/fuzz/corpus/,$(FUZZ_TARGETS))
	@for target in $(FUZZ_TARGETS); do \
		RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$(CURDIR)/target/fuzz nice -n 19 \
			cargo fuzz run --fuzz-dir agent/fuzz --sanitizer $(SANITIZER) $$target \
			target/fuzz/corpus/$$target agent/fuzz/corpus/$$target -- \
			-max_total_time=$(SECONDS) -max_len=1024 -timeout=5 -print_final_stats=1; \
	done

.PHONY: cargo-fuzz
cargo-fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || \
		env --unset CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 \
		cargo install --quiet --locked --debug cargo-fuzz@$(CARGO_FUZZ_VERSION)

.PHONY: scoreboard
scoreboard: packages clients root build ## Run six DHCP clients through the same cases: docs/scoreboard.md
	@$(TEST_ENV) cargo run --quiet --locked -p landfall-tests --bin scoreboard

.PHONY: clients
clients:
	@.ci/deps clients
	@cargo build --quiet --locked --release --manifest-path tests/fixtures/mozim/Cargo.toml

.PHONY: install
install: ## Install what `make build` built to PREFIX/bin (/usr/local/bin)
	@[[ -x target/dist/landfall ]] || { echo 'nothing is built yet: make build' >&2; exit 1; }
	@install -D -m 755 target/dist/landfall $(DESTDIR)$(PREFIX)/bin/landfall

.PHONY: clean
clean: ## Remove everything that was built
	@cargo clean
