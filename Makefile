# make demo     see it work, on a throwaway server
# make test     every test, on throwaway servers
# make install  into the server of PG_CONFIG
PG_CONFIG ?= pg_config
MAJOR ?= 15
embedded = target/postgres/$(1)/bin/pg_config
# What is read, captured and synced: these modules of the tests also run where freed memory is overwritten.
ASSERTS_TIER = capture_ sync_ memory:: foreign_tables:: list:: list_json:: listing_shapes:: page:: history:: bi:: people:: context:: import::

.NOTPARALLEL:
.PHONY: help demo test lint install test-model test-pg15 test-pg16 test-pg17 test-pg18 test-specs test-specs-pg15 test-specs-pg16 test-specs-pg17 test-specs-pg18 test-asserts test-asserts-tier test-postgres test-clients fuzz bench-capture bench-instructions bench-list bench-sync bench-purge bench-catch bench-ddl prerequisites clean

help:
	@sed -n '1,3s/^# //p' Makefile

prerequisites:
	@scripts/prerequisites.sh

demo: prerequisites
	@scripts/postgres.sh $(MAJOR)
	@scripts/install.sh $(call embedded,$(MAJOR)) dev
	@scripts/demo.sh target/postgres/$(MAJOR)/bin

test: prerequisites lint test-model test-pg15 test-specs-pg15 test-pg18 test-specs-pg18 test-asserts-tier
	@printf '\n== Everything passed that was tested\n'
	@scripts/skipped.sh 15 18

lint: prerequisites
	@scripts/lint.sh

test-model: prerequisites
	@printf '\n== Tests that need no server\n'
	@cargo test --quiet --locked --package audit_log_model

test-pg15 test-pg16 test-pg17 test-pg18: test-pg%: prerequisites
	@scripts/postgres.sh $*
	@scripts/install.sh $(call embedded,$*) dev
	@[ $* != 15 ] || scripts/pg_cron.sh
	@scripts/test.sh $*

# Sessions that take turns, step by step: specs/README.md. SPECS="redact unwatch" for some of them.
test-specs: test-specs-pg$(MAJOR)

test-specs-pg15 test-specs-pg16 test-specs-pg17 test-specs-pg18: test-specs-pg%: prerequisites
	@scripts/postgres.sh $*
	@scripts/install.sh $(call embedded,$*) dev
	@scripts/specs.sh $* $(SPECS)

# Against a server whose own assertions are on, built from source.
test-asserts: prerequisites
	@scripts/postgres-asserts.sh $(MAJOR)
	@scripts/install.sh $(call embedded,$(MAJOR)-asserts) dev
	@scripts/test.sh $(MAJOR)-asserts

# The part of it that `make test` has.
test-asserts-tier: prerequisites
	@scripts/postgres-asserts.sh 15
	@scripts/install.sh $(call embedded,15-asserts) dev
	@scripts/test.sh 15-asserts $(ASSERTS_TIER)

# PostgreSQL's own regression and isolation suites, with every table watched; ARGS="watch", see suites/README.md.
test-postgres: prerequisites
	@scripts/postgres-asserts.sh $(MAJOR)
	@scripts/install.sh $(call embedded,$(MAJOR)-asserts) dev
	@suites/run.sh $(MAJOR)-asserts $(ARGS)

# Programs that users read the log with, from PyPI and npm: psycopg, node-postgres, dlt, dbt, a Singer tap, SQLAlchemy.
test-clients: prerequisites
	@scripts/postgres.sh $(MAJOR)
	@scripts/install.sh $(call embedded,$(MAJOR)) dev
	@clients/run.sh target/postgres/$(MAJOR)/bin

# Coverage-guided, each target for SECONDS; needs cargo-fuzz.
SECONDS ?= 60
fuzz:
	@for target in cursor request documents; do \
		printf '\n== Fuzzing %s for $(SECONDS) seconds\n' $$target; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$target -- -max_total_time=$(SECONDS) -max_len=4096 || exit 1; \
	done

# What capturing costs beside other solutions; ARGS="--rounds 5 …", see bench/README.md.
bench-capture: prerequisites
	@bench/run.sh capture $(ARGS)

# The same for one build against the last, in instructions: noise does not disturb it.
bench-instructions: prerequisites
	@bench/run.sh instructions $(ARGS)

# What listing costs at ten million entries; ARGS="--only single,pairs …".
bench-list: prerequisites
	@bench/run.sh list $(ARGS)

# What reading by sync, feed and export costs, on the same log; ARGS="--only read,poll …".
bench-sync: prerequisites
	@bench/run.sh sync $(ARGS)

# What dropping an expired partition takes, and who waits for it.
bench-purge: prerequisites
	@bench/run.sh purge $(ARGS)

# What EXCEPTION blocks in loops cost where their table is watched.
bench-catch: prerequisites
	@bench/run.sh catch $(ARGS)

# What DDL costs that is about no watched table, beside a database without the extension.
bench-ddl: prerequisites
	@bench/run.sh ddl $(ARGS)

install:
	@scripts/install.sh '$(PG_CONFIG)' release

clean:
	@cargo clean
