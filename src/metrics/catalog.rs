//! The closed list of the series that a shard counts.
//!
//! Invariants: M1: a metric's index is its position in [`Metric::ALL`], so counters are plain
//! arrays; M2: family and label value together are unique; M3: a series has a label value exactly
//! when its family has a label. `docs/metrics.md` is generated from this list.

use super::families::{self, Family};
use crate::base::ErrorCode;
use crate::ws::fault::PeerFault;
use crate::ws::refusal::Refusal;

struct Row {
    family: &'static Family,
    value: Option<&'static str>,
}

macro_rules! optional {
    () => {
        None
    };
    ($value:literal) => {
        Some($value)
    };
}

/// One line for each series: `Variant = FAMILY` or `Variant = FAMILY, "label value"`.
macro_rules! catalog {
    ($($variant:ident = $family:ident $(, $value:literal)?;)*) => {
        /// One series that shards count.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Metric {
            $(
                #[doc = concat!("`", stringify!($family) $(, ", ", $value)?, "`")]
                $variant,
            )*
        }

        impl Metric {
            /// Every series, in the order of their indices.
            pub const ALL: &'static [Metric] = &[$(Metric::$variant),*];
        }

        static ROWS: [Row; Metric::COUNT] = [
            $(Row { family: &families::$family, value: optional!($($value)?) }),*
        ];
    };
}

