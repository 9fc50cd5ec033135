//! A pattern as data: read from a configuration or from an event, so that it needs no build and may change while the stream runs.
//!
//! It says the same as the builder and compiles to the same [`Pattern`], over events kept as [`Value`]s.

use std::cell::OnceCell;
use std::rc::Rc;

use sangam_protocol::msgpack::Reader;
use serde::de::{Deserialize, Deserializer, Error as _};

use super::builder::{Condition, Pattern};
use super::data::{Data, Table};
use super::fields::{Columns, Fits};
use super::skip::AfterMatch;
use crate::field::{Encode, Field};
use crate::wrong::Wrong;
use crate::{FieldPath, Value};

/// A pattern as data: a field of a `#[config]` struct, or of an `#[event]` or `#[state]` that carries rules.
///
/// ```toml
/// [config.pattern]
/// within = "10m"
/// after_match = "skip_past_last_event"
/// steps = [
///   { name = "small", where = { field = "amount", below = 1.0 }, times = "2..", consecutive = true },
///   { name = "large", contiguity = "next",
///     where = { field = "amount", above = { step = "small", field = "amount", times = 500 } } },
/// ]
/// ```
///
/// It is checked when it is read. Two specs with the same content have the same partial matches; partial matches of another content are
/// given up when they are next looked at, and counted as `pattern_partial_matches_of_old_pattern`.
#[derive(Clone, Debug)]
pub struct Spec {
    data: Data,
    fields: Vec<String>,
    /// Over the columns that it was first asked for with.
    pattern: OnceCell<Result<Rc<Pattern<Value>>, String>>,
}

impl Spec {
    /// Reads a pattern and checks it.
    fn new(data: Data) -> Result<Self, String> {
        let mut columns = Columns::of(&[]);
        read(&data, &mut columns)?;
        Ok(Spec { data, fields: columns.named, pattern: OnceCell::new() })
    }

    /// The fields that its conditions name, in order of their first appearance.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// What an operator over [`crate::Row`] asks the host for: the fields that the conditions name, then `more`. An event may lack them.
    pub fn columns(&self, more: &[&str]) -> Vec<FieldPath> {
        self.names(more).into_iter().map(FieldPath::optional).collect()
    }

    /// The pattern over rows of [`Spec::columns`] that are kept by [`Value::from`]; compiled when it is first asked for.
    pub fn over_rows(&self, more: &[&str]) -> crate::Result<&Pattern<Value>> {
        self.compiled(|| self.names(more))
    }

    /// The pattern over rows of fixed columns, where rules come and go while the stream runs.
    pub fn over_columns(&self, columns: &[String]) -> crate::Result<&Pattern<Value>> {
        self.compiled(|| columns.to_vec())
    }

    /// The pattern over whole events, MessagePack maps that are kept by [`Value::from`].
    pub fn over_values(&self) -> crate::Result<&Pattern<Value>> {
        self.compiled(Vec::new)
    }

    fn names(&self, more: &[&str]) -> Vec<String> {
        let more = more.iter().filter(|more| !self.fields.iter().any(|field| field == **more));
        self.fields.iter().cloned().chain(more.map(|more| (*more).to_owned())).collect()
    }

