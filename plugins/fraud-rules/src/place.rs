//! Where a payment was made: names of places, their coordinates, the distance between two.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Degrees north and east.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Degrees north of the equator.
    pub lat: f64,
    /// Degrees east of Greenwich.
    pub lon: f64,
}

impl Point {
    /// A point on the globe.
    pub fn new(lat: f64, lon: f64) -> Option<Point> {
        (lat.abs() <= 90.0 && lon.abs() <= 180.0).then_some(Point { lat, lon })
    }

    /// Kilometres to another point along the surface: the haversine formula over the mean radius.
    pub fn km_to(self, other: Point) -> f64 {
        const EARTH_KM: f64 = 6_371.0;
        let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
        let across = self.lat.to_radians().cos() * other.lat.to_radians().cos();
        let chord = half(self.lat, other.lat) + across * half(self.lon, other.lon);
        2.0 * EARTH_KM * chord.sqrt().min(1.0).asin()
    }
}

/// The places that payments name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, (f64, f64)>")]
pub struct Places(BTreeMap<String, Point>);

impl Places {
    /// Where `location` is: a name of the table, or `"19.08,72.88"`.
    pub fn find(&self, location: &str) -> Option<Point> {
        self.0.get(location).copied().or_else(|| {
            let (lat, lon) = location.split_once(',')?;
            Point::new(lat.trim().parse().ok()?, lon.trim().parse().ok()?)
        })
    }
}

impl TryFrom<BTreeMap<String, (f64, f64)>> for Places {
    type Error = String;

    fn try_from(table: BTreeMap<String, (f64, f64)>) -> Result<Self, String> {
        let mut places = BTreeMap::new();
        for (name, (lat, lon)) in table {
            let point = Point::new(lat, lon)
                .ok_or_else(|| format!("the place `{name}` is nowhere: write [degrees north, degrees east], up to 90 and 180"))?;
            places.insert(name, point);
        }
        Ok(Places(places))
    }
}

/// The cities of India that have most payments.
const CITIES: [(&str, f64, f64); 23] = [
    ("Ahmedabad", 23.0225, 72.5714),
    ("Bengaluru", 12.9716, 77.5946),
    ("Bhopal", 23.2599, 77.4126),
    ("Chandigarh", 30.7333, 76.7794),
    ("Chennai", 13.0827, 80.2707),
    ("Delhi", 28.6139, 77.2090),
    ("Ghaziabad", 28.6692, 77.4538),
    ("Guwahati", 26.1445, 91.7362),
    ("Hyderabad", 17.3850, 78.4867),
    ("Indore", 22.7196, 75.8577),
    ("Jaipur", 26.9124, 75.7873),
    ("Kanpur", 26.4499, 80.3319),
    ("Kochi", 9.9312, 76.2673),
    ("Kolkata", 22.5726, 88.3639),
    ("Lucknow", 26.8467, 80.9462),
    ("Ludhiana", 30.9010, 75.8573),
    ("Mumbai", 19.0760, 72.8777),
    ("Nagpur", 21.1458, 79.0882),
    ("Patna", 25.5941, 85.1376),
    ("Pune", 18.5204, 73.8567),
    ("Surat", 21.1702, 72.8311),
    ("Thane", 19.2183, 72.9781),
    ("Vadodara", 22.3072, 73.1812),
];

impl Default for Places {
    fn default() -> Self {
        Places(CITIES.iter().map(|(name, lat, lon)| ((*name).to_owned(), Point { lat: *lat, lon: *lon })).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_along_the_surface() {
        let check = |a: &str, b: &str, expected: f64| {
            let places = Places::default();
            let km = places.find(a).unwrap().km_to(places.find(b).unwrap());
            assert!((km - expected).abs() < 1.0, "{a} to {b}: {km}");
        };
        check("Mumbai", "Mumbai", 0.0);
        check("Mumbai", "Delhi", 1_148.0);
        check("Delhi", "Mumbai", 1_148.0);
        check("0,0", "0,180", std::f64::consts::PI * 6_371.0);
        check("0,179.5", "0,-179.5", 111.2);
        check("90,0", "-90, 50", std::f64::consts::PI * 6_371.0);
    }

    #[test]
    fn a_location_is_a_name_or_two_numbers() {
        let check = |location: &str, known: bool| assert_eq!(Places::default().find(location).is_some(), known, "{location}");
        check("Mumbai", true);
        check("19.08, 72.88", true);
        check("mumbai", false);
        check("Atlantis", false);
        check("91,0", false);
        check("nan,nan", false);
        check("", false);
    }
}
