//! The queue of one partition inside librdkafka, taken apart from the consumer's common one, and read in batches.
//!
//! The crate offers the same one message at a time, with an allocation and a look at the clock for each, at almost twice the cost.
//! All code here that the compiler cannot check is short and says what it relies on.

use std::ffi::CString;
use std::os::raw::c_void;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use rdkafka::bindings as native;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::{RDKafka, RDKafkaRespErr};

use super::headers;
use super::wake::Wake;
use crate::events::{Events, Record};
use crate::time::WATERMARK_MIN;

/// A partition's own queue. Drop it before its client.
pub(super) struct PartitionQueue {
    native: NonNull<native::rd_kafka_queue_t>,
    /// Kept alive for the library, which calls it through a bare pointer.
    _wake: Arc<Wake>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for PartitionQueue {}

/// Room for the messages of one batch, to be used again and again.
pub(super) struct Batch {
    messages: Vec<*mut native::rd_kafka_message_t>,
    headers: Vec<u8>,
}

// SAFETY: the pointers live only within one call of `take`.
unsafe impl Send for Batch {}

/// The most messages taken at once: enough to spread the cost of the call, few enough that one partition does not hold up the others.
pub(super) const BATCH_RECORDS_MAX: usize = 512;

/// What a batch brought.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Records appended.
    pub(super) records: usize,
    /// Their bytes.
    pub(super) bytes: usize,
    /// The largest of them, in bytes.
    pub(super) record_len_max: usize,
    /// The offset of the first of them.
    pub(super) first: Option<i64>,
    /// The lowest offset that is wanted. A client that has paused and resumed may bring records again, and none counts twice.
    pub(super) floor: i64,
    /// The offset at which the partition ends for now, if the client was asked to tell and the batch got as far. Nothing before it is still
    /// to come, not even a marker at the end of a transaction, which no reader ever sees.
    pub(super) end: Option<i64>,
    /// An error of the partition that stood among them.
    pub(super) error: Option<Code>,
}

// === impl Taken ===

impl Taken {
    /// Nothing yet, and nothing wanted below an offset.
    pub(super) fn from(floor: i64) -> Taken {
        Taken { floor, ..Taken::default() }
    }
}

// === impl Batch ===

impl Batch {
    pub(super) fn new() -> Batch {
        Batch { messages: vec![ptr::null_mut(); BATCH_RECORDS_MAX], headers: Vec::new() }
    }
}

// === impl PartitionQueue ===

impl PartitionQueue {
    /// Splits a partition's queue off. Do so before the partition is assigned, so that no record takes the common way.
    ///
    /// # Safety
    /// `client` is a live consumer, and outlives what is returned.
    pub(super) unsafe fn split(client: *mut RDKafka, topic: &str, partition: i32, wake: Arc<Wake>) -> Option<PartitionQueue> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the client lives, the name ends with zero.
        let native = NonNull::new(unsafe { native::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition) })?;
        // SAFETY: the queue is ours until it is destroyed in `drop`; `wake` lives as long, and the call back is taken away before.
        unsafe {
            native::rd_kafka_queue_forward(native.as_ptr(), ptr::null_mut());
            native::rd_kafka_queue_cb_event_enable(native.as_ptr(), Some(call_wake), Arc::as_ptr(&wake).cast_mut().cast());
        }
        Some(PartitionQueue { native, _wake: wake })
    }

    /// Appends at most `max` records that are there now, from the offset `floor` on.
    pub(super) fn take(&mut self, max: usize, batch: &mut Batch, floor: i64, into: &mut Events) -> Taken {
        let max = max.min(BATCH_RECORDS_MAX);
        // SAFETY: the queue is live and there is room for `max` pointers.
        let count = unsafe { native::rd_kafka_consume_batch_queue(self.native.as_ptr(), 0, batch.messages.as_mut_ptr(), max) };
        let mut taken = Taken::from(floor);
        for &message in batch.messages.iter().take(usize::try_from(count).unwrap_or(0)) {
            // SAFETY: the library has handed the message over; it lives until we destroy it, and nothing of it is kept.
            unsafe {
                copy(message, &mut batch.headers, into, &mut taken);
                native::rd_kafka_message_destroy(message);
            }
        }
        taken
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is ours. Taking the call back away waits for one that runs, so `wake` is not needed after it.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.native.as_ptr(), None, ptr::null_mut());
            native::rd_kafka_queue_destroy(self.native.as_ptr());
        }
    }
}

