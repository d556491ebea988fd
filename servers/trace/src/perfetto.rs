//! The part of Perfetto's trace format that is written here (`perfetto_trace.proto`, of which field numbers are taken).

use alloc::string::String;
use alloc::vec::Vec;

use prost::{Enumeration, Message};

/// An entry of the file, which is a sequence of these as field 1.
#[derive(Clone, PartialEq, Message)]
pub struct TracePacket {
    /// Nanoseconds since boot.
    #[prost(uint64, optional, tag = "8")]
    pub timestamp: Option<u64>,
    /// Who wrote it: one writer here.
    #[prost(uint32, optional, tag = "10")]
    pub trusted_packet_sequence_id: Option<u32>,
    /// Something that happened.
    #[prost(message, optional, tag = "11")]
    pub track_event: Option<TrackEvent>,
    /// A line of the picture.
    #[prost(message, optional, tag = "60")]
    pub track_descriptor: Option<TrackDescriptor>,
}

/// A line of the picture, or a group of lines.
#[derive(Clone, PartialEq, Message)]
pub struct TrackDescriptor {
    /// Its number.
    #[prost(uint64, optional, tag = "1")]
    pub uuid: Option<u64>,
    /// What is written beside it.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    /// The group it is in.
    #[prost(uint64, optional, tag = "5")]
    pub parent_uuid: Option<u64>,
    /// How the lines in it are ordered.
    #[prost(enumeration = "ChildOrdering", optional, tag = "11")]
    pub child_ordering: Option<i32>,
    /// Its place, where that is said.
    #[prost(int32, optional, tag = "12")]
    pub sibling_order_rank: Option<i32>,
}

/// The order of the lines of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum ChildOrdering {
    /// Any.
    Unknown = 0,
    /// By name.
    Lexicographic = 1,
    /// By first event.
    Chronological = 2,
    /// By rank.
    Explicit = 3,
}

/// Something that happened.
#[derive(Clone, PartialEq, Message)]
pub struct TrackEvent {
    /// Figures that come with it.
    #[prost(message, repeated, tag = "4")]
    pub debug_annotations: Vec<DebugAnnotation>,
    /// What it is.
    #[prost(enumeration = "EventType", optional, tag = "9")]
    pub r#type: Option<i32>,
    /// On which line.
    #[prost(uint64, optional, tag = "11")]
    pub track_uuid: Option<u64>,
    /// Of what kind.
    #[prost(string, repeated, tag = "22")]
    pub categories: Vec<String>,
    /// What is written on it.
    #[prost(string, optional, tag = "23")]
    pub name: Option<String>,
    /// Arrows that begin here.
    #[prost(fixed64, repeated, packed = "false", tag = "47")]
    pub flow_ids: Vec<u64>,
    /// Arrows that end here.
    #[prost(fixed64, repeated, packed = "false", tag = "48")]
    pub terminating_flow_ids: Vec<u64>,
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum EventType {
    /// Nothing.
    Unspecified = 0,
    /// A bar begins.
    SliceBegin = 1,
    /// The innermost bar ends.
    SliceEnd = 2,
    /// A mark.
    Instant = 3,
}

/// A figure with a name.
#[derive(Clone, PartialEq, Message)]
pub struct DebugAnnotation {
    /// The number.
    #[prost(int64, optional, tag = "4")]
    pub int_value: Option<i64>,
    /// Or the text.
    #[prost(string, optional, tag = "6")]
    pub string_value: Option<String>,
    /// What it is called.
    #[prost(string, optional, tag = "10")]
    pub name: Option<String>,
}
