//! From a program's file to what must be mapped: ELF images and start blocks, as pure logic. Used by the kernel for the first
//! process and by the manager for all others.
#![no_std]
#![forbid(unsafe_code)]