catalog! {
    ConnectionsAccepted = ACCEPTED;
    ConnectionsOpen = OPEN;
    DirectDescriptors = DESCRIPTORS;
    ClosedNormal = CLOSED, "1000";
    ClosedGoingAway = CLOSED, "1001";
    ClosedProtocolError = CLOSED, "1002";
    ClosedUnsupportedData = CLOSED, "1003";
    ClosedNoStatus = CLOSED, "1005";
    ClosedAbnormal = CLOSED, "1006";
    ClosedInvalidPayload = CLOSED, "1007";
    ClosedPolicy = CLOSED, "1008";
    ClosedTooBig = CLOSED, "1009";
    ClosedInternal = CLOSED, "1011";
    ClosedTryLater = CLOSED, "1013";
    ClosedSlowConsumer = CLOSED, "4001";
    ClosedHeartbeatLost = CLOSED, "4002";
    ClosedPositionLost = CLOSED, "4003";
    ClosedTokenExpired = CLOSED, "4004";
    ClosedBadRequest = CLOSED, "4500";
    ClosedUnauthorized = CLOSED, "4501";
    ClosedLimit = CLOSED, "4502";
    ClosedByOperator = CLOSED, "4503";
    ClosedOther = CLOSED, "other";

    HandshakesCompleted = HANDSHAKES;
    RefusedBadRequest = REFUSED, "bad_request";
    RefusedUnauthorized = REFUSED, "unauthorized";
    RefusedForbidden = REFUSED, "forbidden";
    RefusedNotFound = REFUSED, "not_found";
    RefusedMethodNotAllowed = REFUSED, "method_not_allowed";
    RefusedUpgradeRequired = REFUSED, "upgrade_required";
    RefusedWrongVersion = REFUSED, "wrong_version";
    RefusedHeadTooLarge = REFUSED, "head_too_large";
    RefusedTooManyFromAddress = REFUSED, "too_many_from_address";
    RefusedUnavailable = REFUSED, "unavailable";
    RefusedTimeout = REFUSED, "timeout";
    RefusedByApplication = REFUSED, "application";
    AcceptFailures = ACCEPT_FAILURES;
    AcceptTableFull = ACCEPT_TABLE_FULL;

    FaultReservedBits = PEER_FAULTS, "reserved_bits";
    FaultReservedOpcode = PEER_FAULTS, "reserved_opcode";
    FaultUnmasked = PEER_FAULTS, "unmasked";
    FaultMasked = PEER_FAULTS, "masked";
    FaultLengthNotMinimal = PEER_FAULTS, "length_not_minimal";
    FaultLengthOverflow = PEER_FAULTS, "length_overflow";
    FaultControlTooLong = PEER_FAULTS, "control_too_long";
    FaultControlFragmented = PEER_FAULTS, "control_fragmented";
    FaultUnexpectedContinuation = PEER_FAULTS, "unexpected_continuation";
    FaultExpectedContinuation = PEER_FAULTS, "expected_continuation";
    FaultTooManyFragments = PEER_FAULTS, "too_many_fragments";
    FaultMessageTooLarge = PEER_FAULTS, "message_too_large";
    FaultInvalidUtf8 = PEER_FAULTS, "invalid_utf8";
    FaultBadCloseCode = PEER_FAULTS, "bad_close_code";
    FaultBadClosePayload = PEER_FAULTS, "bad_close_payload";
    FaultBadCloseReason = PEER_FAULTS, "bad_close_reason";
    FaultDeflateCorrupt = PEER_FAULTS, "deflate_corrupt";
    FaultDeflateRatio = PEER_FAULTS, "deflate_ratio";

    MessagesReceived = MESSAGES_RECEIVED;
    MessagesSent = MESSAGES_SENT;
    ReceivedBytes = RECEIVED_BYTES;
    SentBytes = SENT_BYTES;
    PingsReceived = PINGS_RECEIVED;
    PingsSent = PINGS_SENT;
    PingsDropped = PINGS_DROPPED;
    PongsReceived = PONGS_RECEIVED;
    PongsSent = PONGS_SENT;
    HeartbeatsLost = HEARTBEATS_LOST;

    PublishesAccepted = PUBLISHES;
    PublishesRefused = PUBLISHES_REFUSED;
    Deliveries = DELIVERIES;
    DroppedByClose = DELIVERIES_DROPPED, "close";
    DroppedOldest = DELIVERIES_DROPPED, "drop_oldest";
    DroppedByConflation = DELIVERIES_DROPPED, "conflate";
    SlowConsumersClosed = SLOW_CONSUMERS;
    LastWordsLost = LAST_WORDS_LOST;
    DrainPaced = DRAINED, "paced";
    DrainLate = DRAINED, "late";
    Topics = TOPICS;
    Subscriptions = SUBSCRIPTIONS;
    ErrorBadRequest = ERRORS_SENT, "bad_request";
    ErrorUnauthorized = ERRORS_SENT, "unauthorized";
    ErrorForbidden = ERRORS_SENT, "forbidden";
    ErrorUnknownTopic = ERRORS_SENT, "unknown_topic";
    ErrorTooLarge = ERRORS_SENT, "too_large";
    ErrorRateLimited = ERRORS_SENT, "rate_limited";
    ErrorLimitExceeded = ERRORS_SENT, "limit_exceeded";
    ErrorOverloaded = ERRORS_SENT, "overloaded";
    ErrorUnavailable = ERRORS_SENT, "unavailable";
    ErrorInternal = ERRORS_SENT, "internal";

    EgressQueuedBytes = EGRESS_QUEUED_BYTES;
    IngressPartialBytes = INGRESS_PARTIAL_BYTES;
    CompressionAgreed = COMPRESSION_AGREED;
    CompressionDeclined = COMPRESSION_DECLINED;
    TakeoversRefused = TAKEOVERS_REFUSED;
    CompressedMessages = COMPRESSED_MESSAGES;
    CompressedBytesIn = COMPRESSED_BYTES_IN;
    CompressedBytesOut = COMPRESSED_BYTES_OUT;
    CompressionMicroseconds = COMPRESSION_MICROSECONDS;
    CompressionGivenUp = COMPRESSION_GIVEN_UP;
    CompressionSkipped = COMPRESSION_SKIPPED;
    InflatedMessages = INFLATED_MESSAGES;
    InflatedBytesIn = INFLATED_BYTES_IN;
    InflatedBytesOut = INFLATED_BYTES_OUT;
    InflateMicroseconds = INFLATE_MICROSECONDS;
    InflateStalls = INFLATE_STALLS;
    ReadsPaused = READS_PAUSED;
    FastSends = FAST_SENDS;
    ShortSends = SHORT_SENDS;
    QueuedSends = QUEUED_SENDS;

    LaneFull = LANE_FULL;
    LaneDepth = LANE_DEPTH;
    LaneRequests = LANE_REQUESTS;
    LaneResponses = LANE_RESPONSES;
    DoorbellsRung = DOORBELLS;
    ShardsRunning = SHARDS_RUNNING;
    Turns = TURNS;
    LoopBusyMicroseconds = BUSY;
    RecvStarved = RECV_STARVED;
    CqOverflow = CQ_OVERFLOW;
    SqFull = SQ_FULL;
    StaleCompletions = STALE;
}

