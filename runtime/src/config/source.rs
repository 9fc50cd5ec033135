//! The text of a pipeline file and what was found in it: places, environment variables, the nearest valid name.
//!
//! It knows nothing of pipelines.

use std::cell::RefCell;
use std::ops::Range;

use super::error::{Diagnostic, Kind, Severity};

/// A stretch of the file's text, in bytes.
pub(super) type Place = Range<usize>;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub place: Place,
    pub value: T,
}

impl<T> At<T> {
    pub fn new(place: Place, value: T) -> Self {
        At { place, value }
    }
}

/// The file. Findings are added through a shared reference, since everything that reads may find something.
pub(super) struct Source<'a> {
    text: &'a str,
    pub file: &'a str,
    env: &'a dyn Fn(&str) -> Option<String>,
    found: RefCell<Vec<(Place, Diagnostic)>>,
}

impl<'a> Source<'a> {
    pub fn new(text: &'a str, file: &'a str, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Source { text, file, env, found: RefCell::default() }
    }

    pub fn text(&self) -> &'a str {
        self.text
    }

    pub fn error(&self, kind: Kind, place: &Place, message: impl Into<String>) {
        self.add(kind, Severity::Error, place, message.into());
    }

    pub fn warn(&self, kind: Kind, place: &Place, message: impl Into<String>) {
        self.add(kind, Severity::Warning, place, message.into());
    }

    /// Errors and warnings, each in the order of the file.
    pub fn into_findings(self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(place, _)| place.start);
        found.into_iter().map(|(_, diagnostic)| diagnostic).partition(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// A string as it stands in the file, without its quotes. Messages quote this and never the value, which may hold a secret.
    pub fn quote(&self, place: &Place) -> &'a str {
        let raw = self.text.get(place.clone()).unwrap_or_default();
        ["\"\"\"", "'''", "\"", "'"].iter().find_map(|mark| raw.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark))).unwrap_or(raw)
    }

    /// Puts environment variables in: `${NAME}`, `${NAME:-default}` for one that is not set or empty, `$${` for the characters `${`.
    /// `None` when something was wrong, which has been reported then.
    pub fn expand(&self, written: &str, place: &Place) -> Option<String> {
        let mut out = String::with_capacity(written.len());
        let mut rest = written;
        let mut whole = true;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = &from[2..];
                continue;
            }
            out.push_str(before);
            let Some(end) = from.find('}') else {
                self.error(Kind::BadVariable, &self.within(place, from), "`${` without `}`; write `$${` for the characters themselves");
                return None;
            };
            let (variable, after) = from.split_at(end + 1);
            match self.variable(variable, &self.within(place, variable)) {
                Some(value) => out.push_str(&value),
                None => whole = false,
            }
            rest = after;
        }
        out.push_str(rest);
        whole.then_some(out)
    }

    fn variable(&self, written: &str, place: &Place) -> Option<String> {
        let inner = written.trim_start_matches("${").trim_end_matches('}');
        let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.error(
                Kind::BadVariable,
                place,
                format!("`{name}` is not the name of an environment variable; write `${{NAME}}` or `${{NAME:-default}}`"),
            );
            return None;
        }
        match ((self.env)(name), default) {
            (Some(value), None) => Some(value),
            (Some(value), Some(_)) if !value.is_empty() => Some(value),
            (_, Some(default)) => Some(default.to_owned()),
            (None, None) => {
                self.error(
                    Kind::MissingVariable,
                    place,
                    format!("the environment variable `{name}` is not set; set it, or give a default as in `${{{name}:-default}}`"),
                );
                None
            }
        }
    }

    /// Where `part` stands within a string; the whole string where escapes keep it from being found.
    fn within(&self, place: &Place, part: &str) -> Place {
        let raw = self.text.get(place.clone()).unwrap_or_default();
        raw.find(part).map_or(place.clone(), |at| place.start + at..place.start + at + part.len())
    }

    fn add(&self, kind: Kind, severity: Severity, place: &Place, message: String) {
        let (line, column, source_line) = self.locate(place.start);
        let shown = source_line.chars().count() + 1 - column.min(source_line.chars().count() + 1);
        let spanned = self.text.get(place.clone()).map_or(1, |text| text.chars().count());
        let diagnostic = Diagnostic {
            kind,
            severity,
            file: self.file.to_owned(),
            line,
            column,
            message,
            source_line: source_line.to_owned(),
            width: spanned.min(shown).max(1),
        };
        self.found.borrow_mut().push((place.clone(), diagnostic));
    }

    /// Line and column, both from 1, and the text of the line.
    fn locate(&self, at: usize) -> (usize, usize, &'a str) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.text[..at];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[start..].chars().count() + 1;
        let source_line = self.text[start..].lines().next().unwrap_or_default();
        (line, column, source_line)
    }
}

/// `; did you mean `x`?`, or nothing where no name is near.
pub(super) fn did_you_mean<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    nearest(written, names).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// The valid name that `written` was most likely meant to be.
pub(super) fn nearest<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // A third of the letters may be wrong: enough for two swapped ones in `input`, too few to take one short name for another.
    let slips_max = written.chars().count() / 3;
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

/// `` `a`, `b` or `c` ``.
pub(super) fn either<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
