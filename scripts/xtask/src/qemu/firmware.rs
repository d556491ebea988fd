//! Finds QEMU's UEFI firmware.

use std::path::PathBuf;

/// Code and variable store of an OVMF build.
#[derive(Clone, Debug)]
pub struct Ovmf {
    /// The firmware's code, mapped read-only.
    pub code: PathBuf,
    /// The template of its variables. Each run gets a fresh copy: stale boot entries would lead
    /// to the firmware's shell.
    pub variables: PathBuf,
}

/// Code and variables as distributions name them; Debian first.
const KNOWN: [(&str, &str); 5] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
    (
        "/usr/share/qemu/ovmf-x86_64-4m-code.bin",
        "/usr/share/qemu/ovmf-x86_64-4m-vars.bin",
    ),
];

/// The first known firmware that is installed.
pub fn find() -> Option<Ovmf> {
    KNOWN
        .iter()
        .map(|(code, variables)| Ovmf {
            code: code.into(),
            variables: variables.into(),
        })
        .find(|ovmf| ovmf.code.is_file() && ovmf.variables.is_file())
}
