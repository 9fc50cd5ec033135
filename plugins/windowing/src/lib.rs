//! Aggregates over windows of event time, per key, told by the pipeline which windows and what to gather: nobody writes code to use it.
//!
//! The windows are those of the SDK; here is only what they gather. It never looks at the clock.

pub mod aggregate;
mod cell;
mod distinct;
mod number;
mod quantile;
mod settings;
mod summary;

use sangam_sdk::window::WindowSpec;
use sangam_sdk::*;

pub use aggregate::Aggregates;
use cell::{Cell, Scalar};
pub use number::Number;
pub use settings::Settings;
pub use summary::Summary;

/// What one window has gathered.
#[state]
pub struct Windowing {
    /// One for each aggregate, in the order of the configuration.
    cells: Vec<Cell>,
}

#[operator(keyed, window = configured)]
impl Windowing {
    /// The fields that the aggregates are made of. An event may lack them.
    pub fn fields(settings: &Settings) -> Vec<FieldPath> {
        settings.aggregate().fields.iter().map(FieldPath::optional).collect()
    }

    /// Which windows.
    pub fn window(settings: &Settings) -> &WindowSpec {
        settings.window()
    }

    /// Takes an event in; refuses one whose field does not hold what an aggregate is made of.
    pub fn add(&mut self, row: Row<'_>, settings: &Settings, ctx: &Context) -> Result<()> {
        self.grow(settings);
        for (aggregate, cell) in settings.aggregate().list.iter().zip(&mut self.cells) {
            let Some(place) = aggregate.field else {
                cell.count();
                continue;
            };
            if let Some(value) = row.get::<Option<Scalar<'_>>>(place)? {
                cell.take(aggregate.function, value, ctx.time()).map_err(|_| no_number(settings, place))?;
            }
        }
        Ok(())
    }

    /// Takes in what came later.
    pub fn merge(&mut self, later: Self, settings: &Settings) {
        self.grow(settings);
        for ((aggregate, cell), later) in settings.aggregate().list.iter().zip(&mut self.cells).zip(later.cells) {
            cell.merge(aggregate.function, later);
        }
    }

    /// What a window emits.
    pub fn close(&self, w: Window, settings: &Settings, ctx: &Context) -> Summary {
        Summary::new(ctx, w, settings.aggregate(), &self.cells)
    }
}

impl Windowing {
    /// Longer than what was stored if an aggregate has been added to the configuration since.
    fn grow(&mut self, settings: &Settings) {
        for aggregate in settings.aggregate().list.iter().skip(self.cells.len()) {
            self.cells.push(Cell::new(aggregate.function));
        }
    }
}

#[cold]
fn no_number(settings: &Settings, place: usize) -> Error {
    reject(format!("the field `{}` is not a number", settings.aggregate().fields.get(place).map_or("", String::as_str)))
}
