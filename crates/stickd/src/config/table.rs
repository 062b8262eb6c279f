//! The arguments of `stick-table` and `table` (stick-tables §1).

use stick_table::{
    Column, ColumnError, DataType, DefinitionError, KeyType, ServerKeySource, TableDefinition,
};

use super::arguments::{Arguments, Report, Word, number, size, suggest, time, unit_help};
use super::diagnostic::Diagnostic;
use super::keywords;
use super::source::Span;
use super::syntax::words::Place;

/// Most bytes a byte rate's unit can stand for (stick-tables §1).
const MAX_BRATES_FACTOR: u32 = 1024;

const KEY_TYPES: [&str; 6] = ["integer", "ip", "ipv4", "ipv6", "string", "binary"];

/// The arguments of tables.
fn words() -> &'static [&'static str] {
    keywords::names(Place::Table)
}

/// Where a table is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `stick-table` in a proxy.
    Proxy,
    /// `table` in a `peers` section.
    Section,
}

/// A declared table with its references to other names still unchecked.
#[derive(Clone, Debug)]
pub(super) struct TableDraft {
    pub(super) definition: TableDefinition,
    /// The table's or the proxy's name.
    pub(super) span: Span,
    /// The argument of `type` with its `len`.
    pub(super) type_span: Span,
    /// The section named by `peers`.
    pub(super) peers: Option<Word>,
    /// The table named by `write-to`.
    pub(super) write_to: Option<Word>,
    /// Whether it is left out of what `state` keeps.
    pub(super) no_state: bool,
    /// Whether it has a `store` list.
    pub(super) has_list: bool,
}

impl TableDraft {
    /// Lets the table store which server its keys stick to.
    pub(super) fn add_server(&mut self) {
        for data_type in [DataType::ServerId, DataType::ServerKey] {
            if let Ok(column) = Column::plain(data_type) {
                // Nothing to do where it is stored already.
                let _ = self.definition.add_column(column);
            }
        }
    }
}

/// Reads the arguments of a table under its full local name. `None` when something was wrong, which is reported.
pub(super) fn parse(
    full_name: &str,
    name: &Word,
    form: Form,
    arguments: Arguments<'_>,
    report: &mut Report,
) -> Option<TableDraft> {
    let errors = report.errors();
    let keyword = arguments.keyword();
    let mut table =
        Table { form, definition: TableDefinition::new(full_name, KeyType::Ip, 1), ..Table::new() };
    table.read(arguments, report);
    let example = match form {
        Form::Proxy => "stick-table type ip size 100k expire 30m store http_req_rate(10s) peers mypeers",
        Form::Section => "table t1 type ip size 100k expire 30m store http_req_rate(10s)",
    };
    for (word, given) in [("type", table.key_type.is_some()), ("size", table.size_given)] {
        if !given && report.errors() == errors {
            report.push(
                Diagnostic::error(keyword.span, format!("the table \"{}\" has no {word}", name.text))
                    .label(format!("{word} is mandatory"))
                    .help(format!("for example `{example}`")),
            );
        }
    }
    let type_span = table.key_type?;
    // What it writes to is looked at when all tables are known.
    if report.errors() == errors
        && let Err(error) = table.definition.check()
        && error != DefinitionError::WriteToItself
    {
        report.push(Diagnostic::error(name.span, error.to_string()).label("not possible"));
    }
    let has_list = table.seen.iter().any(|(seen, _)| *seen == "store");
    let Table { definition, peers, write_to, no_state, .. } = table;
    let mut draft =
        TableDraft { definition, span: name.span, type_span, peers, write_to, no_state, has_list };
    if !has_list {
        // Most often `stick` lines of proxies that are not here use it, for which HAProxy adds the same.
        draft.add_server();
    }
    (report.errors() == errors).then_some(draft)
}

