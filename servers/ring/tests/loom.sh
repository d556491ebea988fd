#!/bin/sh
# Runs the loom models of both ends of a ring, then the negative controls: with one step left out ("mutation") the named model must
# fail. Usage: servers/ring/tests/loom.sh [TARGET_DIR]
set -eu
cd "$(dirname "$0")/../../.."
target=${1:-${CARGO_TARGET_DIR:-target}/loom}

model() { # [FILTER]
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="$target" cargo test --quiet --release -p ring --test loom -- ${1:-}
}

must_fail() { # MUTATION FILTER
    if RUST_BACKTRACE=0 LOOM_MUTATION="$1" model "$2" >/dev/null 2>&1; then
        echo "loom: $2 did not notice the mutation $1" >&2
        exit 1
    fi
    echo "loom: $2 fails under $1, as it must"
}

model
must_fail sender_no_recheck a_sleeping_sender_is_woken
must_fail receiver_no_recheck a_sleeping_receiver_is_woken