unsafe extern "C" fn call_wake(_: *mut RDKafka, wake: *mut c_void) {
    // SAFETY: `split` gave the pointer, and `drop` takes it back before the wake goes.
    unsafe { &*wake.cast::<Wake>() }.call();
}

/// Appends one message.
///
/// # Safety
/// `message` points to a live message.
pub(super) unsafe fn copy(message: *mut native::rd_kafka_message_t, scratch: &mut Vec<u8>, into: &mut Events, taken: &mut Taken) {
    // SAFETY: the caller says that it lives; key and payload belong to it.
    let (fields, key, value) = unsafe {
        let fields = &*message;
        (fields, bytes(fields.key, fields.key_len), bytes(fields.payload, fields.len))
    };
    if fields.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF {
        taken.end = Some(fields.offset);
        return;
    }
    if fields.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        taken.error = Some(Code::from(fields.err));
        return;
    }
    if fields.offset < taken.floor {
        return;
    }
    taken.first.get_or_insert(fields.offset);
    taken.floor = fields.offset + 1;
    scratch.clear();
    // SAFETY: as above.
    let time = unsafe {
        headers::read(message, scratch);
        native::rd_kafka_message_timestamp(message, ptr::null_mut())
    };
    let time = if time < 0 { WATERMARK_MIN } else { time };
    into.push(&Record { key, value, headers: scratch, time, partition: fields.partition, offset: fields.offset });
    let len = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + scratch.len();
    taken.records += 1;
    taken.bytes += len;
    taken.record_len_max = taken.record_len_max.max(len);
}

/// # Safety
/// `at` is null or points to `len` bytes that live for `'a`.
unsafe fn bytes<'a>(at: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's word.
    (!at.is_null()).then(|| unsafe { slice::from_raw_parts(at.cast(), len) })
}

/// The offset of the oldest record and the one after the newest, as the last fetch told them; `None` before the first.
///
/// # Safety
/// `client` is a live consumer.
pub(super) unsafe fn watermarks(client: *mut RDKafka, topic: &str, partition: i32) -> Option<(i64, i64)> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client lives, the name ends with zero, the results go to our own variables.
    let result = unsafe { native::rd_kafka_get_watermark_offsets(client, topic.as_ptr(), partition, &mut low, &mut high) };
    (result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some((low, high))
}

/// The offset behind everything of a partition that the consumer's queue has handed out, markers of transactions included; `None` before the
/// first.
///
/// # Safety
/// `client` is a live consumer.
pub(super) unsafe fn position(client: *mut RDKafka, topic: &str, partition: i32) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    // SAFETY: the list is ours until it is destroyed here, and has the one element that is added to it.
    unsafe {
        let list = native::rd_kafka_topic_partition_list_new(1);
        native::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), partition);
        let result = native::rd_kafka_position(client, list);
        let offset = (*(*list).elems).offset;
        native::rd_kafka_topic_partition_list_destroy(list);
        (result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && offset >= 0).then_some(offset)
    }
}

/// The generation of the group that a consumer is a member of; `None` outside of it.
///
/// # Safety
/// `client` is a live consumer.
pub(super) unsafe fn generation(client: *mut RDKafka) -> Option<i32> {
    // SAFETY: the client lives; what it gives is ours until it is destroyed here.
    let generation = unsafe {
        let member = NonNull::new(native::rd_kafka_consumer_group_metadata(client))?;
        let generation = native::rd_kafka_consumer_group_metadata_generation_id(member.as_ptr());
        native::rd_kafka_consumer_group_metadata_destroy(member.as_ptr());
        generation
    };
    (generation >= 0).then_some(generation)
}
