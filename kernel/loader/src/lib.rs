//! From a program's file to what must be mapped: pure logic, used by the kernel for the first process and by the manager for
//! all others. Files are hostile: whatever their bytes, the answer is an error that names what is wrong, or a plan that is safe
//! to carry out.
//!
//! # Tour
//! * [`image`]: [`Image`], a static position-independent ELF executable: [`Image::load`] writes segments and relocations into a
//!   vmo of [`Image::span_bytes`], [`Image::regions`] says how to map it.
//! * [`error`]: what can be wrong with a file.
//! * [`start`]: writing a start block.
//! * [`archive`]: the archive of programs, servers and manifests.
//!
//! # Starting a program
//! 1. [`Image::parse`] the file; make a vmo of [`Image::span_bytes`]; choose a base.
//! 2. [`Image::load`] into the vmo.
//! 3. Map each of [`Image::regions`] at base + address with its access. Pages between them stay unmapped.
//! 4. Map a stack, and give the process its handles; write the start block with their numbers there and map that.
//! 5. A thread at base + [`Image::entry`], the start block's address in `rdi`, the stack pointer a multiple of 16 less 8.
#![no_std]
#![forbid(unsafe_code)]

pub mod archive;
pub mod error;
pub mod image;
pub mod start;

pub use archive::Archive;
pub use error::ImageError;
pub use image::{Access, Image, Memory, Region, Segment};
