//! Entries of a table: listed, looked up, set, deleted, many at a time, and the largest by a column.

mod bulk;
pub(super) mod change;
mod list;
mod one;
mod remove;
mod top;

use std::sync::Arc;

use serde::Deserialize;
use stick_aggregate::Aggregate;
use stick_table::{KeyType, Table, TableDefinition};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(in crate::http) use self::one::{Rest, is_sum, store};

use super::App;
use super::problem::Problem;
use crate::runtime::filter::Filter;
use crate::view::entry::Frame;

/// The routes.
pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::list, bulk::upsert, remove::remove_matching))
        .routes(routes!(one::get, one::put, one::patch, remove::remove))
        .routes(routes!(top::top))
}

/// How a key is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    /// As `show table` shows it: an address, a number, a text; binary keys as hexadecimal digits.
    #[default]
    Text,
    /// The bytes of a string as hexadecimal digits.
    Hex,
}

/// Which entry a request is about, apart from the path.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// How the key is written: `text`, or `hex` for the bytes of a string that is not UTF-8.
    #[serde(default)]
    #[param(inline)]
    encoding: Encoding,
    /// Change the entry on all nodes, as `cluster` does on the runtime socket. A table of sums can be changed in no other way.
    #[serde(default)]
    cluster: bool,
}

impl App {
    /// A table by its name.
    ///
    /// # Errors
    /// 404, or 409 for one that hubs keep by node.
    pub(super) fn table(&self, name: &str) -> Result<Arc<Table>, Problem> {
        use axum::http::StatusCode;
        match (self.context.table(name), self.context.sum(name)) {
            (Some(table), _) => Ok(table),
            (None, Some(sum)) => {
                let result = &sum.output().definition().name;
                let text = format!(
                    "nodes count in this table, each for itself: their sum is the table \"{result}\""
                );
                Err(Problem::new(StatusCode::CONFLICT, text).at("table"))
            }
            (None, None) => {
                let text =
                    "there is no table of this name: GET /v1/tables lists them; write %2F for a slash in it";
                Err(Problem::new(StatusCode::NOT_FOUND, text).at("table"))
            }
        }
    }

    /// The sums of which a table is the result.
    pub(super) fn sums_of(&self, table: &Table) -> Option<Arc<Aggregate>> {
        self.context.sum(&table.definition().name)
    }

    /// What the entries of an answer share.
    pub(super) fn frame(&self, table: &Table) -> Frame {
        Frame { shared: self.context.shared(table), now: self.context.now() }
    }
}

/// The canonical form of a key.
///
/// # Errors
/// When it is none of the table's. A text that is too long is refused, not cut: it would be the key of another entry.
pub(super) fn key(definition: &TableDefinition, word: &str, encoding: Encoding) -> Result<Vec<u8>, Problem> {
    let key_type = definition.key_type;
    let fault = |error: stick_table::KeyError| Problem::bad_request(format!("\"{word}\": {error}")).at("key");
    let key = match (key_type, encoding) {
        (KeyType::String { .. }, Encoding::Text) => word.as_bytes().to_vec(),
        (KeyType::String { .. }, Encoding::Hex) => {
            KeyType::Binary { len: (word.len() / 2) as u32 }.parse(word).map_err(fault)?
        }
        (KeyType::Integer, _) => {
            word.parse::<u32>().map_err(|_| fault(stick_table::KeyError::Integer))?.to_be_bytes().to_vec()
        }
        (KeyType::Binary { len }, _) if word.len() > 2 * len as usize => {
            return Err(Problem::bad_request(format!("the key has more than {len} bytes")).at("key"));
        }
        _ => key_type.parse(word).map_err(fault)?,
    };
    key_type.check(&key).map_err(fault)?;
    Ok(key)
}

/// Filters as in `show table`, separated by commas: `data.gpc0 gt 5,data.http_req_rate ge 100`. The three words may be separated
/// by dots as well.
///
/// # Errors
/// With the number of the filter and what is wrong.
pub(super) fn filters(definition: &TableDefinition, text: Option<&str>) -> Result<Vec<Filter>, Problem> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    for filter in text.unwrap_or_default().split(',').map(str::trim).filter(|filter| !filter.is_empty()) {
        let mut parts: Vec<_> = filter.split_whitespace().collect();
        if let [one] = parts[..] {
            parts = one.rsplitn(3, '.').collect();
            parts.reverse();
        }
        if parts.len() != 3 {
            let text = format!("\"{filter}\" is no filter: write `data.TYPE eq|ne|lt|le|gt|ge NUMBER`");
            return Err(Problem::bad_request(text).at("where"));
        }
        words.extend(parts.into_iter().map(|part| part.as_bytes().to_vec()));
    }
    Filter::parse_all(definition, 0, &words)
        .map_err(|error| Problem::bad_request(error.to_string()).at("where"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::testing::table;

    #[test]
    fn keys_are_never_cut() {
        let text = table("t", KeyType::String { max_len: 4 }, 9, 0, &[]);
        let binary = table("t", KeyType::Binary { len: 2 }, 9, 0, &[]);
        let number = table("t", KeyType::Integer, 9, 0, &[]);
        let read = |definition: &TableDefinition, word, encoding| key(definition, word, encoding).ok();
        assert_eq!(read(&text, "abcd", Encoding::Text), Some(b"abcd".to_vec()));
        assert_eq!(read(&text, "abcde", Encoding::Text), None);
        assert_eq!(read(&text, "a\0b", Encoding::Text), None);
        assert_eq!(read(&text, "ff00", Encoding::Hex), None);
        assert_eq!(read(&text, "ff", Encoding::Hex), Some(vec![0xff]));
        assert_eq!(read(&text, "f", Encoding::Hex), None);
        assert_eq!(read(&binary, "0a0b", Encoding::Text), Some(vec![10, 11]));
        assert_eq!(read(&binary, "0a0b0c", Encoding::Text), None);
        assert_eq!(read(&number, "4294967295", Encoding::Text), Some(vec![255; 4]));
        assert_eq!(read(&number, "-1", Encoding::Text), None);
    }

    #[test]
    fn filters_are_read_with_blanks_and_with_dots() {
        let definition = table("t", KeyType::Ip, 9, 0, &["gpc0", "conn_rate(10s)"]);
        let count = |text| {
            filters(&definition, Some(text))
                .map(|filters| filters.len())
                .map_err(|problem| problem.message().to_owned())
        };
        assert_eq!(filters(&definition, None).map(|filters| filters.len()), Ok(0));
        assert_eq!(count("data.gpc0 gt 5"), Ok(1));
        assert_eq!(count("data.gpc0.gt.5,data.conn_rate ne 0"), Ok(2));
        for (text, says) in [
            ("data.gpc0", "\"data.gpc0\" is no filter"),
            ("data.gpc0 gt", "\"data.gpc0 gt\" is no filter"),
            ("data.gpc1 gt 5", "Filter entry #1: Data type not stored in this table"),
            ("data.gpc0 over 5", "Filter entry #1: Require and operator"),
        ] {
            let found = count(text).unwrap_err();
            assert!(found.starts_with(says), "{found}");
        }
    }
}
