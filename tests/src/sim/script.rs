//! What a seed says: which pipeline, which input, how many lives of which process, and what goes wrong in each.

use super::dice::Dice;
use super::faults::{Fault, Incident, Point};
use super::workload::{WORKLOADS, Workload};
use serde_json::Value;

/// All that is fixed by a seed.
#[derive(Clone, Debug)]
pub struct Script {
    /// The pipeline.
    pub workload: Workload,
    /// What the pipeline is to guarantee.
    pub guarantee: &'static str,
    /// Processes, one after the other; in the last one nothing goes wrong.
    pub lives: Vec<Life>,
}

/// One process from its start to its end.
#[derive(Clone, Debug)]
pub struct Life {
    /// Its disk.
    pub disk: usize,
    /// The disk is a new one.
    pub wiped: bool,
    /// What is there to be read when it starts, besides what was there before: partition, time, value.
    pub input: Vec<(i32, i64, Value)>,
    /// What goes wrong.
    pub incidents: Vec<Incident>,
    /// Who does the work while it stands still.
    pub other: Option<Box<Life>>,
    /// Who works at a partition that was lent.
    pub guest: Option<Box<Life>>,
    /// Before it runs, the last savepoint is restored, if there is one.
    pub restores: bool,
    /// Before it runs, a savepoint is taken.
    pub saves: bool,
    /// Which build it is offered.
    pub build: u32,
    /// For what is left to chance in it.
    pub dice: Dice,
}

/// Each point, and how often a process comes to it in a life, more or less.
const POINTS: &[(Point, usize)] = &[
    (Point::Join, 1),
    (Point::Init, 1),
    (Point::Start, 2),
    (Point::Poll, 30),
    (Point::Produce, 100),
    (Point::Close, 6),
    (Point::Append, 80),
    (Point::Offsets, 6),
    (Point::End, 6),
    (Point::Ended, 6),
    (Point::Replay, 12),
    (Point::Rebalance, 12),
    (Point::StoreWrite, 8),
    (Point::StoreWritten, 8),
    (Point::DiskWrite, 60),
    (Point::DiskSync, 12),
    (Point::Copy, 2),
    (Point::UnderWay, 4),
];

/// Events of a partition in a life, at most.
const EVENTS_MAX: usize = 40;

// === impl Script ===

impl Script {
    /// What `seed` says.
    pub fn of(seed: u64) -> Script {
        let mut dice = Dice::new(seed);
        let workload = dice.pick(WORKLOADS);
        let disturbed = 1 + dice.below(4);
        let mut written = vec![0; workload.topics[0].1 as usize];
        let mut lives = Vec::new();
        for i in 0..=disturbed {
            let mut life = Life::of(&mut dice, 0);
            life.input = input(&workload, &mut dice, &mut written);
            life.wiped = i > 0 && dice.percent(15);
            life.saves = dice.percent(20);
            life.restores = i > 0 && dice.percent(30);
            if i == disturbed {
                (life.incidents, life.other, life.guest) = (Vec::new(), None, None);
            }
            if workload.reads_itself() {
                life.saves = false;
                life.incidents.retain(|incident| incident.fault != Fault::Save);
            }
            if !workload.can_be_shared() {
                life.guest = None;
            }
            // The guest is to have something to do, and so are the others meanwhile.
            if let Some(guest) = &mut life.guest {
                guest.input = input(&workload, &mut dice, &mut written);
            }
            lives.push(life);
        }
        Script { workload, guarantee: "exactly_once", lives }
    }
}

fn input(workload: &Workload, dice: &mut Dice, written: &mut [i64]) -> Vec<(i32, i64, Value)> {
    let mut input = Vec::new();
    for (partition, written) in written.iter_mut().enumerate() {
        for _ in 0..dice.below(EVENTS_MAX + 1) {
            let (time, value) = workload.event(dice, partition as i32, *written);
            input.push((partition as i32, time, value));
            *written += 1;
        }
    }
    input
}

// === impl Life ===

