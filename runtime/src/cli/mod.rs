//! The command line: each command in its file; this one knows only their names.

pub mod ask;
pub mod audit;
pub mod build;
pub mod debug;
pub mod demo;
pub mod dlq;
pub mod exec;
pub mod inspect;
pub mod new;
pub mod rollback;
pub mod run;
pub mod savepoint;
pub mod screen;
pub mod state;
pub mod test;
pub mod validate;
pub mod why;

mod bytes;
mod columns;
mod surroundings;
mod topics;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Stream operators in wasm, over Kafka topics or an embedded log.
#[derive(Debug, Parser)]
#[command(name = "sangam", version, about, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a pipeline.
    Run(run::Run),
    /// Run the demo: three operators over a lively stream, nothing to install.
    Demo(demo::Demo),
    /// Run one operator over a file or a pipe.
    Exec(exec::Exec),
    /// Make a new plugin: a crate that builds, with a test and a pipeline.
    New(new::New),
    /// Compile a plugin to wasm and put it where it is watched.
    Build(build::Build),
    /// Run a plugin's fixtures through its .wasm.
    Test(test::Test),
    /// Check a pipeline file and its plugins, without running it.
    Validate(validate::Validate),
    /// Say why a window of a running pipeline has not fired: who holds its watermark back, and since when.
    Why(why::WhyCommand),
    /// Show what an operator of a running pipeline remembers for a key.
    State(state::StateCommand),
    /// Look at what operators refused or failed at, and replay it.
    Dlq(dlq::Dlq),
    /// Save the whole state of a pipeline under a name, and go back to it.
    Savepoint(savepoint::SavepointCommand),
    /// Go back to the build, and to the state, of just before the last swap.
    Rollback(rollback::Rollback),
    /// List which builds a pipeline has run, from which records on, and which it has refused.
    Audit(audit::AuditCommand),
    /// Run a captured call again, bit for bit, or through another build.
    Debug(debug::Debug),
    /// Show what a .wasm file says about itself.
    Inspect(inspect::Inspect),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(match cli.command {
        Command::Exec(_) | Command::Test(_) | Command::Inspect(_) | Command::Why(_) | Command::State(_) => "error,sangam::guest=info",
        // What a guest says when it is tried is part of their answer.
        Command::Dlq(_) | Command::Debug(_) | Command::Audit(_) => "error,sangam::guest=off",
        _ => "warn,sangam=info",
    });
    let out = &mut std::io::stdout();
    let done = match &cli.command {
        Command::Run(command) => run::run(command),
        Command::Demo(command) => demo::run(command),
        Command::Exec(command) => exec::run(command),
        Command::New(command) => new::run(command, out),
        Command::Build(command) => build::run(command, out),
        Command::Test(command) => test::run(command, out),
        Command::Validate(command) => validate::run(command, out),
        Command::Why(command) => why::run(command, out),
        Command::State(command) => state::run(command, out),
        Command::Dlq(command) => dlq::run(command, out),
        Command::Savepoint(command) => savepoint::run(command, out),
        Command::Rollback(command) => rollback::run(command, out),
        Command::Audit(command) => audit::run(command, out),
        Command::Debug(command) => debug::run(command, out),
        Command::Inspect(command) => inspect::run(command, out),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("sangam: {why:#}");
            ExitCode::FAILURE
        }
    }
}

/// Log lines go to standard error; `SANGAM_LOG` sets what is shown, as `RUST_LOG` does elsewhere.
fn start_log(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SANGAM_LOG").unwrap_or_else(|_| default.into());
    let format = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_target(false).with_writer(|| screen::LogLines);
    // A second start in one process (tests) keeps the first.
    let _ = format.try_init();
}
