//! Puts the fonts where the crate includes them: the crate that carries them needs std, this one must not.

use std::env;
use std::fs;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    for (name, font) in [
        ("ui.ttf", epaint_default_fonts::UBUNTU_LIGHT),
        ("mono.ttf", epaint_default_fonts::HACK_REGULAR),
    ] {
        fs::write(out.join(name), font).expect("the build directory is writable");
    }
}
