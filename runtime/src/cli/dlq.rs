//! `sangam dlq`: dead letters listed, shown, exported, and sent back to where they came from.

mod desk;
mod letter;
mod print;
mod rehearse;
mod replay;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use desk::Desk;
use letter::Letter;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// Look at what operators refused or failed at, and replay it.
#[derive(Clone, Debug, Args)]
pub struct Dlq {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List dead letters, one line each.
    List(List),
    /// Show all that one dead letter carries.
    Show(Show),
    /// Write dead letters as JSON, one object per line, with every byte of them.
    Export(Export),
    /// Send events back to the stream that they came from; one that has been sent back before is left alone.
    Replay(Replay),
}

/// Which dead letters.
#[derive(Clone, Debug, Args)]
struct Which {
    /// The pipeline.
    pipeline: PathBuf,
    /// Only those of this stream of dead letters.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Only those of this operator.
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// Only those of this kind: reject, unreadable, trap, timeout, limit, effects, fault.
    #[arg(long)]
    kind: Option<String>,
}

#[derive(Clone, Debug, Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// Only those that have not been replayed.
    #[arg(long)]
    pending: bool,
    /// The most lines; the rest is counted. 0: all.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    /// JSON, one object per line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
struct Show {
    /// The pipeline.
    pipeline: PathBuf,
    /// The dead letter as `list` names it: STREAM/PARTITION/OFFSET.
    letter: String,
    /// As `export` writes it.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
struct Export {
    #[command(flatten)]
    which: Which,
    /// Where to [default: standard output].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
struct Replay {
    #[command(flatten)]
    which: Which,
    /// Only these, as `list` names them: STREAM/PARTITION/OFFSET.
    letters: Vec<String>,
    /// Run each through this build first, and send back only those that it takes.
    #[arg(long, value_name = "FILE")]
    with: Option<PathBuf>,
    /// Send them to this stream of the pipeline instead.
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// Also those that have been replayed before.
    #[arg(long)]
    again: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub fn run(command: &Dlq, out: &mut dyn Write) -> Result<()> {
    match &command.verb {
        Verb::List(list) => run_list(list, out),
        Verb::Show(show) => run_show(show, out),
        Verb::Export(export) => run_export(export, out),
        Verb::Replay(replay) => replay::run(replay, out),
    }
}

fn run_list(list: &List, out: &mut dyn Write) -> Result<()> {
    let desk = Desk::open(&list.which)?;
    let (mut rows, mut count, mut pending) = (Vec::new(), 0, 0);
    desk.each(&list.which, &mut |letter| {
        let replayed = desk.replayed(&letter);
        pending += usize::from(replayed.is_none());
        if list.pending && replayed.is_some() {
            return Ok(());
        }
        count += 1;
        if list.limit > 0 && count > list.limit {
            return Ok(());
        }
        if list.json {
            writeln!(out, "{}", print::summary(&letter, replayed))?;
        } else {
            rows.push(print::row(&letter, replayed));
        }
        Ok(())
    })?;
    if !list.json {
        write!(out, "{}", print::table(&rows))?;
        let more = count - rows.len();
        let more = if more > 0 { format!(" ({more} not shown; `--limit 0` shows all)") } else { String::new() };
        writeln!(out, "{count} dead letters{more}, {pending} not replayed")?;
    }
    Ok(())
}

fn run_show(show: &Show, out: &mut dyn Write) -> Result<()> {
    let which = Which { pipeline: show.pipeline.clone(), stream: Some(stream_of(&show.letter)?), operator: None, kind: None };
    let desk = Desk::open(&which)?;
    let mut found = None;
    desk.each(&which, &mut |letter| {
        if letter.id() == show.letter {
            found = Some(letter);
        }
        Ok(())
    })?;
    let letter = found.with_context(|| format!("there is no dead letter {}; `sangam dlq list` names those that there are", show.letter))?;
    match show.json {
        true => writeln!(out, "{}", print::export(&letter, desk.replayed(&letter)))?,
        false => write!(out, "{}", print::page(&letter, desk.format_of(&letter), desk.replayed(&letter)))?,
    }
    Ok(())
}

fn run_export(export: &Export, out: &mut dyn Write) -> Result<()> {
    let desk = Desk::open(&export.which)?;
    let mut file = None;
    if let Some(path) = &export.output {
        let made = std::fs::File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
        file = Some(BufWriter::new(made));
    }
    let to: &mut dyn Write = file.as_mut().map_or(out, |file| file);
    desk.each(&export.which, &mut |letter| Ok(writeln!(to, "{}", print::export(&letter, desk.replayed(&letter)))?))?;
    Ok(to.flush()?)
}

/// The stream in a letter's name.
fn stream_of(id: &str) -> Result<String> {
    match id.split('/').collect::<Vec<_>>().as_slice() {
        [stream, partition, offset] if partition.parse::<i32>().is_ok() && offset.parse::<i64>().is_ok() => Ok((*stream).to_owned()),
        _ => bail!("`{id}` names no dead letter; write STREAM/PARTITION/OFFSET, as `sangam dlq list` does"),
    }
}
