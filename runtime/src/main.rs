//! The `sangam` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    sangam::cli::main()
}