impl Life {
    /// One in which nothing goes wrong, and nothing new is to be read.
    pub fn undisturbed() -> Life {
        let (input, incidents, dice) = (Vec::new(), Vec::new(), Dice::new(0));
        Life { disk: 0, wiped: false, input, incidents, other: None, guest: None, restores: false, saves: false, build: 0, dice }
    }

    fn of(dice: &mut Dice, depth: usize) -> Life {
        let mut incidents = Vec::new();
        let mut at = |dice: &mut Dice, fault| {
            let (point, times) = dice.pick(POINTS);
            incidents.push(Incident { point, time: 1 + dice.below(times) as u32, fault });
        };
        if dice.percent(70) {
            at(dice, Fault::Crash);
        }
        for chance in [50, 25] {
            if dice.percent(chance) {
                let faults = if depth == 0 { &FAULTS[..] } else { &FAULTS[..FAULTS.len() - 1] };
                let fault = dice.pick(faults);
                at(dice, fault);
            }
        }
        // A disk does not answer late or not at all: it is there, or the process is not.
        let only_crashes = |point| matches!(point, Point::DiskWrite | Point::DiskSync);
        let answers = |point| !matches!(point, Point::StoreWrite | Point::StoreWritten | Point::Start | Point::Copy);
        incidents.retain(|i| i.fault == Fault::Crash || !only_crashes(i.point) && (i.fault != Fault::NoAnswer || answers(i.point)));
        // It is met beside everything else that goes on, which a standstill would stop nowhere in particular.
        incidents.retain(|i| i.point != Point::UnderWay || matches!(i.fault, Fault::Crash | Fault::NoAnswer));
        if dice.percent(25) {
            let lent = 1 + dice.below(8) as u32;
            incidents.push(Incident { point: Point::Rebalance, time: lent, fault: Fault::Lend });
            let guest = lent + 2 + dice.below(3) as u32;
            let works = depth == 0 && dice.percent(60);
            let back = if works { guest } else { lent } + 1 + dice.below(6) as u32;
            if works {
                incidents.push(Incident { point: Point::Rebalance, time: guest, fault: Fault::Guest });
            }
            incidents.push(Incident { point: Point::Rebalance, time: back, fault: Fault::TakeBack });
        }
        if depth == 0 && dice.percent(20) {
            incidents.push(Incident { point: Point::Rebalance, time: 2 + dice.below(6) as u32, fault: Fault::Save });
        }
        if dice.percent(15) {
            incidents.push(Incident { point: Point::Rebalance, time: 2 + dice.below(5) as u32, fault: Fault::Reload });
        }
        let disk = if depth > 0 { 1 } else { 0 };
        let other = incidents.iter().any(|incident| incident.fault == Fault::Stall).then(|| {
            let mut other = Life::of(dice, depth + 1);
            other.wiped = dice.percent(20);
            Box::new(other)
        });
        let guest = incidents.iter().any(|incident| incident.fault == Fault::Guest).then(|| Box::new(Life::of_guest(dice)));
        let (build, dice) = (1 + dice.below(2) as u32, dice.fork());
        Life { disk, wiped: false, input: Vec::new(), incidents, other, guest, restores: false, saves: false, build, dice }
    }

    /// One beside another, whose partitions come and go with that one.
    fn of_guest(dice: &mut Dice) -> Life {
        let mut guest = Life::of(dice, 1);
        let may_happen = |fault| matches!(fault, Fault::Crash | Fault::NoAnswer | Fault::Fence | Fault::Expel);
        guest.incidents.retain(|incident| may_happen(incident.fault));
        guest.wiped = dice.percent(20);
        guest
    }

    /// Whether nothing goes wrong in it.
    pub fn is_undisturbed(&self) -> bool {
        self.incidents.is_empty()
    }

    /// Whether it is offered a new build.
    pub fn reloads(&self) -> bool {
        self.incidents.iter().any(|incident| incident.fault == Fault::Reload)
    }
}

/// What goes wrong besides a crash; a stall is the last.
const FAULTS: [Fault; 5] = [Fault::Fence, Fault::Expel, Fault::NoAnswer, Fault::NoAnswer, Fault::Stall];
