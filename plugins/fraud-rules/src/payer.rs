//! What is remembered of a payer; in an operator that is keyed by device, of a device.

use sangam_sdk::*;

use crate::history::{History, Payment, Total};
use crate::place::Places;
use crate::rules::Needs;
use crate::track::Track;

/// The state of one key. Bounded: payments up to a number, and for older ones a track per span that rules ask for; the last place; a fixed
/// number of devices, merchants and users.
#[state]
pub struct Payer {
    /// Event time of the newest payment.
    pub newest: Option<Millis>,
    /// One per span, for payments that do not fit into the history.
    pub tracks: Vec<Track>,
    /// Devices, the one used last at the end.
    pub devices: Vec<String>,
    /// The newest place.
    pub last_place: Option<Sighting>,
    /// Payments that some rule can still reach.
    pub history: History,
    /// Merchants, the one paid last at the end; only where a rule asks for them.
    pub merchants: Vec<Known>,
    /// Of a device: who pays with it, who paid last at the end.
    pub users: Vec<Known>,
}

/// A place and when the payer was there.
#[state]
pub struct Sighting {
    /// The location as the payment has it.
    pub location: String,
    /// Event time.
    pub time: Millis,
}

/// A merchant of a payer, or a user of a device.
#[state]
pub struct Known {
    /// Its id.
    pub id: String,
    /// Event time of the first payment.
    pub first: Millis,
    /// Event time of the newest payment.
    pub last: Millis,
}

/// Whether a payer has used a device before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The payment names none.
    None,
    /// The payer's first one.
    First,
    /// Another one than those remembered.
    New,
    /// A remembered one.
    Known,
}

/// The way between a payment's place and the payer's newest other one.
#[derive(Clone, Debug, PartialEq)]
pub struct Trip {
    /// The other place.
    pub from: String,
    /// Kilometres.
    pub km: f64,
    /// Time between the two payments, whichever was first.
    pub elapsed: Millis,
}

impl Payer {
    /// Counts a payment, keeps at most `most` one by one, and forgets what no rule can reach any more.
    pub fn pay(&mut self, payment: Payment, watermark: Millis, needs: &Needs, most: usize) {
        self.tracks.retain(|track| needs.spans.contains(&track.within));
        let Some(longest) = needs.spans.last() else { return self.forget_payments() };
        // Before it is added, so that it counts itself even where it is behind the watermark.
        self.history.forget(watermark.saturating_sub(*longest));
        self.history.add(payment);
        let newest = self.newest.map_or(payment.time, |newest| newest.max(payment.time));
        self.tracks.iter_mut().for_each(|track| track.forget(newest, watermark));
        if self.history.len() > most.max(needs.row) {
            self.fold(most.max(needs.row), &needs.spans);
        }
        self.tracks.retain(|track| !track.buckets.is_empty());
    }

    /// Whether nothing is kept of any payment.
    pub fn has_no_payments(&self) -> bool {
        self.history.len() == 0 && self.tracks.is_empty()
    }

    /// Forgets all payments.
    pub fn forget_payments(&mut self) {
        self.history = History::default();
        self.tracks.clear();
    }

    /// Moves the oldest payments into the tracks.
    fn fold(&mut self, most: usize, spans: &[Millis]) {
        for within in spans {
            if !self.tracks.iter().any(|track| track.within == *within) {
                self.tracks.push(Track::new(*within));
            }
        }
        for payment in self.history.take_oldest(most) {
            self.tracks.iter_mut().for_each(|track| track.add(payment));
        }
    }

    /// What the span `within` up to a time holds.
    pub fn total(&self, within: Millis, until: Millis) -> Total {
        let exact = self.history.total(until.saturating_sub(within), until);
        let track = self.tracks.iter().find(|track| track.within == within);
        track.map_or(exact, |track| exact.and(track.total(until)))
    }

    /// Notes the device; at most `most` are remembered, those used last.
    pub fn see_device(&mut self, device: Option<&str>, most: usize) -> Device {
        let Some(device) = device.filter(|device| !device.is_empty()) else { return Device::None };
        let seen = match self.devices.iter().position(|known| known == device) {
            Some(place) => {
                self.devices[place..].rotate_left(1);
                return Device::Known;
            }
            None if self.devices.is_empty() => Device::First,
            None => Device::New,
        };
        self.devices.push(device.to_owned());
        if self.devices.len() > most {
            self.devices.remove(0);
        }
        seen
    }

    /// Notes the place; returns the way to it. A payment that comes out of order is compared all the same, and not noted.
    pub fn see_place(&mut self, location: &str, time: Millis, places: &Places) -> Option<Trip> {
        let trip = self.last_place.as_ref().and_then(|last| {
            let km = if last.location == location { 0.0 } else { places.find(&last.location)?.km_to(places.find(location)?) };
            Some(Trip { from: last.location.clone(), km, elapsed: time.saturating_sub(last.time).saturating_abs() })
        });
        match &mut self.last_place {
            Some(last) if last.time > time => {}
            Some(last) if last.location == location => last.time = time,
            last => *last = Some(Sighting { location: location.to_owned(), time }),
        }
        trip
    }

