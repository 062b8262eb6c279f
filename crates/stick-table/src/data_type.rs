//! The data types an entry can store (stick-tables §3, peers-protocol §9.1).

use std::fmt;

/// How one element of a data type is kept and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// Signed 32-bit integer: one word.
    Signed,
    /// Unsigned 32-bit integer: one word. Wraps, never saturates.
    Unsigned,
    /// Unsigned 64-bit integer: two words, low word first. Wraps, never saturates.
    Unsigned64,
    /// Frequency counter: three words (tick, current, previous), see [`FrequencyCounter`](crate::FrequencyCounter).
    Frequency,
    /// A string from the table's dictionary: one word.
    Dictionary,
}

impl Storage {
    /// Width of one element in 32-bit words.
    pub const fn words(self) -> usize {
        match self {
            Self::Signed | Self::Unsigned | Self::Dictionary => 1,
            Self::Unsigned64 => 2,
            Self::Frequency => 3,
        }
    }
}

macro_rules! data_types {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $storage:ident, $shape:ident;)*) => {
        /// A data type, numbered as on the wire: the number is the bit in a table definition's bitfield.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DataType {
            $($(#[$doc])* $variant = $number,)*
        }

        impl DataType {
            /// Every data type in the order of its number, which is also the order on the wire and in `show table`.
            pub const ALL: [Self; 27] = [$(Self::$variant),*];

            /// HAProxy's name, e.g. `http_req_rate`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How one element is kept and sent.
            pub const fn storage(self) -> Storage {
                match self { $(Self::$variant => Storage::$storage,)* }
            }

            /// Whether the type is an array, whose number of elements is part of the table definition (1 to 100).
            pub const fn is_array(self) -> bool {
                match self { $(Self::$variant => data_types!(@array $shape),)* }
            }
        }
    };
    (@array one) => { false };
    (@array array) => { true };
}

data_types! {
    /// Numeric id of the server an entry sticks to.
    ServerId = 0, "server_id", Signed, one;
    /// General purpose tag.
    Gpt0 = 1, "gpt0", Unsigned, one;
    /// General purpose counter.
    Gpc0 = 2, "gpc0", Unsigned, one;
    /// Rate of the increments of `gpc0`.
    Gpc0Rate = 3, "gpc0_rate", Frequency, one;
    /// Connections received.
    ConnCnt = 4, "conn_cnt", Unsigned, one;
    /// Rate of connections.
    ConnRate = 5, "conn_rate", Frequency, one;
    /// Connections open now; each process counts its own, see [`DataType::is_local_only`].
    ConnCur = 6, "conn_cur", Unsigned, one;
    /// Sessions accepted.
    SessCnt = 7, "sess_cnt", Unsigned, one;
    /// Rate of sessions.
    SessRate = 8, "sess_rate", Frequency, one;
    /// HTTP requests.
    HttpReqCnt = 9, "http_req_cnt", Unsigned, one;
    /// Rate of HTTP requests.
    HttpReqRate = 10, "http_req_rate", Frequency, one;
    /// HTTP errors caused by the client.
    HttpErrCnt = 11, "http_err_cnt", Unsigned, one;
    /// Rate of HTTP errors caused by the client.
    HttpErrRate = 12, "http_err_rate", Frequency, one;
    /// Bytes from the client.
    BytesInCnt = 13, "bytes_in_cnt", Unsigned64, one;
    /// Rate of bytes from the client, divided by the table's `brates-factor`.
    BytesInRate = 14, "bytes_in_rate", Frequency, one;
    /// Bytes to the client.
    BytesOutCnt = 15, "bytes_out_cnt", Unsigned64, one;
    /// Rate of bytes to the client, divided by the table's `brates-factor`.
    BytesOutRate = 16, "bytes_out_rate", Frequency, one;
    /// Second general purpose counter.
    Gpc1 = 17, "gpc1", Unsigned, one;
    /// Rate of the increments of `gpc1`.
    Gpc1Rate = 18, "gpc1_rate", Frequency, one;
    /// Name or address of the server an entry sticks to.
    ServerKey = 19, "server_key", Dictionary, one;
    /// HTTP failures of the server.
    HttpFailCnt = 20, "http_fail_cnt", Unsigned, one;
    /// Rate of HTTP failures of the server.
    HttpFailRate = 21, "http_fail_rate", Frequency, one;
    /// Array of general purpose tags.
    Gpt = 22, "gpt", Unsigned, array;
    /// Array of general purpose counters.
    Gpc = 23, "gpc", Unsigned, array;
    /// Array of rates of the increments of `gpc`.
    GpcRate = 24, "gpc_rate", Frequency, array;
    /// Glitches of the client's connections.
    GlitchCnt = 25, "glitch_cnt", Unsigned, one;
    /// Rate of glitches.
    GlitchRate = 26, "glitch_rate", Frequency, one;
}

impl DataType {
    /// Largest number of elements of an array (stick-tables §1.1).
    pub const MAX_ELEMENTS: u32 = 100;

    /// The number on the wire, 0 to 26.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The type of a number on the wire, or `None` for one this version does not know.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The type of a name; `server_name` is an alias of `server_key` as in HAProxy.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "server_name" {
            return Some(Self::ServerKey);
        }
        Self::ALL.into_iter().find(|data_type| data_type.name() == name)
    }

    /// Whether the type is a rate, whose period is part of the table definition.
    pub const fn has_period(self) -> bool {
        matches!(self.storage(), Storage::Frequency)
    }

    /// Whether each node counts for itself: sent to peers, but not stored from them unless the table is `recv-only`
    /// (peers-protocol §16).
    pub const fn is_local_only(self) -> bool {
        matches!(self, Self::ConnCur)
    }

    /// Whether `write-to` copies the type to another table (peers-protocol §16).
    pub const fn is_as_is(self) -> bool {
        matches!(self, Self::ServerId | Self::Gpt0 | Self::ServerKey | Self::Gpt)
    }

    /// Whether readings are multiplied by the table's `brates-factor` (stick-tables §3.3).
    pub const fn is_byte_rate(self) -> bool {
        matches!(self, Self::BytesInRate | Self::BytesOutRate)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back_to_their_type() {
        for (number, data_type) in DataType::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(data_type.number()), number);
            assert_eq!(DataType::from_number(data_type.number()), Some(data_type));
            assert_eq!(DataType::from_name(data_type.name()), Some(data_type));
        }
        assert_eq!(DataType::from_number(27), None);
        assert_eq!(DataType::from_name("server_name"), Some(DataType::ServerKey));
        assert_eq!(DataType::from_name("gpc2"), None);
    }

    #[test]
    fn a_rate_is_what_has_a_period() {
        for data_type in DataType::ALL {
            assert_eq!(data_type.has_period(), data_type.name().ends_with("_rate"), "{data_type}");
        }
    }

    #[test]
    fn byte_rates_are_the_rates_of_what_counts_bytes() {
        let counts_bytes = |name: &str| {
            let counter =
                name.strip_suffix("_rate").and_then(|name| DataType::from_name(&format!("{name}_cnt")));
            counter.is_some_and(|counter| counter.storage() == Storage::Unsigned64)
        };
        for data_type in DataType::ALL {
            assert_eq!(data_type.is_byte_rate(), counts_bytes(data_type.name()), "{data_type}");
        }
    }
}
