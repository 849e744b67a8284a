# Two commands matter: `make run` and `make test`. Both work on a fresh Debian 12 with Rust.

# A warning about a dependency's future, which nobody who reads it here can do anything about.
export CARGO_FUTURE_INCOMPAT_REPORT_FREQUENCY := never

.PHONY: help run test conformance bench faults fuzz lint deny openapi docs clean chroot-check upgrade-check

help:
	@echo 'make run           build and start the service; CONFIG=file names a configuration'
	@echo 'make test          format, lints and all tests, beside a real Ceph and PostgreSQL'
	@echo 'make faults        clients, replicas, and everything that breaks; FOR=600 (seconds), SEED=1, GENTLE=1'
	@echo 'make bench         the figures, beside their limits; WRITE=1 puts them into docs/benchmarks.md'
	@echo 'make fuzz          the parsers of strangers'"'"' bytes, fuzzed; FOR=60 says how many seconds each'
	@echo 'make conformance  Tempest, with a real Keystone and a real Ceph'
	@echo 'make lint          format and lints only'
	@echo 'make deny          licences, sources and known vulnerabilities of what we build from'
	@echo 'make openapi docs  make the generated files in openapi/ and docs/ anew'
	@echo 'make chroot-check  the steps of the Dockerfile, without a container engine'
	@echo 'make upgrade-check  an older version (OLD=revision) and this one, side by side on one database'
	@echo 'make clean         stop what scripts started here, and remove what was built; pumice-data stays'

run:
	@scripts/need build
	@mkdir -p pumice-data
	cargo build --release
	@exec cargo run --release --quiet -- $(if $(CONFIG),--config '$(CONFIG)') serve

test:
	@scripts/test

faults:
	@scripts/need test
	cargo test --test suite --no-run
	@PUMICE_FAULTS_FOR=$(or $(FOR),600) PUMICE_FAULTS_SEED=$(or $(SEED),1) PUMICE_FAULTS_GENTLE=$(or $(GENTLE),0) \
		PUMICE_FAULTS_CLUSTER='$(CURDIR)/target/services/ceph' \
		scripts/with-services cargo test --test suite faults::a_long_round -- --ignored --nocapture

bench:
	@scripts/need test
	cargo bench --bench figures --no-run
	@scripts/with-services cargo bench --quiet --bench figures -- $(if $(WRITE),--write) $(FIGURES)

fuzz:
	@scripts/need fuzz
	@scripts/fuzz $(or $(FOR),60) $(TARGETS)

conformance:
	@scripts/need test
	cargo build
	@scripts/keystone-dev install
	@scripts/with-services --keystone scripts/conformance $(TEMPEST)

lint:
	@scripts/need lint
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

deny:
	@scripts/deny

openapi:
	cargo run --quiet -- openapi openapi

# By way of another file, so that a failed build leaves the old one whole.
docs:
	@mkdir -p target
	cargo run --quiet -- config --reference >target/configuration.md
	mv target/configuration.md docs/configuration.md
	cargo run --quiet -- config --policies >target/policies.yaml
	mv target/policies.yaml docs/policies.yaml

chroot-check:
	@scripts/need chroot
	cargo build --release
	@scripts/chroot-check

upgrade-check:
	@scripts/need test
	cargo build
	cargo build --example read_image
	@READ_IMAGE='$(CURDIR)/target/debug/examples/read_image' scripts/with-services scripts/upgrade-check '$(OLD)'

clean:
	@scripts/ceph-dev down; scripts/postgres-dev down; scripts/keystone-dev down
	@scripts/ceph-dev down target/services/ceph; scripts/postgres-dev down target/services/postgres; \
		scripts/keystone-dev down target/services/keystone
	cargo clean
