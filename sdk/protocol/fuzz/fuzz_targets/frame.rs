//! The guest's decoder, on any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sangam_protocol::frame::Frame;

#[path = "../walk.rs"]
mod walk;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = Frame::read(bytes) {
        walk::frame(&frame);
    }
});