struct Table {
    form: Form,
    definition: TableDefinition,
    /// Place of the key type.
    key_type: Option<Span>,
    size_given: bool,
    peers: Option<Word>,
    write_to: Option<Word>,
    no_state: bool,
    /// Arguments read, to notice those given twice.
    seen: Vec<(&'static str, Span)>,
    /// Where each data type is stored.
    stored: Vec<(DataType, Span)>,
}

impl Table {
    fn new() -> Self {
        Self {
            form: Form::Proxy,
            definition: TableDefinition::new("", KeyType::Ip, 1),
            key_type: None,
            size_given: false,
            peers: None,
            write_to: None,
            no_state: false,
            seen: Vec::new(),
            stored: Vec::new(),
        }
    }

    fn read(&mut self, mut arguments: Arguments<'_>, report: &mut Report) {
        while let Some(word) = arguments.next() {
            let known = words().iter().copied().find(|&known| known == word.text);
            let Some(known) = known.filter(|&known| known != "peers" || self.form == Form::Proxy) else {
                self.unknown(word, report);
                // How many words belong to it is not known: go on at the next argument.
                while arguments.peek().is_some_and(|word| !words().contains(&word.text.as_str())) {
                    arguments.next();
                }
                continue;
            };
            self.once(known, word, report);
            // A fault was reported; the argument behind it is read all the same.
            let _: Option<()> = self.argument(known, word, &mut arguments, report);
        }
    }

    /// Reads one argument and its value. `None` after a fault, which is reported.
    fn argument(
        &mut self,
        known: &str,
        word: &Word,
        arguments: &mut Arguments<'_>,
        report: &mut Report,
    ) -> Option<()> {
        match known {
            "type" => self.key_type(word, arguments, report)?,
            "size" => {
                self.size_given = true;
                let value = arguments.value(word, "a number of entries", "size 100k", report)?;
                self.definition.size = size(value, 1, u32::MAX, report)?;
            }
            "expire" => {
                let value = arguments.value(word, "a time", "expire 30m", report)?;
                let time = time(value, report)?;
                self.definition.expire = Some(time).filter(|&time| time != 0);
            }
            "nopurge" => self.definition.no_purge = true,
            "recv-only" => self.definition.recv_only = true,
            "no-state" => self.no_state = true,
            "store" => {
                let example = "store gpc0,http_req_rate(10s)";
                let list = arguments.value(word, "a list of data types", example, report)?;
                self.store(list, arguments.peek().is_some_and(is_data_type), report);
                // After `gpc0, gpc1` the blank is the fault, not the words behind it.
                while list.text.ends_with(',') && arguments.peek().is_some_and(is_data_type) {
                    arguments.next();
                }
            }
            "peers" => {
                self.peers =
                    Some(arguments.value(word, "the name of a section", "peers mypeers", report)?.clone());
            }
            "srvkey" => {
                let value = arguments.value(word, "name or addr", "srvkey addr", report)?;
                self.definition.server_key_source = match value.text.as_str() {
                    "name" => ServerKeySource::Name,
                    "addr" => ServerKeySource::Addr,
                    _ => {
                        report.unknown(value, "server key", "after srvkey", &["name", "addr"]);
                        return None;
                    }
                };
            }
            "write-to" => {
                let target = arguments.value(word, "the name of a table", "write-to mypeers/t2", report)?;
                self.definition.write_to = Some(target.text.clone());
                self.write_to = Some(target.clone());
            }
            _ => {
                let value = arguments.value(word, "a number", "brates-factor 1024", report)?;
                self.definition.brates_factor = size(value, 1, MAX_BRATES_FACTOR, report)?;
            }
        }
        Some(())
    }

    fn unknown(&self, word: &Word, report: &mut Report) {
        if word.text == "peers" {
            let error = Diagnostic::error(word.span, "\"peers\" has no place on a \"table\" line")
                .label("the table belongs to its section")
                .help("remove it; \"peers NAME\" goes with the \"stick-table\" line of a backend");
            report.push(error);
            return;
        }
        let mut known = words().to_vec();
        known.retain(|&word| word != "peers" || self.form == Form::Proxy);
        if is_data_type(word) {
            let error = Diagnostic::error(word.span, format!("\"{}\" does not follow \"store\"", word.text))
                .label("a data type")
                .help("the list is one word without blanks: `store gpc0,http_req_rate(10s)`");
            report.push(error);
            return;
        }
        report.unknown(word, "table argument", "in a table", &known);
    }

