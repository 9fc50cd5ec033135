//! Refuses operators that wait for themselves: events flow one way.
//!
//! Two names for one topic are one place to flow through, so a stream is told by what carries it.

use std::path::Path;

use crate::config::error::Kind;
use crate::config::meaning::{Carrier, Cluster, FALLBACK, Operator, STDIO, Stream};
use crate::config::source::Source;
use crate::config::written::Written;

use super::streams::is_same_place;

/// Reports each cycle once, at the first of its operators in the file.
pub(super) fn refuse(written: &Written, operators: &[Operator], streams: &[Stream], clusters: &[Cluster], source: &Source<'_>) {
    let feeds = feeds(operators, streams, clusters);
    let mut left: Vec<bool> = vec![true; operators.len()];
    loop {
        peel(&feeds, &mut left);
        let Some(cycle) = find(&feeds, &left) else { return };
        let first = cycle.iter().copied().min().unwrap_or_default();
        if let Some(operator) = written.operators.get(first) {
            let path = describe(&cycle, first, &feeds, operators);
            let remedy = if path.contains(FALLBACK) { "give one of them another fallback" } else { "let one of them write another stream" };
            let message = format!("a cycle: {path}; {remedy}");
            source.error(Kind::Cycle, &operator.name.place, message);
        }
        cycle.iter().for_each(|&operator| left[operator] = false);
    }
}

/// For each operator, the operators that feed it and the stream that they do it through.
type Feeds = Vec<Vec<(usize, String)>>;

fn feeds(operators: &[Operator], streams: &[Stream], clusters: &[Cluster]) -> Feeds {
    let carrier = |name: &str| streams.iter().find(|stream| stream.name == name).map(|stream| &stream.carrier);
    let same = |wrote: &str, read: &str| match (carrier(wrote), carrier(read)) {
        // What is read from standard input is not what was written to standard output.
        (Some(Carrier::File { path, .. }), _) if path == Path::new(STDIO) => false,
        (Some(at), Some(other)) if is_same_place(at, other, clusters) => true,
        _ => wrote == read,
    };
    let fed_by = |reader: &Operator| {
        let mut found = Vec::new();
        for (i, writer) in operators.iter().enumerate() {
            let through = writer.writes().find(|wrote| reader.inputs.iter().any(|input| same(wrote, &input.stream)));
            found.extend(through.map(|stream| (i, stream.to_owned())));
        }
        found
    };
    operators.iter().map(fed_by).collect()
}

/// Takes away every operator that nothing left feeds, again and again: what stays is on a cycle or behind one.
fn peel(feeds: &Feeds, left: &mut [bool]) {
    loop {
        let free = (0..left.len()).find(|&i| left[i] && !feeds[i].iter().any(|(writer, _)| left[*writer]));
        let Some(free) = free else { return };
        left[free] = false;
    }
}

/// Walks upstream from anything that is left until it comes round. The cycle is in the order of the flow.
fn find(feeds: &Feeds, left: &[bool]) -> Option<Vec<usize>> {
    let mut walked = vec![left.iter().position(|left| *left)?];
    loop {
        let at = *walked.last()?;
        let (upstream, _) = feeds[at].iter().find(|(writer, _)| left[*writer])?;
        if let Some(start) = walked.iter().position(|seen| seen == upstream) {
            let mut cycle = walked.split_off(start);
            cycle.reverse();
            return Some(cycle);
        }
        walked.push(*upstream);
    }
}

/// `` `a` → x → `b` → y → `a` ``.
fn describe(cycle: &[usize], first: usize, feeds: &Feeds, operators: &[Operator]) -> String {
    let mut order = cycle.to_vec();
    let turn = order.iter().position(|operator| *operator == first).unwrap_or_default();
    order.rotate_left(turn);
    let mut text = format!("`{}`", operators[first].name);
    for (i, &writer) in order.iter().enumerate() {
        let reader = order[(i + 1) % order.len()];
        let stream = feeds[reader].iter().find(|(from, _)| *from == writer).map_or("", |(_, stream)| stream);
        text.push_str(&format!(" → {stream} → `{}`", operators[reader].name));
    }
    text
}
