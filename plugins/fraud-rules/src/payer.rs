//! What is remembered of a payer.

use sangam_sdk::*;

use crate::place::Places;
use crate::velocity::Track;

/// The state of one payer. Bounded: a track per span that rules ask for, the last place, a fixed number of devices.
#[state]
pub struct Payer {
    /// Event time of the newest payment.
    pub newest: Option<Millis>,
    /// One per span.
    pub tracks: Vec<Track>,
    /// Devices, the one used last at the end.
    pub devices: Vec<String>,
    /// The newest place.
    pub last_place: Option<Sighting>,
}

/// A place and when the payer was there.
#[state]
pub struct Sighting {
    /// The location as the payment has it.
    pub location: String,
    /// Event time.
    pub time: Millis,
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
        if self.last_place.as_ref().is_none_or(|last| last.time <= time) {
            self.last_place = Some(Sighting { location: location.to_owned(), time });
        }
        trip
    }
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
}
