//! What a job file may hold, what is refused and in which words, and what it becomes.

mod digest;
mod forms;
mod matrix;
mod properties;
mod refused;
