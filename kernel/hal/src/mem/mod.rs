//! (owner: see brief)
