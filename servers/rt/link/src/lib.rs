//! How a program for ring 3 is linked. A package with such programs calls [`program`] in its build script.
//!
//! The host target is used as it is (stable toolchain, prebuilt core and alloc). What makes the result a program of ours: no
//! C start-up files and no C library (a static position-independent executable that the loader relocates), code and data on
//! pages of their own, and everything that only relocation writes read-only afterwards.

/// Prints the linker's arguments for all binaries of the package.
///
/// # Panics
/// Outside of a build script, or if the environment replaces the flags of `.cargo/config.toml`.
pub fn program() {
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    assert!(
        flags
            .split('\x1f')
            .any(|flag| flag == "-Cforce-frame-pointers=yes"),
        "programs must be built with the flags of .cargo/config.toml, but RUSTFLAGS (or another variable) in the environment \
         replaces them: unset RUSTFLAGS, CARGO_ENCODED_RUSTFLAGS and CARGO_BUILD_RUSTFLAGS"
    );
    for option in ["-nostartfiles", "-nostdlib", "-static-pie"] {
        println!("cargo:rustc-link-arg-bins={option}");
    }
    for option in [
        "--build-id=none",
        "--entry=_start",
        "-zmax-page-size=0x1000",
        "-zseparate-code",
        "-zrelro",
        "-znow",
        "-ztext", // a relocation in read-only code is a link error
        "-znoexecstack",
        "--no-dynamic-linker",
        "--no-eh-frame-hdr",
        "--gc-sections",
        "--no-undefined",
    ] {
        println!("cargo:rustc-link-arg-bins=-Wl,{option}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
