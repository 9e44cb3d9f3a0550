//! The command line end to end: the built binary, its exit codes, what it prints where, and the
//! shape of its JSON; on the store itself and through the admin socket.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

mod home;
mod offline;
mod online;
mod process;
mod refusals;
