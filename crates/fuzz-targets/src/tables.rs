//! What is given to tables by hand: definitions as lines, keys as bytes.

use stick_table::{Batch, Column, KeyType, Lifetime, LineFault, Origin, Table, TableDefinition, UpdateError};

/// Lines that define a table: read, or the fault's word is in the line; what is read is written so that it is read as the same,
/// and has a table unless a name is missing.
pub fn table_line(data: &[u8]) {
    let Ok(line) = str::from_utf8(data) else { return };
    line.split_whitespace().for_each(column);
    let definition: TableDefinition = match line.parse() {
        Ok(definition) => definition,
        Err(error) => {
            assert!(line[error.at..].starts_with(&error.word), "{error}");
            assert_eq!(error.word.is_empty(), matches!(error.fault, LineFault::Missing(_)), "{error}");
            return;
        }
    };
    let written = definition.to_string();
    assert_eq!(written.parse().as_ref(), Ok(&definition), "{written}");
    let mut named = definition;
    if named.name.is_empty() {
        named.name.push('t');
        // What a table without a name writes to may be a table of that name.
        named.write_to = None;
    }
    assert_eq!(named.check(), Ok(()), "{written}");
}

fn column(word: &str) {
    match word.parse::<Column>() {
        Ok(column) => assert_eq!(column.to_string().parse(), Ok(column), "{word}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Keys by hand, of a type that the first bytes tell: all of a table's methods and its batches take the same ones, those that
/// are their own canonical form, and an entry has the key that it was given.
pub fn key(data: &[u8]) {
    let [kind, len, key @ ..] = data else { return };
    let len = u32::from(*len) + 1;
    let key_type = match kind % 5 {
        0 => KeyType::Integer,
        1 => KeyType::Ip,
        2 => KeyType::Ipv6,
        3 => KeyType::String { max_len: len },
        _ => KeyType::Binary { len },
    };
    let table = Table::new(TableDefinition::new("t", key_type, 10), 1).unwrap();
    let canonical = key_type.canonical(key).is_some_and(|canonical| *canonical == *key);
    let checked = key_type.check(key);
    assert_eq!(checked.is_ok(), canonical);
    let mut batch = Batch::new(&table);
    assert_eq!(batch.push(key, Lifetime::Restart).map(drop), checked);
    assert_eq!(batch.len(), usize::from(canonical));
    let updated = table.update(key, Origin::LOCAL, Lifetime::Restart, 0, |_| ());
    assert_eq!(updated, checked.map_err(UpdateError::Key));
    assert_eq!(table.len(), u32::from(canonical));
    let found = table.get(key, 0, |entry| entry.key().to_vec());
    assert_eq!(found, checked.map(|()| Some(key.to_vec())));
    assert_eq!(table.expire(key, 0), checked.map(|()| true));
    assert_eq!(table.remove(key, 0), checked.map(|()| true));
    assert!(table.is_empty());
}
