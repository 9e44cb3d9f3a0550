//! The `callmask` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    callmask::cli::run(std::env::args_os())
}
