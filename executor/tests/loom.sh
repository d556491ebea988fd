#!/bin/sh
# Runs the loom models of the shipped concurrent modules, then the negative controls: with one re-check deleted
# ("mutation") the named model must fail. Usage: executor/tests/loom.sh [TARGET_DIR]
set -eu
cd "$(dirname "$0")/../.."
target=${1:-${CARGO_TARGET_DIR:-target}/loom}

models() { # MUTATION TEST...
    mutation=$1
    shift
    flags="--cfg loom"
    [ -z "$mutation" ] || flags="$flags --cfg loom_mutation=\"$mutation\""
    for test in "$@"; do
        RUSTFLAGS="$flags" CARGO_TARGET_DIR="$target" cargo test --quiet --release -p executor --test "$test" || return 1
    done
}

models "" loom_wake loom_join loom_sync
for control in no_recheck:loom_wake release_is_store:loom_wake join_no_recheck:loom_join gate_no_recheck:loom_sync; do
    if models "${control%%:*}" "${control##*:}" >/dev/null 2>&1; then
        echo "loom: the model ${control##*:} did not notice the mutation ${control%%:*}" >&2
        exit 1
    fi
    echo "loom: ${control##*:} fails under ${control%%:*}, as it must"
done