    fn compiled(&self, columns: impl FnOnce() -> Vec<String>) -> crate::Result<&Pattern<Value>> {
        let made = self.pattern.get_or_init(|| read(&self.data, &mut Columns::of(&columns())).map(Rc::new));
        made.as_deref().map_err(|why| crate::Error::Fault(why.clone()))
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spec::new(Data::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<'a> Field<'a> for Spec {
    const KIND: &'static str = "object";
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        Spec::new(Data::read(reader, 0)?).map_err(|why| Wrong::said(&why))
    }
}

impl Encode for Spec {
    fn encode(&self, out: &mut Vec<u8>) {
        self.data.write(out);
    }
}

// === reading ===

fn read(data: &Data, columns: &mut Columns<'_>) -> Result<Pattern<Value>, String> {
    let table = Table::of(data, "pattern", &["steps", "within", "after_match", "max_partial_matches", "max_waiting"])?;
    let steps = table.list("steps")?.filter(|steps| !steps.is_empty());
    let steps = steps.ok_or("pattern.steps: a pattern has at least one step")?;
    let mut pattern = sequence(steps, "pattern.steps", columns)?;
    if let Some(within) = table.duration("within")? {
        pattern = pattern.within(within);
    }
    if let Some(most) = table.count("max_partial_matches")? {
        pattern = pattern.max_partial_matches(most);
    }
    if let Some(most) = table.count("max_waiting")? {
        pattern = pattern.max_waiting(most);
    }
    if let Some(after) = table.get("after_match") {
        pattern = pattern.after_match(after_match(after, &table.at("after_match"))?);
    }
    let mut bytes = Vec::new();
    data.write(&mut bytes);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let pattern = pattern.version(hash);
    let names = &pattern.automaton()?.names;
    match columns.steps.iter().find(|step| !names.contains(step)) {
        Some(step) => Err(format!("a condition looks back to the step `{step}`, which the pattern does not have")),
        None => Ok(pattern),
    }
}

const STEP: [&str; 11] = [
    "name",
    "group",
    "contiguity",
    "where",
    "until",
    "times",
    "optional",
    "greedy",
    "consecutive",
    "allow_combinations",
    "within_previous",
];

fn sequence(steps: &[Data], place: &str, columns: &mut Columns<'_>) -> Result<Pattern<Value>, String> {
    let mut pattern: Option<Pattern<Value>> = None;
    for (i, data) in steps.iter().enumerate() {
        let place = format!("{place}[{i}]");
        let table = Table::of(data, &place, &STEP)?;
        let begun = begin(pattern, &table, columns)?;
        pattern = Some(step(begun, &table, columns)?);
    }
    pattern.ok_or_else(|| format!("{place}: at least one step"))
}

/// The step itself: its name or group, and how it follows.
fn begin(pattern: Option<Pattern<Value>>, table: &Table<'_>, columns: &mut Columns<'_>) -> Result<Pattern<Value>, String> {
    let (name, group) = (table.text("name")?, table.list("group")?);
    let contiguity = table.text("contiguity")?;
    if pattern.is_none() && contiguity.is_some() {
        return Err(format!("{}: the first step follows nothing", table.at("contiguity")));
    }
    let unknown = |other: &str, valid: &str| Err(format!("{}: unknown `{other}`; valid: {valid}", table.at("contiguity")));
    match (name, group) {
        (Some(name), None) => Ok(match (pattern, contiguity) {
            (None, _) => Pattern::begin(name),
            (Some(pattern), None | Some("followed_by")) => pattern.followed_by(name),
            (Some(pattern), Some("next")) => pattern.next(name),
            (Some(pattern), Some("followed_by_any")) => pattern.followed_by_any(name),
            (Some(pattern), Some("not_next")) => pattern.not_next(name),
            (Some(pattern), Some("not_followed_by")) => pattern.not_followed_by(name),
            (_, Some(other)) => return unknown(other, "next, followed_by, followed_by_any, not_next, not_followed_by"),
        }),
        (None, Some(steps)) => {
            let group = sequence(steps, &table.at("group"), columns)?;
            Ok(match (pattern, contiguity) {
                (None, _) => Pattern::begin_group(group),
                (Some(pattern), None | Some("followed_by")) => pattern.followed_by_group(group),
                (Some(pattern), Some("next")) => pattern.next_group(group),
                (Some(pattern), Some("followed_by_any")) => pattern.followed_by_any_group(group),
                (_, Some(other)) => return unknown(other, "next, followed_by, followed_by_any"),
            })
        }
        _ => Err(format!("{}: a step has a `name`, or is a `group` of steps", table.place)),
    }
}

/// What is said of the step.
fn step(mut pattern: Pattern<Value>, table: &Table<'_>, columns: &mut Columns<'_>) -> Result<Pattern<Value>, String> {
    if let Some(data) = table.get("where") {
        pattern = pattern.condition(condition(data, &table.at("where"), columns)?, false);
    }
    if let Some(times) = table.get("times") {
        pattern = repeated(pattern, times, &table.at("times"))?;
    }
    if table.flag("consecutive")? {
        pattern = pattern.consecutive();
    }
    if table.flag("allow_combinations")? {
        pattern = pattern.allow_combinations();
    }
    if table.flag("greedy")? {
        pattern = pattern.greedy();
    }
    if table.flag("optional")? {
        pattern = pattern.optional();
    }
    if let Some(data) = table.get("until") {
        pattern = pattern.until_rc(condition(data, &table.at("until"), columns)?);
    }
    if let Some(span) = table.duration("within_previous")? {
        pattern = pattern.within_previous(span);
    }
    Ok(pattern)
}

fn condition(data: &Data, place: &str, columns: &mut Columns<'_>) -> Result<Condition<Value>, String> {
    let fits = Fits::read(data, place, columns)?;
    Ok(Rc::new(move |event, earlier| fits.holds(event, earlier)))
}

/// `3`, `"3"`, `"2..=5"`, `"1.."`.
fn repeated(pattern: Pattern<Value>, times: &Data, place: &str) -> Result<Pattern<Value>, String> {
    let wrong = || format!("{place}: a number, \"2..=5\" (from 2 to 5), or \"1..\" (one or more)");
    let text = match times {
        Data::Int(times) => times.to_string(),
        Data::Text(text) => text.clone(),
        _ => return Err(wrong()),
    };
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
    Ok(match text.split_once("..") {
        None => pattern.times(number(&text)?),
        Some((from, "")) => pattern.times_or_more(number(from)?),
        Some((from, to)) => pattern.times_range(number(from)?, number(to.strip_prefix('=').ok_or_else(wrong)?)?),
    })
}

fn after_match(data: &Data, place: &str) -> Result<AfterMatch, String> {
    if let Data::Text(text) = data {
        return Ok(match text.as_str() {
            "no_skip" => AfterMatch::NoSkip,
            "skip_to_next" => AfterMatch::SkipToNext,
            "skip_past_last_event" => AfterMatch::SkipPastLastEvent,
            other => {
                return Err(format!(
                    "{place}: unknown `{other}`; valid: no_skip, skip_to_next, skip_past_last_event, {{ skip_to_first = \"step\" }}, {{ skip_to_last = \"step\" }}"
                ));
            }
        });
    }
    let table = Table::of(data, place, &["skip_to_first", "skip_to_last", "or_fail"])?;
    let after = match (table.text("skip_to_first")?, table.text("skip_to_last")?) {
        (Some(step), None) => AfterMatch::skip_to_first(step),
        (None, Some(step)) => AfterMatch::skip_to_last(step),
        _ => return Err(format!("{place}: one of skip_to_first and skip_to_last")),
    };
    Ok(if table.flag("or_fail")? { after.or_fail() } else { after })
}
