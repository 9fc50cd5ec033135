//! Kafka's errors, sorted by what to do next and put into words that name the cluster and the remedy.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::broker::BrokerError;

/// Sorts an error that came up while `doing` something (`read the topic a`) at a cluster.
pub(super) fn sort(error: &KafkaError, doing: &str, cluster: &str) -> BrokerError {
    match error {
        KafkaError::AdminOp(code) => sort_code(*code, doing, cluster),
        _ => match error.rdkafka_error_code() {
            Some(code) => sort_code(code, doing, cluster),
            None => BrokerError::Fatal(format!("Kafka at {cluster}: cannot {doing}: {error}")),
        },
    }
}

/// Sorts an error by its code.
pub(super) fn sort_code(code: Code, doing: &str, cluster: &str) -> BrokerError {
    let text = |remedy: &str| format!("Kafka at {cluster}: cannot {doing}: {}; {remedy}", describe(code));
    match code {
        Code::IllegalGeneration | Code::UnknownMemberId | Code::FencedInstanceId | Code::AssignmentLost => {
            BrokerError::Fenced(text("another member of the group has taken over"))
        }
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => BrokerError::Fenced(text("another writer has taken over")),
        // An idempotent producer that lost track cannot go on; a new one can, from the last commit.
        Code::Fatal | Code::GaplessGuarantee | Code::OutOfOrderSequenceNumber | Code::UnknownProducerId => {
            BrokerError::Fenced(text("this writer is given up, and a new one starts from the last commit"))
        }
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::InvalidRecord => {
            BrokerError::Refused(text("the record cannot be written as it is"))
        }
        // Brokers take no more than an hour ahead of their clock unless told otherwise.
        Code::InvalidTimestamp => BrokerError::Refused(text(
            "its time is too far from the broker's clock: see the topic's `message.timestamp.after.max.ms` and `message.timestamp.before.max.ms`",
        )),
        Code::Resolve => BrokerError::Retry(text("check the host's name")),
        Code::BrokerTransportFailure | Code::AllBrokersDown => BrokerError::Retry(text(UNREACHABLE)),
        _ if is_transient(code) => BrokerError::Retry(text("it will be tried again")),
        _ if is_refusal(code) => BrokerError::Fatal(text("check `security.protocol` and the `sasl.*` and `ssl.*` properties")),
        Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            BrokerError::Fatal(text("this user lacks the right; have it granted (an ACL)"))
        }
        Code::UnknownPartition => BrokerError::Fatal(text("the topic's number of partitions is not what it was")),
        _ => BrokerError::Fatal(format!("Kafka at {cluster}: cannot {doing}: {}", describe(code))),
    }
}

/// What to look at when nothing answers.
const UNREACHABLE: &str = "check that a broker runs there, and that nothing on the way blocks the port";

/// The cluster did not answer within the time; `reason` is the last thing that its client said.
pub(super) fn unreachable(cluster: &str, reason: Option<&str>) -> BrokerError {
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    BrokerError::Retry(format!("Kafka at {cluster} does not answer{reason}; {UNREACHABLE}"))
}

/// A partition ends before the offset up to which it was read.
pub(super) fn cut_off(topic: &str, partition: i32, read: i64, end: i64, cluster: &str) -> BrokerError {
    BrokerError::Fatal(format!(
        "Kafka at {cluster}: {topic}/{partition} was read up to offset {read} and ends at {end} now: it was deleted and made anew, or has lost \
         records; what is in it cannot be told from what was read before. Give the pipeline another `name` to read it from its start, or \
         restore a savepoint"
    ))
}

/// The cluster answered, and does not let us in.
pub(super) fn refused(cluster: &str, reason: &str) -> BrokerError {
    BrokerError::Fatal(format!(
        "Kafka at {cluster} refuses us ({reason}); check `security.protocol` and the `sasl.*` and `ssl.*` properties"
    ))
}

/// True where a wrong password, mechanism or certificate is to blame.
pub(super) fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SSL
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::SecurityDisabled
    )
}

/// True where a topic, or a partition of it, is not there.
pub(super) fn is_no_topic(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic)
}

fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::QueueFull
            | Code::Retry
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::DestroyBroker
            | Code::PurgeQueue
            | Code::PurgeInflight
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotController
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::RebalanceInProgress
            | Code::KafkaStorageError
            | Code::ConcurrentTransactions
            | Code::UnstableOffsetCommit
            | Code::ThrottlingQuotaExceeded
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::ListenerNotFound
    )
}

/// Its words without the name of its constant: `Broker: Message size too large`.
fn describe(code: Code) -> String {
    let text = code.to_string();
    match text.split_once(" (") {
        Some((_, words)) => words.trim_end_matches(')').to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: Code) -> &'static str {
        match sort_code(code, "commit", "localhost:9092") {
            BrokerError::Retry(_) => "retry",
            BrokerError::NoTopic(_) => "no topic",
            BrokerError::Refused(_) => "refused",
            BrokerError::Fenced(_) => "fenced",
            BrokerError::Fatal(_) => "fatal",
            BrokerError::Store(_) => "store",
        }
    }

    #[test]
    fn errors_are_sorted_by_what_to_do_next() {
        let cases = [
            (Code::BrokerTransportFailure, "retry"),
            (Code::AllBrokersDown, "retry"),
            (Code::RebalanceInProgress, "retry"),
            (Code::NotCoordinator, "retry"),
            (Code::MessageTimedOut, "retry"),
            (Code::IllegalGeneration, "fenced"),
            (Code::UnknownMemberId, "fenced"),
            (Code::ProducerFenced, "fenced"),
            (Code::MessageSizeTooLarge, "refused"),
            (Code::Authentication, "fatal"),
            (Code::TopicAuthorizationFailed, "fatal"),
            (Code::InvalidReplicationFactor, "fatal"),
        ];
        for (code, expected) in cases {
            assert_eq!(class(code), expected, "{code}");
        }
    }

    #[test]
    fn an_error_names_the_cluster_what_was_tried_and_the_remedy() {
        let error = sort_code(Code::BrokerTransportFailure, "commit offsets", "kafka.example:9092").to_string();
        assert_eq!(
            error,
            "Kafka at kafka.example:9092: cannot commit offsets: Local: Broker transport failure; \
             check that a broker runs there, and that nothing on the way blocks the port"
        );
    }
}
