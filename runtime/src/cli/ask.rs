//! A question to the admin doors of a running pipeline, and its answer.

use anyhow::{Context, Result, bail};
use clap::Args;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// What is asked.
pub struct Question<'a> {
    /// Where the doors are.
    pub address: &'a str,
    /// The token, where they want one.
    pub token: Option<&'a str>,
    /// The path.
    pub path: &'a str,
    /// JSON that is sent along, by POST; without, it is a GET.
    pub body: Option<String>,
    /// How long the answer may take.
    pub patience: Duration,
}

/// Where the doors of a pipeline are, as a command is told.
#[derive(Clone, Debug, Args)]
pub struct Doors {
    /// Where the pipeline's admin doors are: `listen` under `[admin]` in its file.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9600")]
    pub admin: String,
    /// The token of the admin doors [default: the environment variable SANGAM_ADMIN_TOKEN].
    #[arg(long)]
    pub token: Option<String>,
}

impl Doors {
    /// Asks there, without sending anything along; the body of the answer.
    pub(super) fn ask(&self, path: &str, patience: Duration) -> Result<String> {
        let token = token(self.token.as_deref());
        ask(&Question { address: &self.admin, token: token.as_deref(), path, body: None, patience })
    }
}

/// The most bytes of an answer.
const ANSWER_MAX: u64 = 16 << 20;

/// How long the doors may take to open.
const CONNECT: Duration = Duration::from_secs(5);

/// The token that was given, or else the one of the environment.
pub fn token(given: Option<&str>) -> Option<String> {
    given.map(str::to_owned).or_else(|| std::env::var("SANGAM_ADMIN_TOKEN").ok())
}

/// Asks; the body of the answer.
///
/// # Errors
/// When nobody answers, and what was answered instead.
pub fn ask(question: &Question<'_>) -> Result<String> {
    let Question { address, path, .. } = question;
    let unreachable = || {
        format!(
            "nobody answers at {address}; is the pipeline running, with `[admin]` and `listen = \"{address}\"` in its file? \
             For another address say `--admin ADDRESS`"
        )
    };
    let target = address.to_socket_addrs().with_context(unreachable)?.next().with_context(unreachable)?;
    let mut stream = TcpStream::connect_timeout(&target, CONNECT).with_context(unreachable)?;
    stream.set_read_timeout(Some(question.patience))?;
    let token = question.token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    match &question.body {
        None => write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n{token}\r\n")?,
        Some(body) => write!(
            stream,
            "POST {path} HTTP/1.0\r\nHost: {address}\r\n{token}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?,
    }
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer).context("the pipeline's answer breaks off")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("what answers there does not speak HTTP")?;
    match head.split_whitespace().nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some("401") => bail!("the pipeline wants its token; say `--token TOKEN`, or set SANGAM_ADMIN_TOKEN"),
        _ => bail!("{}", body.trim_end()),
    }
}
