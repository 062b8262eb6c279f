//! A lesson to a peer while the process before this one still says which data types it stores.

use stick_table::{DataType, KeyType, Lifetime, TableDefinition, Value};

use super::*;
use crate::{Decoder, Message};

/// The definitions and updates in some bytes: which data types, and how many values.
fn said(mut bytes: &[u8]) -> Vec<String> {
    let (mut decoder, mut lines) = (Decoder::new(), Vec::new());
    while let Some((message, size)) = decoder.decode(bytes).unwrap() {
        bytes = &bytes[size..];
        let line = match message {
            Message::Define(definition) => {
                let types = definition.columns().map(|column| column.data_type.to_string());
                format!("define {}", types.collect::<Vec<_>>().join(","))
            }
            Message::Update(update) => {
                let values =
                    update.update.values.iter().map(|(data_type, values)| format!("{data_type}={values:?}"));
                format!("update {}", values.collect::<Vec<_>>().join(","))
            }
            other => format!("{other:?}"),
        };
        lines.push(line);
    }
    lines
}

/// The row would go out with a 0 in a column that nobody has told, by the definition of a moment before.
#[test]
fn a_row_is_not_taught_by_a_definition_from_before_its_columns_were_known_to_be_empty() {
    let definition = TableDefinition::new("t", KeyType::Integer, 100);
    let columns = ["gpc0", "gpt0"].map(|column| column.parse().unwrap());
    let definition = columns.into_iter().try_fold(definition, TableDefinition::with_column).unwrap();
    let table = Arc::new(Table::new(definition, 1).unwrap());
    let set = |entry: &mut stick_table::EntryMut<'_>| entry.set(DataType::Gpc0, 0, &Value::Unsigned(5));
    assert_eq!(table.update(&[0, 0, 0, 1], Origin::ITSELF, Lifetime::Restart, 0, set), Ok(true));
    let tables = Arc::new(TableSet::new("p", [(table, None)], None, None, 1).unwrap());
    let peer = (Origin::peer(1).unwrap(), 0, PeerLevel::Below);
    let mut teacher = Teacher::new(Arc::clone(&tables), Resume::default(), peer, true, 200, None);
    let (mut walk, mut out) = (LessonWalk::default(), Vec::new());
    teacher.start_lesson();
    teacher.define(0, &mut out);
    // Now another thread reads the definition of the process before.
    let shared = tables.get(0).unwrap();
    shared.note_untold(1 << DataType::Gpt0.number());
    assert!(teacher.teach_some(&shared, &mut walk, 0, &mut out), "the row comes again");
    assert_eq!(said(&out), ["define gpt0,gpc0"]);
    teacher.teach(walk, 0, usize::MAX, &mut out);
    assert_eq!(said(&out), ["define gpt0,gpc0", "define gpc0", "update gpc0=[Unsigned(5)]"]);
}
