//! How the values of several nodes become one.

use std::fmt;
use std::str::FromStr;

use stick_table::{DataType, Storage};
use thiserror::Error;

/// What is made of an element's values by all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Their sum. Saturates, never wraps.
    Sum,
    /// The value of the node that told the key last of its own accord.
    Last,
    /// The largest; of rates the one that reads highest.
    Max,
    /// The smallest; of rates the one that reads lowest.
    Min,
    /// The bits of all.
    Or,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sum, Self::Last, Self::Max, Self::Min, Self::Or];

    /// The word for the rule.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Last => "last",
            Self::Max => "max",
            Self::Min => "min",
            Self::Or => "or",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The word is none of the rules.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown rule \"{0}\": use sum, last, max, min or or")]
pub struct UnknownRule(pub String);

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(word: &str) -> Result<Self, UnknownRule> {
        Self::ALL.into_iter().find(|rule| rule.word() == word).ok_or_else(|| UnknownRule(word.to_owned()))
    }
}

/// Why a rule is none for a data type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RuleError {
    #[error("{0} is text: its rule is last, not {1}")]
    Text(DataType, Rule),
    #[error("{0} is the number of a server: its rule is last, max or min, not {1}")]
    ServerId(DataType, Rule),
    #[error("{0} is a rate: its rule is sum, last, max or min, not {1}")]
    Rate(DataType, Rule),
}

/// The rule of each data type.
///
/// By default counters, rates and `conn_cur` are summed; of tags (`gpt0`, `gpt`), `server_id` and `server_key` the last
/// one counts.
///
/// | storage | rules |
/// | --- | --- |
/// | unsigned: counters, tags, bytes, `conn_cur` | all |
/// | rates | sum, last, max, min |
/// | `server_id` | last, max, min |
/// | `server_key` | last |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules([Rule; DataType::ALL.len()]);

impl Default for Rules {
    fn default() -> Self {
        Self(DataType::ALL.map(|data_type| match data_type {
            DataType::ServerId | DataType::ServerKey | DataType::Gpt0 | DataType::Gpt => Rule::Last,
            _ => Rule::Sum,
        }))
    }
}

impl Rules {
    /// The rule of a data type.
    pub const fn get(&self, data_type: DataType) -> Rule {
        self.0[data_type.number() as usize]
    }

    /// Sets the rule of a data type.
    ///
    /// # Errors
    /// When the rule is none for the type, see [`Rules`]; nothing is changed then.
    pub const fn set(&mut self, data_type: DataType, rule: Rule) -> Result<(), RuleError> {
        match (data_type.storage(), rule) {
            (Storage::Dictionary, Rule::Last)
            | (Storage::Signed, Rule::Last | Rule::Max | Rule::Min)
            | (Storage::Frequency, Rule::Sum | Rule::Last | Rule::Max | Rule::Min)
            | (Storage::Unsigned | Storage::Unsigned64, _) => {
                self.0[data_type.number() as usize] = rule;
                Ok(())
            }
            (Storage::Dictionary, _) => Err(RuleError::Text(data_type, rule)),
            (Storage::Signed, _) => Err(RuleError::ServerId(data_type, rule)),
            (Storage::Frequency, _) => Err(RuleError::Rate(data_type, rule)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_written() {
        for rule in Rule::ALL {
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        assert_eq!(
            "avg".parse::<Rule>().unwrap_err().to_string(),
            "unknown rule \"avg\": use sum, last, max, min or or"
        );
    }

    #[test]
    fn each_storage_takes_the_rules_that_mean_something() {
        let mut rules = Rules::default();
        for data_type in DataType::ALL {
            let by_default = rules.get(data_type);
            for rule in Rule::ALL {
                let takes = match data_type.storage() {
                    Storage::Dictionary => rule == Rule::Last,
                    Storage::Signed => !matches!(rule, Rule::Sum | Rule::Or),
                    Storage::Frequency => rule != Rule::Or,
                    Storage::Unsigned | Storage::Unsigned64 => true,
                };
                let before = rules.get(data_type);
                assert_eq!(rules.set(data_type, rule).is_ok(), takes, "{data_type} {rule}");
                assert_eq!(rules.get(data_type), if takes { rule } else { before });
            }
            assert_eq!(rules.set(data_type, by_default), Ok(()), "a default is allowed");
        }
        assert_eq!(rules, Rules::default());
        assert_eq!(
            rules.set(DataType::ServerKey, Rule::Max).unwrap_err().to_string(),
            "server_key is text: its rule is last, not max"
        );
    }
}
