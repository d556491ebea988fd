//! (tour to be written by the owner of this crate)
#![no_std]
#![forbid(unsafe_code)]