impl Metric {
    /// How many series there are.
    pub const COUNT: usize = Metric::ALL.len();

    /// Position in arrays of counters.
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The family that the series belongs to.
    pub fn family(self) -> &'static Family {
        ROWS[self.index()].family
    }

    /// The label that tells it from others of its family: key and value.
    pub fn label(self) -> Option<(&'static str, &'static str)> {
        self.family().label.zip(ROWS[self.index()].value)
    }

    /// The series of connections that ended with this close code.
    pub fn closed(code: u16) -> Metric {
        match code {
            1000 => Metric::ClosedNormal,
            1001 => Metric::ClosedGoingAway,
            1002 => Metric::ClosedProtocolError,
            1003 => Metric::ClosedUnsupportedData,
            1005 => Metric::ClosedNoStatus,
            1006 => Metric::ClosedAbnormal,
            1007 => Metric::ClosedInvalidPayload,
            1008 => Metric::ClosedPolicy,
            1009 => Metric::ClosedTooBig,
            1011 => Metric::ClosedInternal,
            1013 => Metric::ClosedTryLater,
            4001 => Metric::ClosedSlowConsumer,
            4002 => Metric::ClosedHeartbeatLost,
            4003 => Metric::ClosedPositionLost,
            4004 => Metric::ClosedTokenExpired,
            4500 => Metric::ClosedBadRequest,
            4501 => Metric::ClosedUnauthorized,
            4502 => Metric::ClosedLimit,
            4503 => Metric::ClosedByOperator,
            _ => Metric::ClosedOther,
        }
    }

    /// The series of handshakes refused so.
    pub fn refused(refusal: Refusal) -> Metric {
        match refusal {
            Refusal::BadRequest(_) => Metric::RefusedBadRequest,
            Refusal::Unauthorized => Metric::RefusedUnauthorized,
            Refusal::Forbidden => Metric::RefusedForbidden,
            Refusal::NotFound => Metric::RefusedNotFound,
            Refusal::MethodNotAllowed => Metric::RefusedMethodNotAllowed,
            Refusal::UpgradeRequired => Metric::RefusedUpgradeRequired,
            Refusal::WrongVersion => Metric::RefusedWrongVersion,
            Refusal::TooManyFromAddress => Metric::RefusedTooManyFromAddress,
            Refusal::HeadTooLarge => Metric::RefusedHeadTooLarge,
            Refusal::Unavailable { .. } => Metric::RefusedUnavailable,
            Refusal::Application { .. } => Metric::RefusedByApplication,
        }
    }

    /// The series of peers at fault in this way.
    pub fn fault(fault: PeerFault) -> Metric {
        match fault {
            PeerFault::ReservedBits => Metric::FaultReservedBits,
            PeerFault::ReservedOpcode => Metric::FaultReservedOpcode,
            PeerFault::ControlFragmented => Metric::FaultControlFragmented,
            PeerFault::ControlTooLong => Metric::FaultControlTooLong,
            PeerFault::Unmasked => Metric::FaultUnmasked,
            PeerFault::Masked => Metric::FaultMasked,
            PeerFault::LengthNotMinimal => Metric::FaultLengthNotMinimal,
            PeerFault::LengthOverflow => Metric::FaultLengthOverflow,
            PeerFault::UnexpectedContinuation => Metric::FaultUnexpectedContinuation,
            PeerFault::ExpectedContinuation => Metric::FaultExpectedContinuation,
            PeerFault::TooManyFragments => Metric::FaultTooManyFragments,
            PeerFault::MessageTooLarge => Metric::FaultMessageTooLarge,
            PeerFault::InvalidUtf8 => Metric::FaultInvalidUtf8,
            PeerFault::BadClosePayload => Metric::FaultBadClosePayload,
            PeerFault::BadCloseCode => Metric::FaultBadCloseCode,
            PeerFault::BadCloseReason => Metric::FaultBadCloseReason,
            PeerFault::DeflateCorrupt => Metric::FaultDeflateCorrupt,
            PeerFault::DeflateRatio => Metric::FaultDeflateRatio,
        }
    }

    /// The series of errors answered with this code.
    pub fn error_sent(code: ErrorCode) -> Metric {
        match code {
            ErrorCode::BadRequest => Metric::ErrorBadRequest,
            ErrorCode::Unauthorized => Metric::ErrorUnauthorized,
            ErrorCode::Forbidden => Metric::ErrorForbidden,
            ErrorCode::UnknownTopic => Metric::ErrorUnknownTopic,
            ErrorCode::TooLarge => Metric::ErrorTooLarge,
            ErrorCode::RateLimited => Metric::ErrorRateLimited,
            ErrorCode::LimitExceeded => Metric::ErrorLimitExceeded,
            ErrorCode::Overloaded => Metric::ErrorOverloaded,
            ErrorCode::Unavailable => Metric::ErrorUnavailable,
            ErrorCode::Internal => Metric::ErrorInternal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Kind;
    use std::collections::HashSet;

    fn is_name(name: &str) -> bool {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        name.as_bytes()[0].is_ascii_lowercase() && name.bytes().all(allowed)
    }

    #[test]
    fn all_lists_the_metrics_in_the_order_of_their_indices() {
        for (position, metric) in Metric::ALL.iter().enumerate() {
            assert_eq!(metric.index(), position);
        }
    }

    #[test]
    fn a_fault_is_counted_under_its_own_label() {
        for fault in PeerFault::ALL {
            assert_eq!(Metric::fault(fault).label(), Some(("fault", fault.label())));
        }
    }

    #[test]
    fn a_family_and_a_label_value_name_one_series() {
        let mut seen = HashSet::new();
        for metric in Metric::ALL {
            assert!(seen.insert((metric.family().name, metric.label())), "{metric:?}");
        }
    }

    #[test]
    fn a_series_has_a_label_value_exactly_when_its_family_has_a_label() {
        for row in &ROWS {
            assert_eq!(row.family.label.is_some(), row.value.is_some(), "{}", row.family.name);
        }
    }

    #[test]
    fn families_are_named_once_by_the_rules_and_all_have_series() {
        let mut names = HashSet::new();
        for family in
            families::ALL.iter().chain(families::process::ALL).chain(families::timings::ALL)
        {
            assert!(names.insert(family.name), "{} twice", family.name);
            assert!(is_name(family.name), "{}", family.name);
            let counts = family.kind == Kind::Counter;
            assert_eq!(family.name.ends_with("_total"), counts, "{}", family.name);
            assert!(family.help.ends_with('.'), "{}", family.name);
            assert!(family.label.is_none_or(is_name), "{}", family.name);
        }
        for family in families::ALL {
            let used = Metric::ALL.iter().any(|metric| metric.family() == *family);
            assert!(used, "{} has no series", family.name);
        }
    }

    #[test]
    fn a_code_maps_to_the_series_with_its_own_label() {
        for code in 0..=u16::MAX {
            let (_, value) = Metric::closed(code).label().expect("closes have a label");
            assert!(value == code.to_string() || value == "other", "{code}");
        }
        let own = |m: &&Metric| m.family() == &families::CLOSED && **m != Metric::ClosedOther;
        for metric in Metric::ALL.iter().filter(own) {
            let code = metric.label().expect("labelled").1.parse().expect("a code");
            assert_eq!(Metric::closed(code), *metric);
        }
        for code in ErrorCode::ALL {
            assert_eq!(Metric::error_sent(code).label(), Some(("code", code.as_str())));
        }
    }
}
