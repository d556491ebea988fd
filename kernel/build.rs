//! Links the kernel as a static position-independent executable with its own layout.
//!
//! The host target is used as it is (stable toolchain, prebuilt core and alloc); all that makes the
//! result a kernel is here and in `kernel.ld`. `rustc-link-arg-bins` touches only this package.

fn main() {
    let directory = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    assert!(
        flags.split('\x1f').any(|flag| flag == "-Cno-redzone=yes"),
        "the kernel must be built with the flags of .cargo/config.toml, but RUSTFLAGS (or another variable) \
         in the environment replaces them: unset RUSTFLAGS, CARGO_ENCODED_RUSTFLAGS and CARGO_BUILD_RUSTFLAGS"
    );
    // With x86_64-unknown-none the linker is lld itself and takes its own options bare.
    let bare = std::env::var("TARGET").is_ok_and(|target| target == "x86_64-unknown-none");
    if !bare {
        for option in ["-nostartfiles", "-nostdlib", "-static-pie"] {
            println!("cargo:rustc-link-arg-bins={option}");
        }
    }
    let script = format!("-T{directory}/kernel.ld");
    for option in [
        "--build-id=none",
        "-zmax-page-size=0x1000",
        "-znorelro",
        "-ztext", // a relocation in read-only code is a link error
        "--no-dynamic-linker",
        "--gc-sections",
        "--no-undefined",
        &script,
    ] {
        let prefix = if bare { "" } else { "-Wl," };
        println!("cargo:rustc-link-arg-bins={prefix}{option}");
    }
    println!("cargo:rerun-if-changed=kernel.ld");
    println!("cargo:rerun-if-changed=build.rs");
    // The one file that every commit and checkout changes; where it is missing, the build just runs again.
    println!("cargo:rerun-if-changed=../.git/logs/HEAD");
    println!("cargo:rustc-env=RAEDE_BUILD={}", build_description());
    println!(
        "cargo:rustc-env=RAEDE_PROGRAMS_ARCHIVE={}",
        programs_archive()
    );
}

/// The archive of the programs that the kernel carries: what `RAEDE_PROGRAMS` names (scripts/ set it), else an empty one.
fn programs_archive() -> String {
    println!("cargo:rerun-if-env-changed=RAEDE_PROGRAMS");
    if let Some(archive) = std::env::var("RAEDE_PROGRAMS")
        .ok()
        .filter(|path| !path.is_empty())
    {
        println!("cargo:rerun-if-changed={archive}");
        return archive;
    }
    let empty = std::path::Path::new(&std::env::var("OUT_DIR").expect("cargo sets OUT_DIR"))
        .join("empty.tar");
    // Two blocks of zeroes end a tar archive; it has whole pages.
    std::fs::write(&empty, [0; 4096]).expect("cargo's OUT_DIR takes files");
    empty.display().to_string()
}

/// What was built and how: commit, profile, compiler.
fn build_description() -> String {
    let say = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program)
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_string())
    };
    let commit = say("git", &["describe", "--always", "--dirty", "--abbrev=10"]);
    let compiler = say(
        &std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()),
        &["--version"],
    );
    let profile = std::env::var("PROFILE").unwrap_or_default();
    let unknown = || "unknown".to_string();
    format!(
        "commit {}, {profile}, {}",
        commit.unwrap_or_else(unknown),
        compiler.unwrap_or_else(unknown)
    )
}
