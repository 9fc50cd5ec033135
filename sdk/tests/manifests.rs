//! The manifest that the macros put together is the one that the host reads.

#![expect(dead_code, reason = "only the manifests are looked at")]

use sangam_protocol::manifest::{Kind, Manifest};
use sangam_sdk::*;

#[event]
struct Sale {
    shop: String,
    #[event(path = "user.\"id\"")]
    user: Option<u32>,
    lines: Vec<Value>,
    photo: Vec<u8>,
}
#[event]
struct Ping;
#[event(tag = "kind")]
enum Activity {
    Sale(Sale),
    PingPong(Ping),
}
#[state]
struct Memory {
    count: u64,
    seen: Map<String, u64>,
    last: List<f64>,
}
#[config]
struct Rules {
    max: f64,
    #[config(default)]
    names: Vec<String>,
    note: Option<String>,
}
#[outputs]
enum Out {
    Main(Forward),
    SideDoor(Ping),
}

#[operator]
fn plain(sale: Sale) -> Option<Sale> {
    Some(sale)
}

#[operator(key = "shop, user.id")]
fn full(_activity: Activity, _memory: &mut Memory, _rules: &Rules) -> Result<Vec<Out>> {
    Ok(vec![])
}

#[operator]
fn bytes(_event: Raw<'_>) {}

#[config]
struct Dynamic {
    field: String,
}
#[operator(keyed)]
impl Dynamic {
    fn fields(&self) -> Vec<FieldPath> {
        vec![FieldPath::required(&self.field)]
    }
    fn on_event(&self, _row: Row<'_>) {}
    fn on_timer(&self, _timer: Timer) -> Ping {
        Ping
    }
}

#[operator(key = "shop", window = "1h", lateness = "5m")]
impl Memo {
    fn add(&mut self, _sale: Sale) {
        self.count += 1;
    }
    fn close(self, _window: Window) -> Ping {
        Ping
    }
}
#[state]
struct Memo {
    count: u64,
}

fn manifest<O: Operator>() -> Manifest {
    let manifest: Manifest = serde_json::from_str(O::MANIFEST).unwrap_or_else(|error| panic!("{error}: {}", O::MANIFEST));
    manifest.check().unwrap_or_else(|why| panic!("{why}: {}", O::MANIFEST));
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")));
    manifest
}

#[test]
fn fields_are_listed_with_path_type_and_whether_they_may_lack() {
    let manifest = manifest::<plain>();
    let event = &manifest.inputs[0].types[0];
    let fields: Vec<_> = event.fields.iter().map(|field| (field.path.as_str(), field.kind.as_str(), field.optional)).collect();
    assert_eq!(event.name, "Sale");
    assert_eq!(fields, [("shop", "str", false), ("user.\"id\"", "u32", true), ("lines", "array", false), ("photo", "bytes", false)]);
    assert_eq!((manifest.kind, manifest.outputs.as_slice(), manifest.state), (Kind::Stateless, &["out".to_owned()][..], None));
}

#[test]
fn keys_ports_config_and_state_are_read_off_the_signature() {
    let manifest = manifest::<full>();
    assert_eq!((manifest.kind, manifest.key.join(" ")), (Kind::Keyed, "shop user.id".to_owned()));
    assert_eq!(manifest.inputs[0].tag.as_deref(), Some("kind"));
    assert_eq!(manifest.inputs[0].types.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["sale", "ping_pong"]);
    assert_eq!(manifest.outputs, ["main", "side_door"]);
    let config: Vec<_> = manifest.config.iter().map(|field| (field.name.as_str(), field.kind.as_str(), field.required)).collect();
    assert_eq!(config, [("max", "f64", true), ("names", "array", false), ("note", "str", false)]);
    let state = manifest.state.unwrap();
    let fields: Vec<_> = state.fields.iter().map(|field| (field.name.as_str(), field.kind.as_str())).collect();
    assert_eq!((state.name.as_str(), state.version, fields), ("Memory", 1, vec![("count", "u64"), ("seen", "map"), ("last", "list")]));
}

#[test]
fn an_operator_that_declares_no_fields_takes_bytes_and_one_over_rows_is_dynamic() {
    let raw = manifest::<bytes>();
    assert!(raw.inputs[0].types.is_empty() && !raw.inputs[0].dynamic && raw.outputs.is_empty());
    let dynamic = manifest::<Dynamic>();
    assert!(dynamic.inputs[0].dynamic);
    assert_eq!((dynamic.kind, dynamic.outputs), (Kind::Keyed, vec!["out".to_owned()]), "on_timer's ports count where on_event has none");
}

#[test]
fn a_window_is_an_operator_with_state_like_any_other() {
    let manifest = manifest::<Memo>();
    assert_eq!((manifest.kind, manifest.state.unwrap().name), (Kind::Keyed, "Memo".to_owned()));
}
