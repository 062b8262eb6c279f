//! The data types HAProxy knows (peers-protocol §9.1), written down here once more so that tests do not ask the code
//! under test what to expect.

/// How a data type is declared and printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A number: declared and printed as `gpc0`.
    Scalar,
    /// A frequency counter: declared as `gpc0_rate(10s)`, printed as `gpc0_rate(10000)`.
    Rate,
    /// Numbers: declared as `gpc(3)`, printed as `gpc0`, `gpc1`, `gpc2`.
    Array,
    /// Frequency counters: declared as `gpc_rate(3,10s)`, printed as `gpc0_rate(10000)`, ….
    RateArray,
    /// A text of the table's dictionary: never declared, HAProxy adds it for `stick on` and `stick store-request`.
    Dictionary,
}

/// A data type and the first release that knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataType {
    /// Number on the wire, 0 to 26.
    pub number: u8,
    /// Name, e.g. `http_req_rate`.
    pub name: &'static str,
    /// How it is declared and printed.
    pub form: Form,
    /// First release that knows it, e.g. `(2, 5)`.
    pub since: (u32, u32),
}

macro_rules! data_types {
    ($($number:literal $name:literal $form:ident $major:literal $minor:literal),* $(,)?) => {
        /// All of them, in the order of their numbers.
        pub(super) const ALL: &[DataType] = &[$(DataType {
            number: $number, name: $name, form: Form::$form, since: ($major, $minor),
        }),*];
    };
}

data_types! {
    0 "server_id" Scalar 1 6,
    1 "gpt0" Scalar 1 6,
    2 "gpc0" Scalar 1 6,
    3 "gpc0_rate" Rate 1 6,
    4 "conn_cnt" Scalar 1 6,
    5 "conn_rate" Rate 1 6,
    6 "conn_cur" Scalar 1 6,
    7 "sess_cnt" Scalar 1 6,
    8 "sess_rate" Rate 1 6,
    9 "http_req_cnt" Scalar 1 6,
    10 "http_req_rate" Rate 1 6,
    11 "http_err_cnt" Scalar 1 6,
    12 "http_err_rate" Rate 1 6,
    13 "bytes_in_cnt" Scalar 1 6,
    14 "bytes_in_rate" Rate 1 6,
    15 "bytes_out_cnt" Scalar 1 6,
    16 "bytes_out_rate" Rate 1 6,
    17 "gpc1" Scalar 1 9,
    18 "gpc1_rate" Rate 1 9,
    19 "server_key" Dictionary 2 0,
    20 "http_fail_cnt" Scalar 2 4,
    21 "http_fail_rate" Rate 2 4,
    22 "gpt" Array 2 5,
    23 "gpc" Array 2 5,
    24 "gpc_rate" RateArray 2 5,
    25 "glitch_cnt" Scalar 3 0,
    26 "glitch_rate" Rate 3 0,
}

impl DataType {
    /// What to write after `store`, with rates over `period` (e.g. `10s`) and arrays of `elements`; `None` for the
    /// dictionary type, which cannot be declared.
    ///
    /// Note that HAProxy refuses `gpc0`, `gpc1` and their rates beside the arrays `gpc` and `gpc_rate`, and `gpt0`
    /// beside `gpt`: those are the first elements then.
    pub fn declaration(&self, period: &str, elements: u32) -> Option<String> {
        let name = self.name;
        match self.form {
            Form::Scalar => Some(name.to_owned()),
            Form::Rate => Some(format!("{name}({period})")),
            Form::Array => Some(format!("{name}({elements})")),
            Form::RateArray => Some(format!("{name}({elements},{period})")),
            Form::Dictionary => None,
        }
    }

    /// Whether it is one of the numbered general purpose types that an array replaces.
    pub fn is_replaced_by_array(&self) -> bool {
        matches!(self.name, "gpt0" | "gpc0" | "gpc0_rate" | "gpc1" | "gpc1_rate")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        assert_eq!(ALL.len(), 27);
        for (position, data_type) in ALL.iter().enumerate() {
            assert_eq!(usize::from(data_type.number), position, "{}", data_type.name);
        }
    }

    #[test]
    fn declarations() {
        let declare = |number: usize| ALL[number].declaration("10s", 3);
        assert_eq!(declare(2).as_deref(), Some("gpc0"));
        assert_eq!(declare(3).as_deref(), Some("gpc0_rate(10s)"));
        assert_eq!(declare(19), None);
        assert_eq!(declare(22).as_deref(), Some("gpt(3)"));
        assert_eq!(declare(24).as_deref(), Some("gpc_rate(3,10s)"));
    }
}
