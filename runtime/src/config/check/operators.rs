//! Operators, each by itself: defaults, and settings that exclude each other.

use crate::config::error::Kind;
use crate::config::meaning::{Batch, Binding, Capture, Config, Fallback, Limits, OnError, Operator};
use crate::config::source::{At, Source};
use crate::config::written::{WrittenBinding, WrittenCapture, WrittenLimits, WrittenOnError, WrittenOperator};
use std::path::Path;

/// What the operators mean, not yet wired: dead letters are where the operator itself says.
///
/// `capture` and `stamp` are the pipeline's, and `folder` is where paths start.
pub(super) fn mean(
    written: &[WrittenOperator],
    capture: Option<&WrittenCapture>,
    stamp: Option<&At<bool>>,
    folder: &Path,
    source: &Source<'_>,
) -> Vec<Operator> {
    let captures = |own: Option<&WrittenCapture>| own.or(capture).and_then(|capture| mean_capture(capture, folder));
    let stamps = |own: Option<&At<bool>>| own.or(stamp).is_some_and(|stamp| stamp.value);
    let mean = |operator: &WrittenOperator| Operator {
        capture: captures(operator.capture.as_ref()),
        stamp: stamps(operator.stamp.as_ref()),
        ..mean_one(operator, source)
    };
    written.iter().map(mean).collect()
}

fn mean_capture(written: &WrittenCapture, folder: &Path) -> Option<Capture> {
    let named = written.folder.as_ref().filter(|named| named.value != Capture::OFF)?;
    let base = Capture::new(folder.join(&named.value));
    let files = written.files.as_ref().map_or(base.files, |at| at.value as usize);
    Some(Capture { files, bytes: written.bytes.as_ref().map_or(base.bytes, |at| at.value), ..base })
}

fn mean_one(written: &WrittenOperator, source: &Source<'_>) -> Operator {
    let base = Operator::new(&written.name.value);
    let on_error = on_error(written, source);
    Operator {
        plugin: written.plugin.as_ref().map_or(base.plugin, |plugin| plugin.value.clone()),
        inputs: bindings(&written.inputs, "reads", source),
        key: written.key.iter().flatten().map(|path| path.value.clone()).collect(),
        route: written.route.as_ref().map_or(base.route, |route| route.value),
        outputs: bindings(&written.outputs, "writes", source),
        discard: discard(written, source),
        parallelism: written.parallelism.as_ref().map(|at| at.value as usize),
        config: Config(written.config.clone().unwrap_or_default()),
        late: written.late.as_ref().map(|late| late.value.clone()),
        dead_letters: written.dead_letters.as_ref().map(|stream| stream.value.clone()),
        dead_letters_max: written.dead_letters_max.as_ref().map(|limit| limit.value),
        on_error,
        stamp: false,
        capture: None,
        limits: written.limits.as_ref().map_or(base.limits, limits),
        batch: written.batch.as_ref().map(|batch| Batch {
            count: batch.count.as_ref().map(|at| at.value as usize),
            interval: batch.interval.as_ref().map(|at| at.value),
        }),
        name: base.name,
    }
}

fn bindings(written: &[WrittenBinding], verb: &str, source: &Source<'_>) -> Vec<Binding> {
    for (i, binding) in written.iter().enumerate() {
        if written[..i].iter().any(|other| other.port == binding.port && other.stream.value == binding.stream.value) {
            let message = format!("the operator already {verb} `{}` here; leave one of the two out", binding.stream.value);
            source.error(Kind::Conflict, &binding.stream.place, message);
        }
    }
    written.iter().map(|binding| Binding { port: binding.port.clone(), stream: binding.stream.value.clone() }).collect()
}

/// The ports that nobody reads; one that is bound all the same is a mistake, in one place or the other.
fn discard(written: &WrittenOperator, source: &Source<'_>) -> Vec<String> {
    let ports = written.discard.as_deref().unwrap_or_default();
    for (i, port) in ports.iter().enumerate() {
        let bound = written.outputs.iter().find(|output| output.port.as_deref() == Some(port.value.as_str()));
        let why = match bound {
            Some(bound) => format!("the port `{}` goes to `{}`; discard it, or bind it", port.value, bound.stream.value),
            None if ports[..i].iter().any(|other| other.value == port.value) => format!("the port `{}` stands here twice", port.value),
            None => continue,
        };
        source.error(Kind::Conflict, &port.place, why);
    }
    ports.iter().map(|port| port.value.clone()).collect()
}

fn on_error(written: &WrittenOperator, source: &Source<'_>) -> OnError {
    let Some(at) = &written.on_error else { return OnError::default() };
    let meant = match &at.value {
        WrittenOnError::DeadLetter => return OnError::DeadLetter,
        // What is no event, such as a timer, still becomes a dead letter.
        WrittenOnError::Fallback(to) => {
            let input = to.input.as_ref().map(|input| input.value.clone());
            let fallback = Fallback::new(&written.name.value, &to.operator.value);
            return OnError::Fallback(Fallback { input, breaker: to.breaker, ..fallback });
        }
        WrittenOnError::Drop => OnError::Drop,
        WrittenOnError::Stop => OnError::Stop,
    };
    let quote = source.quote(&at.place);
    if let Some(stream) = &written.dead_letters {
        let message = format!("nothing would go to `{}`, since `on_error` is `{quote}`; leave one of the two out", stream.value);
        source.error(Kind::Conflict, &stream.place, message);
    }
    if let Some(limit) = &written.dead_letters_max {
        let message = format!("there are no dead letters to limit, since `on_error` is `{quote}`; leave one of the two out");
        source.error(Kind::Conflict, &limit.place, message);
    }
    meant
}

fn limits(written: &WrittenLimits) -> Limits {
    let base = Limits::default();
    Limits {
        memory: written.memory.as_ref().map_or(base.memory, |at| at.value),
        batch_time: written.batch_time.as_ref().map_or(base.batch_time, |at| at.value),
        output: written.output.as_ref().map_or(base.output, |at| at.value),
        outputs_per_event: written.outputs_per_event.as_ref().map_or(base.outputs_per_event, |at| at.value),
        state: written.state.as_ref().map_or(base.state, |at| at.value),
        log_lines: written.log_lines.as_ref().map_or(base.log_lines, |at| at.value),
    }
}
