//! The compositor, isolated.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

rt::entry!(async compositor_server::main);
