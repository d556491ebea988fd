//! The echo server, isolated.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

rt::entry!(async echo::main);
