//! The least watermark over several inputs, of which some may be idle or finished.
//!
//! Flink's rules (`StatusWatermarkValve`): an idle input is not waited for, and what it says is not heard until it is active again; then it
//! counts once it has caught up. When all are idle, what the furthest has said holds. An input that has finished is not idle: it is out.

use crate::time::{Millis, WATERMARK_MAX, WATERMARK_MIN};

/// How one of several inputs counts towards the common watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is waited for.
    Active,
    /// Has had nothing to say for a while: the others do not wait for it.
    Idle,
    /// Has come back, but is still behind the common watermark: it counts again once it has caught up.
    Behind,
    /// Nothing more will come from it.
    Finished,
}

/// The least watermark over several inputs.
#[derive(Clone, Debug, Default)]
pub struct Combined {
    inputs: Vec<(Millis, Standing)>,
    watermark: Millis,
}

impl Combined {
    /// `inputs` inputs of which nothing is known yet.
    pub fn new(inputs: usize) -> Combined {
        Combined { inputs: vec![(WATERMARK_MIN, Standing::Active); inputs], watermark: WATERMARK_MIN }
    }

    /// Starts at a watermark that was reached before.
    pub fn start_at(&mut self, watermark: Millis) {
        self.watermark = self.watermark.max(watermark);
    }

    /// An input's watermark has moved to `to`; returns the common one. What an idle input says is not heard: see [`Combined::active`].
    #[inline]
    pub fn advance(&mut self, input: usize, to: Millis) -> Millis {
        // One input that is heard is the rule, and every event comes by here.
        if let [(watermark, Standing::Active)] = self.inputs.as_mut_slice() {
            *watermark = to.max(*watermark);
            self.watermark = self.watermark.max(*watermark);
            return self.watermark;
        }
        let Some((watermark, standing)) = self.inputs.get_mut(input) else { return self.watermark };
        if to <= *watermark || matches!(*standing, Standing::Idle | Standing::Finished) {
            return self.watermark;
        }
        *watermark = to;
        if *standing == Standing::Behind && to >= self.watermark {
            *standing = Standing::Active;
        }
        self.settle()
    }

    /// An input has gone idle; returns the common watermark.
    pub fn idle(&mut self, input: usize) -> Millis {
        match self.inputs.get_mut(input) {
            Some((_, Standing::Finished)) | None => {}
            Some((_, standing)) => *standing = Standing::Idle,
        }
        self.settle()
    }

    /// An input has something to say again. It counts once its watermark has reached the common one, which does not go back for it.
    #[inline]
    pub fn active(&mut self, input: usize) {
        if let Some((watermark, standing @ Standing::Idle)) = self.inputs.get_mut(input) {
            *standing = if *watermark >= self.watermark { Standing::Active } else { Standing::Behind };
            self.settle();
        }
    }

    /// Nothing more will come from an input; returns the common watermark, which is the end of time once all have finished.
    pub fn finish(&mut self, input: usize) -> Millis {
        if let Some((_, standing)) = self.inputs.get_mut(input) {
            *standing = Standing::Finished;
        }
        self.settle()
    }

    /// The common watermark.
    #[inline]
    pub fn watermark(&self) -> Millis {
        self.watermark
    }

    /// True when nobody is to be waited for, but somebody may come back. No inputs at all are not idle.
    pub fn all_idle(&self) -> bool {
        let quiet = |standing: &Standing| matches!(standing, Standing::Idle | Standing::Finished);
        self.inputs.iter().all(|(_, standing)| quiet(standing)) && self.inputs.iter().any(|(_, standing)| *standing == Standing::Idle)
    }

    /// True when every other input has finished.
    pub fn is_last(&self, input: usize) -> bool {
        self.inputs.iter().enumerate().all(|(other, (_, standing))| other == input || *standing == Standing::Finished)
    }

    /// Where each input stands, and how it counts.
    pub fn inputs(&self) -> &[(Millis, Standing)] {
        &self.inputs
    }

    /// The input that holds the common watermark back, and where it stands.
    pub fn holding_back(&self) -> Option<(usize, Millis)> {
        let active = self.inputs.iter().enumerate().filter(|(_, (_, standing))| *standing == Standing::Active);
        active
            .map(|(input, (watermark, _))| (input, *watermark))
            .min_by_key(|(_, watermark)| *watermark)
            .filter(|(_, w)| *w != WATERMARK_MAX)
    }

    fn settle(&mut self) -> Millis {
        let least = self.inputs.iter().filter(|(_, standing)| *standing == Standing::Active).map(|(watermark, _)| *watermark).min();
        let common = least.or_else(|| {
            // With nobody left to wait for, what the furthest has said holds; of those that may come back, as one that has finished is
            // as far as can be. Whoever is behind is still waited for.
            let idle = self.inputs.iter().filter(|(_, standing)| *standing == Standing::Idle).map(|(watermark, _)| *watermark);
            let waiting = self.inputs.iter().any(|(_, standing)| *standing == Standing::Behind);
            if waiting { None } else { idle.max().or((!self.inputs.is_empty()).then_some(WATERMARK_MAX)) }
        });
        self.watermark = self.watermark.max(common.unwrap_or(WATERMARK_MIN));
        self.watermark
    }
}
