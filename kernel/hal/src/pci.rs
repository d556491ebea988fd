//! (owner: platform)
