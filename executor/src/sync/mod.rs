//! Ways for tasks to meet.
