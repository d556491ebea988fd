#!/bin/sh
# Runs the crate's tests under AddressSanitizer (nightly), valgrind and, where it is installed, Miri.
# Usage: executor/tests/memcheck.sh [asan|valgrind|miri]...
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
[ $# -gt 0 ] || set -- asan valgrind miri
for tool; do
    case $tool in
    asan)
        # The tests of abandoned polls leave futures that nobody drops, as a kernel would: leaks are looked for in tests/memory.rs.
        ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR="$target/asan" \
            cargo +nightly test --quiet -p executor --tests --target x86_64-unknown-linux-gnu
        ;;
    valgrind)
        # One thread runs at a time under valgrind: without --fair-sched spinning threads starve the others.
        CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind --quiet --fair-sched=yes --error-exitcode=9 --leak-check=no" \
            PROPTEST_CASES=4 cargo test --quiet -p executor --tests
        ;;
    miri)
        if ! cargo +nightly miri --version >/dev/null 2>&1; then
            echo "miri is not installed: rustup +nightly component add miri" >&2
            continue
        fi
        # The ids in wakers are numbers, never pointers: strict provenance holds.
        MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-disable-isolation" PROPTEST_CASES=2 \
            cargo +nightly miri test -p executor --test tasks --test sync
        ;;
    *)
        echo "unknown tool: $tool" >&2
        exit 2
        ;;
    esac
done
