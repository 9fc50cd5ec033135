//! What can go wrong with topics, sorted by what to do next.

/// An error of a broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// It may work in a moment: the broker is not reachable, a leader moves, a queue is full. Sangam tries again by itself.
    #[error("{0}")]
    Retry(String),
    /// The topic is not there. Create it, or set `create = true` for its stream.
    #[error("the topic `{0}` does not exist; create it, or set `create = true` for its stream")]
    NoTopic(String),
    /// The record can never be taken as it is, a message too large for one. It goes to the dead letters.
    #[error("{0}")]
    Refused(String),
    /// This process no longer may write or commit: another one has taken over. It gives up what is not committed.
    #[error("{0}")]
    Fenced(String),
    /// Nothing to be done without a person: wrong credentials, a wrong address, a file that cannot be opened.
    #[error("{0}")]
    Fatal(String),
    /// The store under an embedded broker failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}