    /// Notes the merchant; returns when the payer first paid it. At most `most` are remembered, those paid last.
    pub fn see_merchant(&mut self, merchant: &str, time: Millis, most: usize) -> Millis {
        see(&mut self.merchants, merchant, time, most)
    }

    /// Notes a user of the device and forgets those who have not paid with it since `since`; returns how many there are. At most `most` are
    /// remembered, those who paid last.
    pub fn see_user(&mut self, user: &str, time: Millis, since: Millis, most: usize) -> usize {
        see(&mut self.users, user, time, most);
        self.users.retain(|known| known.last > since || known.id == user);
        self.users.len()
    }
}

/// Notes one of a list; returns its first time.
fn see(list: &mut Vec<Known>, id: &str, time: Millis, most: usize) -> Millis {
    let place = list.iter().position(|known| known.id == id).unwrap_or_else(|| {
        if list.len() >= most.max(1) {
            list.remove(0);
        }
        list.push(Known { id: id.to_owned(), first: time, last: time });
        list.len() - 1
    });
    list[place..].rotate_left(1);
    list.last_mut().map_or(time, |known| {
        known.first = known.first.min(time);
        known.last = known.last.max(time);
        known.first
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_devices_used_last_are_remembered() {
        let mut payer = Payer::default();
        let mut check = |device: &str, expected: Device| assert_eq!(payer.see_device(Some(device), 2), expected, "{device}");
        check("", Device::None);
        check("a", Device::First);
        check("a", Device::Known);
        check("b", Device::New);
        check("a", Device::Known);
        check("c", Device::New);
        check("a", Device::Known);
        check("b", Device::New);
        assert_eq!(payer.devices, ["a", "b"]);
        assert_eq!(payer.see_device(None, 2), Device::None);
    }

    #[test]
    fn a_place_is_compared_with_the_newest_one_and_an_older_one_does_not_replace_it() {
        let places = Places::default();
        let mut payer = Payer::default();
        let mut check = |location: &str, time: Millis, expected: Option<(&str, f64, Millis)>| {
            let trip = payer.see_place(location, time, &places);
            assert_eq!(trip.as_ref().map(|trip| (trip.from.as_str(), trip.km.round(), trip.elapsed)), expected, "{location} at {time}");
        };
        check("Mumbai", 100, None);
        check("Mumbai", 150, Some(("Mumbai", 0.0, 50)));
        check("Delhi", 50, Some(("Mumbai", 1148.0, 100)));
        check("Delhi", 350, Some(("Mumbai", 1148.0, 200)));
        check("Mumbai", 350, Some(("Delhi", 1148.0, 0)));
    }

    #[test]
    fn a_merchant_is_known_since_its_earliest_payment() {
        let mut payer = Payer::default();
        let mut check = |merchant: &str, time: Millis, expected: Millis| {
            assert_eq!(payer.see_merchant(merchant, time, 2), expected, "{merchant} at {time}");
        };
        check("a", 10, 10);
        check("b", 20, 20);
        check("a", 30, 10);
        check("a", 5, 5);
        check("c", 40, 40);
        // Only two are remembered: b, paid longest ago, is new again.
        check("a", 50, 5);
        check("b", 60, 60);
    }

    #[test]
    fn users_of_a_device_are_those_who_paid_lately() {
        let mut device = Payer::default();
        let mut check = |user: &str, time: Millis, expected: usize| {
            assert_eq!(device.see_user(user, time, time - 100, 3), expected, "{user} at {time}");
        };
        check("ann", 0, 1);
        check("bob", 50, 2);
        check("ann", 60, 2);
        check("cid", 149, 3);
        check("cid", 150, 2);
        check("dan", 151, 3);
        check("eve", 152, 3);
        check("eve", 1_000, 1);
    }

    #[test]
    fn payments_beyond_those_that_are_kept_count_by_sixtieths() {
        let needs = Needs { spans: vec![minutes(1), hours(1)], row: 1, merchants: false };
        let mut payer = Payer::default();
        for second in 0..3_600 {
            payer.pay(Payment { time: seconds(second), amount: Money::of_hundredths(1) }, Millis::MIN, &needs, 100);
        }
        assert_eq!(payer.history.len(), 100);
        // The last minute is wholly in the history.
        assert_eq!(payer.total(minutes(1), seconds(3_599)).count, 60);
        assert_eq!(payer.total(hours(1), seconds(3_599)).count, 3_600);
        // A minute that is older is cut at most at a sixtieth of the hour.
        let found = payer.total(hours(1), seconds(3_659)).count;
        assert!((3_600 - 60 - 60..=3_600 - 60).contains(&found), "{found}");
        assert!(payer.tracks.iter().all(|track| track.buckets.len() <= 120), "{:?}", payer.tracks);
    }
}
