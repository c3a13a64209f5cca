//! The keys of `[compression]`.

use std::ops::RangeInclusive;

use super::super::keys::{Default, Form, Key, Reload};
use super::{CONNECTIONS_MAX, MIB};
use crate::limits::{COMPRESSION_LEVEL, COMPRESSION_THRESHOLD_BYTES, INFLATE_RATIO_MAX};
use crate::ws::deflate::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};

const WINDOW_BITS: RangeInclusive<u64> = WINDOW_BITS_MIN as u64..=WINDOW_BITS_MAX as u64;

pub(super) const ENABLED: Key = Key {
    section: "compression",
    name: "enabled",
    flag: "compression",
    value_name: "BOOL",
    unit: "",
    form: Form::Switch(|s, v| s.compression.enabled = Some(v)),
    reload: Reload::Restart,
    shown: |e| e.config.compression.is_enabled.to_string(),
    default: Default::Text("false"),
    help: "Whether messages are compressed for clients that offer permessage-deflate",
};

pub(super) const LEVEL: Key = Key {
    section: "compression",
    name: "level",
    flag: "compression-level",
    value_name: "N",
    unit: "",
    form: Form::Integer(1..=9, |s, v| s.compression.level = Some(v as u8)),
    reload: Reload::Restart,
    shown: |e| e.config.compression.level.to_string(),
    default: Default::Number(COMPRESSION_LEVEL as u64),
    help: "How hard: from 1, the fastest, to 9",
};

pub(super) const THRESHOLD_BYTES: Key = Key {
    section: "compression",
    name: "threshold_bytes",
    flag: "compression-threshold-bytes",
    value_name: "BYTES",
    unit: "bytes",
    form: Form::Integer(1..=1024 * MIB, |s, v| {
        s.compression.threshold_bytes = Some(v as usize);
    }),
    reload: Reload::Restart,
    shown: |e| e.config.compression.threshold_bytes.to_string(),
    default: Default::Number(COMPRESSION_THRESHOLD_BYTES as u64),
    help: "Messages of fewer bytes are sent as they are",
};

pub(super) const RATIO_MAX: Key = Key {
    section: "compression",
    name: "ratio_max",
    flag: "compression-ratio-max",
    value_name: "N",
    unit: "",
    form: Form::Integer(1..=2000, |s, v| s.compression.ratio_max = Some(v as u32)),
    reload: Reload::Restart,
    shown: |e| e.config.compression.ratio_max.to_string(),
    default: Default::Number(INFLATE_RATIO_MAX as u64),
    help: "Bytes that a message of more than 64 KiB may have for each byte sent; else closed with \
           1009. Of use where `limits.message_bytes_max` is larger than that",
};

pub(super) const SERVER_WINDOW_BITS: Key = Key {
    section: "compression",
    name: "server_window_bits",
    flag: "compression-server-window-bits",
    value_name: "BITS",
    unit: "",
    form: Form::Integer(WINDOW_BITS, |s, v| {
        s.compression.server_window_bits = Some(v as u8);
    }),
    reload: Reload::Restart,
    shown: |e| e.config.compression.server_window_bits.to_string(),
    default: Default::Number(15),
    help: "How far back the server's compressor refers, as a power of two, unless a client wants \
           less",
};

pub(super) const CLIENT_WINDOW_BITS: Key = Key {
    section: "compression",
    name: "client_window_bits",
    flag: "compression-client-window-bits",
    value_name: "BITS",
    unit: "",
    form: Form::Integer(WINDOW_BITS, |s, v| {
        s.compression.client_window_bits = Some(v as u8);
    }),
    reload: Reload::Restart,
    shown: |e| e.config.compression.client_window_bits.to_string(),
    default: Default::Number(15),
    help: "The same for clients that let the server say",
};

pub(super) const TAKEOVER_CONNECTIONS_MAX: Key = Key {
    section: "compression",
    name: "takeover_connections_max",
    flag: "compression-takeover-connections-max",
    value_name: "N",
    unit: "",
    form: Form::Integer(0..=CONNECTIONS_MAX, |s, v| {
        s.compression.takeover_connections_max = Some(v as u32);
    }),
    reload: Reload::Restart,
    shown: |e| e.config.compression.takeover_connections_max.to_string(),
    default: Default::Number(0),
    help: "Connections that may refer to their earlier messages, for 32 KiB of memory each; \
           rounded up to a multiple of the shards",
};
