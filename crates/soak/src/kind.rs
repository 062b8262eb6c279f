//! The tables, the same at every member.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// A table and how its entries come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Text keys; each request counts in several counters and rates.
    Web,
    /// Numbers; each request counts in two elements of an array.
    Array,
    /// IPv4 addresses; the first request chooses a server, which the entry names.
    Stick,
    /// IPv6 addresses of visitors that come once, and whose entries expire during the run.
    Brief,
}

/// What a printed field of an entry is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// The requests counted for the key.
    Counted(&'static str),
    /// What the owner of the key has.
    Copied(&'static str),
    /// What the owner of the key has, but it changes as time goes by: a rate over this many ms.
    Rate(&'static str, u64),
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Web, Self::Array, Self::Stick, Self::Brief];

    /// Name of the table, and of the path whose requests it counts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Array => "array",
            Self::Stick => "stick",
            Self::Brief => "brief",
        }
    }

    /// What follows `stick-table`, without the section.
    pub(crate) fn arguments(self) -> String {
        let (key, store) = match self {
            Self::Web => (
                "string len 24",
                "http_req_cnt,http_req_rate(60s),gpc0,gpc0_rate(60s),bytes_in_cnt,bytes_out_cnt",
            ),
            Self::Array => ("integer", "gpc(3),gpc_rate(2,60s)"),
            Self::Stick => ("ip", "server_id,server_key"),
            Self::Brief => ("ipv6", "gpc0"),
        };
        format!("type {key} size 50k expire {}s store {store}", self.expire().as_secs())
    }

    /// The lifetime of an entry that is not touched.
    pub(crate) fn expire(self) -> Duration {
        Duration::from_secs(if self == Self::Brief { 20 } else { 900 })
    }

    /// Whether its keys stay for the whole run.
    pub(crate) fn is_lasting(self) -> bool {
        self != Self::Brief
    }

    /// A key as `show table` prints it.
    pub(crate) fn key(self, number: u32) -> String {
        match self {
            Self::Web => format!("client-{number}"),
            Self::Array => number.to_string(),
            Self::Stick => Ipv4Addr::from(0x0a00_0000 + number).to_string(),
            Self::Brief => {
                Ipv6Addr::from(0x2001_0db8_0001_0001_0001_0001_0000_0000 | u128::from(number)).to_string()
            }
        }
    }

    /// HAProxy's expression that takes the key from the header `x-key`.
    pub(crate) fn expression(self) -> &'static str {
        match self {
            Self::Web => "req.hdr(x-key)",
            Self::Array => "req.hdr_val(x-key)",
            Self::Stick | Self::Brief => "req.hdr_ip(x-key)",
        }
    }

    /// HAProxy's actions on a tracked entry for each request.
    pub(crate) fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Web | Self::Brief => &["sc-inc-gpc0(0)"],
            Self::Array => &["sc-inc-gpc(0,0)", "sc-inc-gpc(2,0)"],
            Self::Stick => &[],
        }
    }

    /// The fields that are compared.
    pub(crate) fn fields(self) -> &'static [Field] {
        use Field::{Copied, Counted, Rate};
        match self {
            Self::Web => &[
                Counted("http_req_cnt"),
                Counted("gpc0"),
                Copied("bytes_in_cnt"),
                Copied("bytes_out_cnt"),
                Rate("http_req_rate(60000)", 60_000),
                Rate("gpc0_rate(60000)", 60_000),
            ],
            Self::Array => &[
                Counted("gpc0"),
                Copied("gpc1"),
                Counted("gpc2"),
                Rate("gpc0_rate(60000)", 60_000),
                Rate("gpc1_rate(60000)", 60_000),
            ],
            Self::Stick => &[Copied("server_id"), Copied("server_key")],
            Self::Brief => &[Counted("gpc0")],
        }
    }
}