    fn once(&mut self, known: &'static str, word: &Word, report: &mut Report) {
        let earlier = self.seen.iter().find(|(seen, _)| *seen == known);
        if let Some(&(_, first)) = earlier.filter(|_| known != "store") {
            report.push(
                Diagnostic::warning(word.span, format!("\"{known}\" is given twice"))
                    .label("this one counts")
                    .related(first, "this one is without effect"),
            );
        }
        self.seen.push((known, word.span));
    }

    fn key_type(&mut self, word: &Word, arguments: &mut Arguments<'_>, report: &mut Report) -> Option<()> {
        self.key_type = Some(word.span);
        let value = arguments.value(word, "a key type", "type string len 64", report)?;
        let key_type = match value.text.as_str() {
            "integer" => KeyType::Integer,
            "ip" | "ipv4" => KeyType::Ip,
            "ipv6" => KeyType::Ipv6,
            "string" => KeyType::DEFAULT_STRING,
            "binary" => KeyType::DEFAULT_BINARY,
            _ => {
                report.unknown(value, "key type", "after type", &KEY_TYPES);
                if arguments.peek().is_some_and(|word| word.text == "len") {
                    arguments.nth(1);
                }
                return None;
            }
        };
        self.key_type = Some(value.span);
        let Some(len) = arguments.peek().filter(|word| word.text == "len") else {
            self.definition.key_type = key_type;
            return Some(());
        };
        arguments.next();
        let bytes = arguments.value(len, "a number of bytes", "type string len 64", report)?;
        self.key_type = Some(value.span.to(bytes.span));
        let bytes = number(bytes, 1, KeyType::MAX_LEN, "a key length", report)?;
        self.definition.key_type = match key_type {
            KeyType::String { .. } => KeyType::String { max_len: bytes },
            KeyType::Binary { .. } => KeyType::Binary { len: bytes },
            _ => {
                let title = format!("keys of type \"{}\" have a fixed length", value.text);
                let error = Diagnostic::error(len.span, title).label("not allowed here");
                report.push(error.help("len goes with the types string and binary"));
                return None;
            }
        };
        Some(())
    }

    fn store(&mut self, list: &Word, goes_on: bool, report: &mut Report) {
        let mut items = items(&list.text);
        if let Some((start, _)) = items.pop_if(|(start, item)| item.is_empty() && *start > 0) {
            // HAProxy takes it, but not when the list goes on behind a blank.
            let span = list.part(start - 1..start);
            let title = "the list of data types ends with a comma";
            report.push(if goes_on {
                Diagnostic::error(span, title)
                    .label("and a blank follows")
                    .help("the list is one word without blanks: `store gpc0,http_req_rate(10s)`")
            } else {
                Diagnostic::warning(span, title).label("can be removed")
            });
        }
        for (start, item) in items {
            let span = list.part(start..start + item.len());
            match item.parse::<Column>() {
                Ok(column) => self.add_column(column, span, report),
                Err(error) => report.push(column_fault(span, &error)),
            }
        }
    }

