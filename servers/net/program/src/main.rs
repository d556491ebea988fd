//! The net server, isolated.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

rt::entry!(async net_server::main);
