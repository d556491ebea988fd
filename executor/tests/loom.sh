#!/bin/sh
# Runs the loom models of the shipped concurrent modules, then the negative controls: with one step left out
# ("mutation") the named model must fail. Usage: executor/tests/loom.sh [TARGET_DIR]
set -eu
cd "$(dirname "$0")/../.."
target=${1:-${CARGO_TARGET_DIR:-target}/loom}

model() { # TEST [FILTER]
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="$target" cargo test --quiet --release -p executor --test "$1" -- ${2:-}
}

for test in loom_wake loom_join loom_sync loom_core; do
    model "$test"
done

must_fail() { # MUTATION TEST FILTER
    if RUST_BACKTRACE=0 LOOM_MUTATION="$1" model "$2" "$3" >/dev/null 2>&1; then
        echo "loom: $2 ($3) did not notice the mutation $1" >&2
        exit 1
    fi
    echo "loom: $2 ($3) fails under $1, as it must"
}
must_fail no_recheck loom_wake no_wake_is_lost_before_the_halt
must_fail release_is_store loom_wake a_coalesced_wake
must_fail join_no_recheck loom_join join_is_woken
must_fail gate_no_recheck loom_sync permits_are_not_lost
must_fail close_no_recheck loom_sync a_channel_closes_behind
must_fail timer_no_generation loom_core a_timer_fires_while_it_is_cancelled
must_fail loan_after_wake loom_core a_loan_from_elsewhere
must_fail loan_not_returned loom_core a_loan_ends