    fn add_column(&mut self, column: Column, span: Span, report: &mut Report) {
        let place = |stored: &[(DataType, Span)], wanted: DataType| {
            stored.iter().find(|(data_type, _)| *data_type == wanted).map_or(span, |&(_, span)| span)
        };
        match self.definition.add_column(column) {
            Ok(()) => self.stored.push((column.data_type(), span)),
            Err(DefinitionError::Duplicate(data_type)) => report.push(
                Diagnostic::warning(span, format!("{data_type} is stored twice"))
                    .label("this one is without effect")
                    .related(place(&self.stored, data_type), "the first one counts"),
            ),
            Err(error @ DefinitionError::Exclusive(_, other)) => report.push(
                Diagnostic::error(span, error.to_string())
                    .label("remove this")
                    .related(place(&self.stored, other), "or this"),
            ),
            Err(error) => report.push(Diagnostic::error(span, error.to_string())),
        }
    }
}

/// Whether a word begins with the name of a data type.
fn is_data_type(word: &Word) -> bool {
    word.text.split(['(', ',']).next().is_some_and(|name| DataType::from_name(name).is_some())
}

/// The items of a `store` list and where they start: commas in parentheses do not separate.
fn items(list: &str) -> Vec<(usize, &str)> {
    let (mut items, mut start, mut depth) = (Vec::new(), 0, 0u32);
    for (at, letter) in list.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                items.push((start, &list[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push((start, &list[start..]));
    items
}

fn column_fault(span: Span, error: &ColumnError) -> Diagnostic {
    let fault = Diagnostic::error(span, error.to_string());
    match error {
        ColumnError::UnknownType(name) if name.is_empty() => {
            Diagnostic::error(span, "a data type is missing")
                .label("before or between commas")
                .help("the list is one word without blanks: `store gpc0,http_req_rate(10s)`")
        }
        ColumnError::UnknownType(name) => {
            let known: Vec<_> = DataType::ALL.into_iter().map(DataType::name).collect();
            suggest(fault.label("not a data type"), name, &known)
        }
        ColumnError::UnexpectedArgument(data_type)
        | ColumnError::UnexpectedCount(data_type)
        | ColumnError::UnexpectedPeriod(data_type) => {
            fault.label("an argument is not allowed here").help(format!("write `{data_type}`"))
        }
        ColumnError::Period(_, unit) => fault.label(unit_help(*unit)),
        ColumnError::Unclosed => fault.label("a parenthesis is open"),
        ColumnError::Trailing(_) => fault.label("remove what follows the parenthesis"),
        ColumnError::List(_) => fault.label("separate the data types by commas"),
        ColumnError::MissingPeriod(_)
        | ColumnError::MissingCount(_)
        | ColumnError::MissingCountAndPeriod(_) => fault.label("not complete"),
        ColumnError::Count(_) | ColumnError::ZeroPeriod(_) => fault.label("out of range"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::tests::{titles, words};
    use super::*;

    fn read(line: &str) -> (Option<TableDraft>, Report) {
        let (words, mut report) = (words(line), Report::default());
        let mut arguments = Arguments::new(&words).unwrap();
        let (form, name) = match words[0].text.as_str() {
            "table" => (Form::Section, arguments.next().unwrap()),
            _ => (Form::Proxy, &words[0]),
        };
        let table = parse("p/t", name, form, arguments, &mut report);
        (table, report)
    }

    fn definition(line: &str) -> TableDefinition {
        let (table, report) = read(line);
        assert_eq!(titles(&report), [""; 0], "{line}");
        table.unwrap().definition
    }

    #[test]
    fn every_argument_is_read() {
        let table = definition(
            "table t brates-factor 1k recv-only write-to p/u srvkey addr store gpc0,gpt(4) \
             store gpc_rate(2,10s),server_name nopurge expire 30m size 100k type string len 64",
        );
        let columns: Vec<_> = table.columns().iter().map(ToString::to_string).collect();
        assert_eq!(columns, ["gpc0", "server_key", "gpt(4)", "gpc_rate(2,10000ms)"]);
        assert_eq!(table.key_type, KeyType::String { max_len: 64 });
        assert_eq!((table.size, table.expire), (102_400, Some(1_800_000)));
        assert!(table.no_purge && table.recv_only);
        assert_eq!(table.server_key_source, ServerKeySource::Addr);
        assert_eq!(table.write_to.as_deref(), Some("p/u"));
        assert_eq!(table.brates_factor, 1024);
        assert_eq!(table.name, "p/t");
    }

    #[test]
    fn every_key_type_is_read() {
        for (words, key_type) in [
            ("integer", KeyType::Integer),
            ("ip", KeyType::Ip),
            ("ipv4", KeyType::Ip),
            ("ipv6", KeyType::Ipv6),
            ("string", KeyType::String { max_len: 31 }),
            ("string len 32", KeyType::String { max_len: 32 }),
            ("binary", KeyType::Binary { len: 32 }),
            ("binary len 8", KeyType::Binary { len: 8 }),
        ] {
            assert_eq!(definition(&format!("stick-table type {words} size 1")).key_type, key_type, "{words}");
        }
    }

    #[test]
    fn units_and_lists_are_haproxys() {
        assert_eq!(definition("table t type ip size 1m expire 0").expire, None);
        assert_eq!(definition("table t type ip size 1m expire 1500us").expire, Some(2));
        assert_eq!(definition("table t type ip size 1G").size, 1 << 30);
        let table = read("stick-table type ip size 1 peers cluster").0.unwrap();
        assert_eq!(table.peers.unwrap().text, "cluster");
        let every: Vec<_> = DataType::ALL
            .into_iter()
            .filter(|data_type| !data_type.is_array())
            .map(
                |data_type| {
                    if data_type.has_period() { format!("{data_type}(1s)") } else { data_type.to_string() }
                },
            )
            .collect();
        let table = definition(&format!("table t type ip size 1 store {}", every.join(",")));
        assert_eq!(table.columns().len(), 24);
    }

    #[test]
    fn faults_are_under_their_words() {
        for (line, title, marked) in [
            ("table t type ip size 10 expire 30x", "\"30x\" is not a time", "30x"),
            ("table t type ip size 10 expire 25d", "\"25d\" is not a time", "25d"),
            ("table t type ip size 0", "\"0\" is out of range", "0"),
            ("table t type ip size 10q", "\"10q\" is not a size", "10q"),
            ("table t type ipx size 10", "unknown key type \"ipx\"", "ipx"),
            ("table t type ip len 4 size 10", "keys of type \"ip\" have a fixed length", "len"),
            ("table t type string len 0 size 10", "\"0\" is out of range", "0"),
            ("table t type string len", "\"len\" needs a number of bytes", "len"),
            ("table t size 10", "the table \"t\" has no type", "table"),
            ("table t type ip", "the table \"t\" has no size", "table"),
            ("table t type ip size 10 sotre gpc0", "unknown table argument \"sotre\"", "sotre"),
            ("table t type ip size 10 store gpc0,gpc9", "unknown data type \"gpc9\"", "gpc9"),
            ("table t type ip size 10 store gpc0, gpc1", "the list of data types ends with a comma", ","),
            ("table t type ip size 10 store gpc0,,gpc1", "a data type is missing", ""),
            ("table t type ip size 10 store gpt(0)", "gpt takes 1 to 100 elements", "gpt(0)"),
            ("table t type ip size 10 store gpc0(1)", "gpc0 takes no argument", "gpc0(1)"),
            (
                "table t type ip size 10 store gpt0,gpt(2)",
                "gpt cannot be stored together with gpt0: the array replaces it",
                "gpt(2)",
            ),
            ("table t type ip size 10 peers p", "\"peers\" has no place on a \"table\" line", "peers"),
            ("stick-table type ip size 10 srvkey ip", "unknown server key \"ip\"", "ip"),
            ("stick-table type ip size 10 brates-factor 1025", "\"1025\" is out of range", "1025"),
            ("stick-table type ip size 10 store", "\"store\" needs a list of data types", "store"),
        ] {
            let (table, report) = read(line);
            assert!(table.is_none(), "{line}");
            assert_eq!(report.items[0].title(), title, "{line}");
            assert_eq!(&line[report.items[0].span().unwrap().range()], marked, "{line}");
        }
    }

    #[test]
    fn several_faults_of_a_line_are_all_reported() {
        let (_, report) = read("table t type ipx len 4 size 10q expire 3y store gpc7,gpc8");
        assert_eq!(report.errors(), 5);
    }

    #[test]
    fn a_data_type_stored_twice_is_kept_once() {
        let (table, report) = read("table t type ip size 10 store conn_rate(1s),conn_rate(2s), size 20");
        assert_eq!(
            titles(&report),
            [
                "the list of data types ends with a comma",
                "conn_rate is stored twice",
                "\"size\" is given twice"
            ]
        );
        let definition = table.unwrap().definition;
        assert_eq!(definition.column(DataType::ConnRate).unwrap().period(), 1000);
        assert_eq!(definition.size, 20);
    }
}
