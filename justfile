# The verbs of this repository. Each calls a script or cargo, so `just` itself is a convenience.

# Say what there is
default:
    @just --list

# A first pipeline, from nothing to results on the screen
demo *ARGS:
    scripts/demo {{ARGS}}

# Format, lints and all tests, with a real Kafka
test *ARGS:
    scripts/test {{ARGS}}

# One of the example systems on files, or with `kafka` on a real broker; `follow` has it go on, `check` compares it with what is expected
example *ARGS:
    scripts/example {{ARGS}}

# What continuous integration runs
verify:
    .ci/run

# Compile guests to wasm, into target/guests
guests *NAMES:
    scripts/guests {{NAMES}}

# Run so many seeds of the simulation, from the first one on (docs/simulation.md)
simulate SEEDS="10000" FIRST="0":
    SANGAM_SEEDS={{SEEDS}} SANGAM_FIRST_SEED={{FIRST}} cargo test -p sangam-tests --test scenarios simulation -- --nocapture

# What an event costs, against the same code linked natively
bench *ARGS:
    scripts/bench {{ARGS}}

# What an event of the example systems costs, how long it is on its way, and what a user weighs
bench-systems *ARGS:
    scripts/bench systems {{ARGS}}

# Go through docs/tour.md, and hold what its commands print against the page
tour:
    scripts/tour

# Format all code
fmt:
    cargo fmt --all

# Hold examples/deploy against the schemas of Compose and Kubernetes
check-deploy:
    scripts/check-deploy

# Start a Kafka of one node for tests
kafka-start *PORT:
    scripts/kafka start {{PORT}}

# Stop it and remove its data
kafka-stop:
    scripts/kafka stop

# Two processes over a real Kafka, killed, frozen and cut off at random: kill -9 of a process, SIGSTOP, kill -9 of the broker
torture TIMES="500,50,20":
    scripts/torture {{TIMES}}
