# Sourced by run, test, bench and image: builds scripts/xtask and starts it.
# shellcheck shell=sh
set -eu

tools() {
    root=$(cd "$(dirname "$0")/.." && pwd)
    # A shell that has not read rustup's settings yet still finds it.
    if ! command -v cargo >/dev/null 2>&1 && [ -x "${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-${HOME:-}/.cargo}/bin:$PATH"
        export PATH
    fi
    if ! command -v cargo >/dev/null 2>&1; then
        echo "cargo is missing: install Rust 1.95 or newer from https://rustup.rs" >&2
        exit 1
    fi
    # These would replace the flags in .cargo/config.toml, without which the kernel is unsound.
    for name in RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS; do
        if eval "[ -n \"\${$name+set}\" ]"; then
            echo "Ignoring $name: Raede's own flags are needed." >&2
            unset "$name"
        fi
    done
    case ${CARGO_TARGET_DIR:-} in
        '') target=$root/target ;;
        /*) target=$CARGO_TARGET_DIR ;;
        *) target=$root/$CARGO_TARGET_DIR ;;
    esac
    if [ -x "$target/release/xtask" ]; then
        quiet=--quiet
    else
        quiet=
        echo "Building the tools (the first time only)..." >&2
    fi
    # Cargo finds its settings from the current folder upwards; the tools keep the caller's.
    (cd "$root" && CARGO_TARGET_DIR=$target cargo build $quiet --release --package xtask) >&2
    exec "$target/release/xtask" "$@"
}
