//! Each kind of object against what it promises, and sequences of operations against models.
#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;

mod channels;
mod endpoints;
mod handles;
mod jobs;
mod leases;
mod ports;
mod references;
mod signals;
mod started;
