//! How a result that may still change says what changed: rows come, are replaced, and go.
//!
//! It does not say who is told: an operator sends the changes on as its events, or as values and tombstones of a compacted topic.

/// One step in the life of a row, as a changelog tells it. The four kinds are those of Flink's `RowKind`.
///
/// ```
/// use sangam_sdk::change::Change;
///
/// let told = [Change::Insert(1), Change::UpdateBefore(1), Change::UpdateAfter(2), Change::Delete(2)];
/// assert_eq!(told.each_ref().map(Change::symbol), ["+I", "-U", "+U", "-D"]);
/// let sum: i64 = told.into_iter().map(|change| if change.adds() { change.into_row() } else { -change.into_row() }).sum();
/// assert_eq!(sum, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// The row is new.
    Insert(T),
    /// The row as it was, taken back because another takes its place: an [`Change::UpdateAfter`] follows at once.
    UpdateBefore(T),
    /// The row as it is from now on.
    UpdateAfter(T),
    /// The row is gone.
    Delete(T),
}

impl<T> Change<T> {
    /// `+I`, `-U`, `+U` or `-D`.
    pub fn symbol(&self) -> &'static str {
        match self {
            Change::Insert(_) => "+I",
            Change::UpdateBefore(_) => "-U",
            Change::UpdateAfter(_) => "+U",
            Change::Delete(_) => "-D",
        }
    }

    /// Whether the row counts from now on; the others take a row back.
    pub fn adds(&self) -> bool {
        matches!(self, Change::Insert(_) | Change::UpdateAfter(_))
    }

    /// The row.
    pub fn row(&self) -> &T {
        match self {
            Change::Insert(row) | Change::UpdateBefore(row) | Change::UpdateAfter(row) | Change::Delete(row) => row,
        }
    }

    /// The row, by value.
    pub fn into_row(self) -> T {
        match self {
            Change::Insert(row) | Change::UpdateBefore(row) | Change::UpdateAfter(row) | Change::Delete(row) => row,
        }
    }
}
