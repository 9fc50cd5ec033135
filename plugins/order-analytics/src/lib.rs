//! Orders, revenue and average per group in windows of event time, the groups that sell most, and alerts; told by the pipeline which.
//!
//! Windows and ranking are the SDK's; here is what is gathered and what is said about it. It never looks at the clock.

mod alert;
mod group;
mod input;
mod money;
mod record;
mod settings;
mod tell;

use sangam_sdk::top::TopN;
use sangam_sdk::window::{Untouched, WindowSpec};
use sangam_sdk::*;

use group::{Group, Sold};
use input::{Name, Part};
pub use record::Record;
pub use settings::{Role, Settings};

/// What one window of one key has gathered.
#[state]
pub struct OrderAnalytics {
    /// Groups, in an order that makes them easy to find; with the role `top` none.
    groups: Vec<Group>,
    /// The best of them; with the role `top` only.
    best: TopN<Group>,
    /// What all of them have sold; with the role `top` only.
    sold: Sold,
    /// Which alerts all of them have caused.
    alerted: u64,
}

/// Where results leave.
#[outputs]
pub enum Out {
    /// What a group has sold.
    Groups(Output<Record>),
    /// The groups that sell most.
    Top(Output<Record>),
    /// A limit has been crossed.
    Alerts(Output<Record>),
}

#[operator(key = "$all", window = configured)]
impl OrderAnalytics {
    /// The fields that are looked at.
    pub fn fields(settings: &Settings) -> Vec<FieldPath> {
        settings.fields()
    }

    /// Which windows.
    pub fn window(settings: &Settings) -> &WindowSpec {
        &settings.window
    }

    /// The window of a group that another operator has added up.
    pub fn bounds(row: &Row<'_>, settings: &Settings) -> Result<Window> {
        settings.bounds(row)
    }

    /// Takes an order into its group, or a group into the ranking.
    pub fn add(&mut self, row: Row<'_>, settings: &Settings, ctx: &Context) -> Result<(), Untouched> {
        if settings.role == Role::Top {
            self.rank(settings.part(&row)?, settings);
            return Ok(());
        }
        let order = settings.order(&row)?;
        let place = if settings.role == Role::Groups { self.only(&order.name, settings, ctx)? } else { self.find(&order.name) };
        if let Some(group) = self.groups.get_mut(place) {
            group.sold.add(1, order.cents);
        }
        Ok(())
    }

    /// Takes in what came later.
    pub fn merge(&mut self, later: Self) {
        group::merge(&mut self.groups, later.groups);
        self.alerted |= later.alerted;
    }

    /// What a window says that is still open.
    pub fn early(&mut self, w: Window, settings: &Settings, ctx: &Context) -> Vec<Out> {
        self.tell(w, false, settings, ctx)
    }

    /// What a window says at its end.
    pub fn close(mut self, w: Window, settings: &Settings, ctx: &Context) -> Vec<Out> {
        self.tell(w, true, settings, ctx)
    }
}

impl OrderAnalytics {
    /// The place of the group of this name.
    fn find(&mut self, name: &Name<'_>) -> usize {
        let hash = name.hash();
        self.groups.binary_search_by(|group| name.order(hash, group)).unwrap_or_else(|place| {
            self.groups.insert(place, Group { hash, name: name.owned(), ..Group::default() });
            place
        })
    }

    /// The place of the group that the key is.
    fn only(&mut self, name: &Name<'_>, settings: &Settings, ctx: &Context) -> Result<usize> {
        if self.groups.is_empty() {
            if !name.is_key(ctx) {
                return Err(not_its_key(settings));
            }
            self.groups.push(Group::default());
        }
        Ok(0)
    }

    /// Puts a group where it belongs now. A group only ever sells more, so one that is not among the best comes back by its own doing,
    /// and those behind them need not be kept.
    fn rank(&mut self, Part { group, added }: Part, settings: &Settings) {
        self.sold.add(added.orders, added.cents);
        let name = group.name.clone();
        self.best.update(&settings.top, group, |known| known.name == name);
    }
}

#[cold]
fn not_its_key(settings: &Settings) -> Error {
    reject(format!("with role = \"groups\" the operator's key is the group: write key = {:?} in the pipeline", settings.names))
}
