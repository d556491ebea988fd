//! The status page's server as logic: requests in, answers out.
//!
//! * [`request`]: the head of a request (RFC 9112).
//! * [`figures`]: what is shown, and [`Histogram`](figures::Histogram).
//! * [`json`], [`metrics`]: figures as JSON for the page, and as text for Prometheus.
//! * [`answer`]: which address gives what.
//!
//! The program that listens and asks the system for figures is `servers/httpd/program`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod answer;
pub mod figures;
pub mod json;
pub mod metrics;
pub mod request;
