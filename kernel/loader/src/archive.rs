//! The archive of programs: a ustar file with `programs/NAME`, `servers/NAME` and `manifests/NAME.toml`.

use core::fmt;

use tar_no_std::{ArchiveEntryIterator, CorruptDataError, TarArchiveRef};

/// An archive that was checked.
#[derive(Clone, Debug)]
pub struct Archive<'a> {
    tar: Option<TarArchiveRef<'a>>,
}

/// Why an archive cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadArchive(CorruptDataError);

impl fmt::Display for BadArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad archive of programs: {}", self.0)
    }
}

impl core::error::Error for BadArchive {}

impl<'a> Archive<'a> {
    /// Checks an archive. Nothing, or nothing but zeroes (how an archive ends), is an empty one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(bytes: &'a [u8]) -> Result<Self, BadArchive> {
        if bytes.len() <= 1024 && bytes.iter().all(|&byte| byte == 0) {
            return Ok(Self { tar: None });
        }
        let tar = TarArchiveRef::new(bytes).map_err(BadArchive)?;
        Ok(Self { tar: Some(tar) })
    }

    /// The file of this path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&'a [u8]> {
        self.entries()
            .find(|entry| entry.filename().as_str() == Ok(path))
            .map(|entry| entry.data())
    }

    /// Calls `visit` with the name (what is between `start` and `end` in the path) and bytes of each such file, in their order.
    pub fn visit(&self, start: &str, end: &str, mut visit: impl FnMut(&str, &'a [u8])) {
        for entry in self.entries() {
            let path = entry.filename();
            let name = path
                .as_str()
                .ok()
                .and_then(|path| path.strip_prefix(start)?.strip_suffix(end));
            if let Some(name) = name {
                visit(name, entry.data());
            }
        }
    }

    /// Whether there is no file in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }

    fn entries(&self) -> impl Iterator<Item = tar_no_std::ArchiveEntry<'a>> {
        self.tar
            .iter()
            .flat_map(|tar| -> ArchiveEntryIterator<'a> { tar.entries() })
    }
}
