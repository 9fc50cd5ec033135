//! From a score to what is done about it.

use sangam_sdk::config;
use serde::Deserialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing to see.
    Low,
    /// Worth a question.
    Medium,
    /// Worth a look.
    High,
    /// Worth a stop.
    Critical,
}

impl Level {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Level::Low => "low",
            Level::Medium => "medium",
            Level::High => "high",
            Level::Critical => "critical",
        }
    }
}

/// The score from which on each level holds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Limits")]
pub struct Levels {
    medium: f64,
    high: f64,
    critical: f64,
}

/// The limits as the pipeline writes them.
#[config]
struct Limits {
    #[config(default = 40.0)]
    medium: f64,
    #[config(default = 60.0)]
    high: f64,
    #[config(default = 80.0)]
    critical: f64,
}

impl TryFrom<Limits> for Levels {
    type Error = String;

    fn try_from(Limits { medium, high, critical }: Limits) -> Result<Self, String> {
        if medium <= high && high <= critical {
            return Ok(Levels { medium, high, critical });
        }
        Err(format!("medium, high and critical must ascend; {medium}, {high}, {critical} do not"))
    }
}

impl Default for Levels {
    fn default() -> Self {
        Levels { medium: 40.0, high: 60.0, critical: 80.0 }
    }
}

impl Levels {
    /// The level of a score.
    pub fn of(&self, score: f64) -> Level {
        match score {
            score if score >= self.critical => Level::Critical,
            score if score >= self.high => Level::High,
            score if score >= self.medium => Level::Medium,
            _ => Level::Low,
        }
    }
}

/// What is done at each level, in the words of whoever reads the output.
#[derive(Clone, Debug, PartialEq)]
pub struct Actions([String; 4]);

/// The same as the pipeline writes them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenActions {
    low: Option<String>,
    medium: Option<String>,
    high: Option<String>,
    critical: Option<String>,
}

impl WrittenActions {
    /// What is written, and `defaults` for the rest.
    pub fn over(self, defaults: [&str; 4]) -> Actions {
        let given = [self.low, self.medium, self.high, self.critical];
        let mut actions = defaults.map(str::to_owned);
        for (action, given) in actions.iter_mut().zip(given) {
            *action = given.unwrap_or_else(|| std::mem::take(action));
        }
        Actions(actions)
    }
}

impl Actions {
    /// What is done at a level.
    pub fn at(&self, level: Level) -> &str {
        let Actions([low, medium, high, critical]) = self;
        match level {
            Level::Low => low,
            Level::Medium => medium,
            Level::High => high,
            Level::Critical => critical,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_holds_from_its_limit_on() {
        let check = |score: f64, expected: Level| assert_eq!(Levels::default().of(score), expected, "{score}");
        check(0.0, Level::Low);
        check(39.9, Level::Low);
        check(40.0, Level::Medium);
        check(59.9, Level::Medium);
        check(60.0, Level::High);
        check(79.9, Level::High);
        check(80.0, Level::Critical);
        check(100.0, Level::Critical);
    }
}
