//! The real runner, its real client and real child processes.

mod chaos;
mod children;
mod client;
mod demo;
mod refusals;
mod serve;
mod support;
