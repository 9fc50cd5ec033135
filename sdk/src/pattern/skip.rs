//! What a match does to the partial matches that overlap with it.
//!
//! It decides, from the first events of both, which of them to give up; it emits nothing.

/// What happens to partial matches, and to later matches, that overlap with a match (Flink's after-match skip strategies).
///
/// Anything but `NoSkip` puts matches in order of their first event: one waits until no partial match that began earlier is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AfterMatch {
    /// Nothing: every match is emitted.
    #[default]
    NoSkip,
    /// Those that began with the match's first event are given up.
    SkipToNext,
    /// Those that began with any event up to the match's last one are given up: matches do not overlap.
    SkipPastLastEvent,
    /// Those that began before the first event of this step of the match are given up.
    SkipToFirst(SkipTo),
    /// Those that began before the last event of this step of the match are given up.
    SkipToLast(SkipTo),
}

/// A step to skip to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkipTo {
    /// The step's name.
    pub step: String,
    /// Whether it is a fault when the match has no event of that step, or when skipping to it would skip nothing.
    pub or_fail: bool,
}

impl AfterMatch {
    /// Skips to the first event of a step.
    pub fn skip_to_first(step: &str) -> Self {
        AfterMatch::SkipToFirst(SkipTo { step: step.to_owned(), or_fail: false })
    }

    /// Skips to the last event of a step.
    pub fn skip_to_last(step: &str) -> Self {
        AfterMatch::SkipToLast(SkipTo { step: step.to_owned(), or_fail: false })
    }

    /// Makes it a fault of the operator when there is nothing to skip to.
    #[must_use]
    pub fn or_fail(mut self) -> Self {
        if let AfterMatch::SkipToFirst(to) | AfterMatch::SkipToLast(to) = &mut self {
            to.or_fail = true;
        }
        self
    }

    /// The step that it names.
    pub(super) fn target(&self) -> Option<&SkipTo> {
        match self {
            AfterMatch::SkipToFirst(to) | AfterMatch::SkipToLast(to) => Some(to),
            _ => None,
        }
    }

    /// What to give up after a match of `path`, pairs of step and event in order of time: everything that began before this event.
    pub(super) fn cut(&self, path: &[(&str, u32)]) -> Result<Option<u32>, String> {
        let first = path.first().map(|(_, event)| *event);
        let last = path.last().map(|(_, event)| *event);
        let Some(to) = self.target() else {
            return Ok(match self {
                AfterMatch::SkipToNext => first.map(|event| event + 1),
                AfterMatch::SkipPastLastEvent => last.map(|event| event + 1),
                _ => None,
            });
        };
        let mut events = path.iter().filter(|(step, _)| *step == to.step).map(|(_, event)| *event);
        let event = if matches!(self, AfterMatch::SkipToFirst(_)) { events.next() } else { events.next_back() };
        if to.or_fail && event.is_none() {
            return Err(format!("could not skip to `{}`: the match has no such event", to.step));
        }
        if to.or_fail && event == first {
            return Err(format!("could not skip to `{}`: that is the first event of the match", to.step));
        }
        Ok(event)
    }
}
