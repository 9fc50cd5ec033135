//! A consumer group: who has which partition, and how partitions move: a member gives one up when what it read of it is settled, or is
//! thrown out.

use super::cluster::State;
use crossbeam_channel::{Receiver, TryRecvError};
use sangam::broker::Handback;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A partition of a topic.
pub(super) type Place = (String, i32);

/// A group as its coordinator knows it.
#[derive(Default)]
pub(super) struct Group {
    pub offsets: BTreeMap<Place, i64>,
    members: BTreeMap<u64, Membership>,
    joined: u64,
    /// Partitions that are for a guest; as long as there is none, nobody reads them.
    lent: BTreeSet<Place>,
    /// The process that gets what is lent, and nothing else.
    guest: Option<u64>,
}

struct Membership {
    process: u64,
    topics: Vec<String>,
    held: BTreeSet<Place>,
    leaving: Vec<Leaving>,
}

/// A partition that its member was asked to give up.
struct Leaving {
    place: Place,
    dropped: Receiver<Infallible>,
    late: Arc<AtomicBool>,
}

/// What a member is told.
pub(super) enum News {
    Gained(Place),
    Lost(Place, Handback),
}

// === impl Group ===

impl Group {
    pub fn join(&mut self, process: u64, topics: &[String]) -> u64 {
        self.joined += 1;
        let topics = topics.to_vec();
        self.members.insert(self.joined, Membership { process, topics, held: BTreeSet::new(), leaving: Vec::new() });
        self.joined
    }

    pub fn leave(&mut self, member: u64) {
        self.members.remove(&member);
    }

    pub fn is_member(&self, member: u64) -> bool {
        self.members.contains_key(&member)
    }

    /// Throws a process's members out: what they have not committed they cannot commit any more.
    pub fn expel(&mut self, process: u64) {
        for member in self.members.values().filter(|member| member.process == process) {
            member.leaving.iter().for_each(|leaving| leaving.late.store(true, Ordering::SeqCst));
        }
        self.members.retain(|_, member| member.process != process);
    }

    /// From now on a process gets what is lent, and nothing else.
    pub fn be_guest(&mut self, process: u64) {
        self.guest = Some(process);
    }

    /// Keeps a partition for a guest, as soon as its owner lets go of it.
    pub fn lend(&mut self, place: Place) {
        self.lent.insert(place);
    }

    /// Nothing is kept for guests any more.
    pub fn take_back(&mut self) {
        self.lent.clear();
    }

    /// Partitions whose owner has let go of them are free.
    fn settle(&mut self) {
        for member in self.members.values_mut() {
            let held = &mut member.held;
            member.leaving.retain(|leaving| {
                let waits = leaving.dropped.try_recv() == Err(TryRecvError::Empty);
                if !waits {
                    held.remove(&leaving.place);
                }
                waits
            });
        }
    }

    fn is_free(&self, place: &Place) -> bool {
        !self.members.values().any(|member| member.held.contains(place))
    }

    /// The partitions that a member is to have: they are dealt out in turn.
    fn share(&self, member: u64, topics: &BTreeMap<String, i32>) -> BTreeSet<Place> {
        let is_guest = |membership: &Membership| self.guest == Some(membership.process);
        if let Some(membership) = self.members.get(&member).filter(|membership| is_guest(membership)) {
            return self.lent.iter().filter(|(topic, _)| membership.topics.contains(topic)).cloned().collect();
        }
        let mut share = BTreeSet::new();
        for (topic, partitions) in topics {
            let reads = |m: &Membership| m.topics.contains(topic) && !is_guest(m);
            let readers: Vec<u64> = self.members.iter().filter(|(_, m)| reads(m)).map(|(id, _)| *id).collect();
            let dealt = (0..*partitions).filter(|p| readers.get(*p as usize % readers.len().max(1)) == Some(&member));
            share.extend(dealt.map(|p| (topic.clone(), p)).filter(|place| !self.lent.contains(place)));
        }
        share
    }
}

// === news ===

impl State {
    /// What a member has gained and is to give up since it was last told.
    pub fn news(&mut self, group: &str, member: u64) -> Vec<News> {
        let topics = self.topics.iter().map(|(name, partitions)| (name.clone(), partitions.len() as i32)).collect();
        let Some(known) = self.groups.get_mut(group).filter(|group| group.is_member(member)) else { return Vec::new() };
        known.settle();
        let share = known.share(member, &topics);
        let mut news = Vec::new();
        if let Some(membership) = known.members.get_mut(&member) {
            let going = membership.held.iter().filter(|place| !share.contains(*place));
            let asked = |place: &Place| membership.leaving.iter().any(|leaving| leaving.place == *place);
            for place in going.filter(|place| !asked(place)).cloned().collect::<Vec<_>>() {
                let (handback, dropped, late) = Handback::awaited();
                membership.leaving.push(Leaving { place: place.clone(), dropped, late });
                news.push(News::Lost(place, handback));
            }
        }
        let free: Vec<Place> = share.into_iter().filter(|place| known.is_free(place)).collect();
        for place in free {
            if self.offsets_pending(group, &place.0, place.1) {
                continue;
            }
            if let Some(membership) = self.groups.get_mut(group).and_then(|group| group.members.get_mut(&member)) {
                membership.held.insert(place.clone());
                news.push(News::Gained(place));
            }
        }
        news
    }
}
