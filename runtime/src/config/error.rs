//! What is wrong with a pipeline file: one diagnostic per finding, at its line and column, shown with the line it is about.
//!
//! A message quotes the file as it was written, so the value of an environment variable never shows up in one.

use std::fmt;

/// Everything that is wrong with a pipeline file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// What must be put right; never empty.
    pub errors: Vec<Diagnostic>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What sort of finding it is, for programs.
    pub kind: Kind,
    /// Whether the pipeline can start all the same.
    pub severity: Severity,
    /// The file, as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What was found, what was expected, what to write instead.
    pub message: String,
    /// The line of the file that it is about.
    pub source_line: String,
    /// How many characters of that line it is about, at least 1.
    pub width: usize,
}

/// Whether the pipeline can start all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can.
    Warning,
}

/// The sorts of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The text is not TOML.
    Syntax,
    /// A key stands there twice.
    DuplicateKey,
    /// Nothing has this key.
    UnknownKey,
    /// A key that has no default is not there.
    MissingKey,
    /// A value of another type.
    WrongType,
    /// A number that is too small or too large.
    OutOfRange,
    /// Not a duration.
    BadDuration,
    /// Not a size.
    BadSize,
    /// Not one of the words that the key takes.
    BadChoice,
    /// A name with characters that names do not have, or an empty one.
    BadName,
    /// Not an address.
    BadAddress,
    /// Not a path to a field of an event.
    BadField,
    /// An environment variable that is asked for and not set.
    MissingVariable,
    /// A `${` that is not a variable.
    BadVariable,
    /// A cluster that is not defined.
    UnknownCluster,
    /// A stream that nothing declares, writes or reads.
    UnknownStream,
    /// An operator that is not there.
    UnknownOperator,
    /// Operators that wait for themselves.
    Cycle,
    /// A plugin does not take its configuration.
    PluginConfig,
    /// Two settings that exclude each other.
    Conflict,
    /// A door that would be open to the network without a token.
    Insecure,
    /// A stream that no operator reads or writes; a warning.
    UnusedStream,
}

// === impl ConfigErrors ===

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.errors.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{diagnostic}")?;
        }
        let s = if self.errors.len() == 1 { "" } else { "s" };
        write!(f, "\n{} error{s}; nothing was started", self.errors.len())
    }
}

impl std::error::Error for ConfigErrors {}

// === impl Diagnostic ===

impl Diagnostic {
    /// The first line of the finding, without the line of the file.
    pub fn headline(&self) -> String {
        let label = if self.severity == Severity::Warning { "warning: " } else { "" };
        format!("{}:{}:{}: {label}{}", self.file, self.line, self.column, self.message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        // A tab stays a tab, so that the caret stands under its character however wide tabs are.
        let indent: String = self.source_line.chars().take(self.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "{}", self.headline())?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {}", self.source_line)?;
        write!(f, "{gutter} | {indent}{}", "^".repeat(self.width))
    }
}
