//! The manager: the first process. Starts the units that manifests describe, and keeps them running.
//!
//! # Tour
//! * [`manifest`]: what a unit is, as TOML. [`plan`]: which units there are, in an order in which they can start.
//! * [`supervisor`]: what each unit is doing and what to do next, without doing it. Tested in a simulated world under virtual time.
//! * [`log_ring`]: the last lines that a unit put out. [`saved`]: what is written down for the next manager.
//! * [`world`]: ring 3: processes, connections, requests. What units and shells say is in [`proto::manager`].
//!
//! # What a unit finds
//! Beside what every process has: `manager` (its connection, badged), `output` (a channel; lines of text), `stop` (a notification, if
//! its manifest has `stop-within`: bit 0 asks it to end), and by their names in the manifest the handles it needs, connections to the
//! services it uses, the endpoints of those it offers, and its state vmos. It says [`READY`](proto::manager::READY) when it serves.
//!
//! # Services
//! Each instance of a unit has endpoints of its own. When it ends the manager closes them, so clients learn of the new generation by
//! `PeerClosed` at once; they ask for another connection ([`Connect`](proto::manager::Request::Connect)), which is answered when the
//! next instance is ready, and send again what the contract marks idempotent.
//!
//! # If the manager dies
//! The kernel starts it again in the same handle table. What runs goes on running; see [`saved`] and [`world`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod log_ring;
pub mod manifest;
pub mod plan;
pub mod saved;
pub mod supervisor;
pub mod world;
