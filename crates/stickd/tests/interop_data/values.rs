//! Every key type with every data type, in both directions.

use crate::pair::{Pair, Setup, Values, quiet, values, word};
use crate::rows::{self, Field, Kind, NUMBERS};
use stickd_testkit::haproxy::Form;
use stickd_testkit::{Cli, Config, Release, TableDump, http, on_every_release};

on_every_release!(what_haproxy_holds_reaches_stickd_and_returns, what_stickd_holds_reaches_haproxy);

/// A table of scalars and one of arrays for each kind of key, and the requests that fill them.
fn setup(release: &Release, kinds: &[Kind]) -> Setup {
    let mut setup = Setup::new();
    for kind in kinds {
        let Kind { name, declaration, from_request, .. } = kind;
        for (group, arrays) in [("scalars", false), ("arrays", true)] {
            let store = rows::store(&rows::data_types(release, arrays));
            let table = format!("{group}_{name}");
            let arguments = format!("type {declaration} size 1k expire 1h store {store}");
            // HAProxy adds server_key to a table that it sticks by.
            let keys = if arrays { "" } else { ",server_key" };
            setup = setup.tables(&table, &arguments, &format!("{arguments}{keys}")).haproxy(|config| {
                let config = config.track(&table, from_request, &table);
                if arrays {
                    array_rules(release, config, &table)
                } else {
                    let config = config.rule(&table, "sc-set-gpt0(0) req.hdr_val(x-0)");
                    let config = config.rule(&table, "sc-inc-gpc0(0)").rule(&table, "sc-inc-gpc1(0)");
                    config.stick(&format!("stick_{table}"), from_request, &table)
                }
            });
        }
    }
    setup
}

/// Requests set the elements of `gpt` and raise those of `gpc` and `gpc_rate` by the values of their headers; 2.6 can
/// raise by one only.
fn array_rules(release: &Release, mut config: Config, path: &str) -> Config {
    for index in 0..rows::ELEMENTS {
        config = config.rule(path, &format!("sc-set-gpt({index},0) req.hdr_val(x-{index})"));
        if release.branch() >= (2, 8) {
            config = config.rule(path, &format!("sc-add-gpc({index},0) req.hdr_val(x-{index})"));
        } else {
            for _ in 0..=index {
                config = config.rule(path, &format!("sc-inc-gpc({index},0)"));
            }
        }
    }
    config
}

fn what_haproxy_holds_reaches_stickd_and_returns(release: &Release) {
    let kinds = rows::kinds();
    let mut pair = setup(release, &kinds).start(release);
    for kind in &kinds {
        fill_by_requests(&pair, kind);
    }
    let elements = release.cli_addresses_array_elements();
    for (group, arrays) in [("scalars", false), ("arrays", true)] {
        let mut fields = rows::fields(&rows::data_types(release, arrays));
        fields.retain(|field| elements || !field.said.contains('['));
        for kind in kinds.iter().filter(|kind| !kind.is_binary()) {
            set_all(&pair.haproxy.cli(), &format!("{group}_{}", kind.name), kind, &fields);
        }
    }
    let tables: Vec<(String, Values)> =
        kinds.iter().flat_map(|kind| check_learned(&pair, release, kind)).collect();

    // What HAProxy held before its end comes back from stickd.
    pair.haproxy.restart();
    for (table, before) in &tables {
        let after = pair.wait_same(table, |dump| dump.entries.len() == NUMBERS.len());
        assert_eq!(&values(&after), before, "table {table} after the restart");
    }
}

/// One request for each key that counts, and one that sticks to a server.
fn fill_by_requests(pair: &Pair, kind: &Kind) {
    let address = pair.haproxy.http_address();
    for (row, key) in kind.keys.iter().enumerate() {
        let numbers = [0, 1, 2].map(|index| (rows::number(row, index) as u32).to_string());
        let headers =
            [("x-key", key.said.as_str()), ("x-0", &numbers[0]), ("x-1", &numbers[1]), ("x-2", &numbers[2])];
        let paths = [
            (format!("/stick_scalars_{}", kind.name), 200),
            (format!("/scalars_{}/error", kind.name), 404),
            (format!("/arrays_{}/fail", kind.name), 503),
        ];
        for (path, status) in paths {
            let answer = http::get(address, &path, &headers).unwrap();
            assert_eq!(answer.status, status, "{path} {:?}", key.said);
        }
    }
}

/// Whether no command changes the row's server_id, so that the one a request stuck to stays.
fn keeps_its_server(row: usize) -> bool {
    row.is_multiple_of(2)
}

/// Sets every field of every key.
fn set_all(cli: &Cli, table: &str, kind: &Kind, fields: &[Field]) {
    let mut commands = Vec::new();
    for (row, key) in kind.keys.iter().enumerate() {
        let data: Vec<(usize, &Field)> = fields.iter().enumerate().collect();
        // HAProxy takes 64 words a command.
        for part in data.chunks(25) {
            let part = part.iter().filter(|(_, field)| !keeps_its_server(row) || field.said != "server_id");
            let part: Vec<String> =
                part.map(|(at, field)| format!("data.{} {}", field.said, rows::number(row, *at))).collect();
            commands.push(format!("set table {table} key {} {}", word(&key.said), part.join(" ")));
        }
    }
    quiet(cli, &commands);
}

/// Waits until stickd has what HAProxy has, and checks that it is what it should be.
fn check_learned(pair: &Pair, release: &Release, kind: &Kind) -> [(String, Values); 2] {
    let (scalars, arrays) = (format!("scalars_{}", kind.name), format!("arrays_{}", kind.name));
    let full = |dump: &TableDump| dump.entries.len() == NUMBERS.len();
    let dumps = [pair.wait_same(&scalars, full), pair.wait_same(&arrays, full)];
    let fields = rows::fields(&rows::data_types(release, false));
    let learned = pair.stickd.table(&scalars);
    for (row, key) in kind.keys.iter().enumerate() {
        let entry = learned.entry(&key.printed);
        assert!(["s1", "s2"].contains(&entry.field("server_key")), "{scalars} {entry:?}");
        if keeps_its_server(row) || kind.is_binary() {
            assert!([7, 9].contains(&entry.number("server_id")), "{scalars} {entry:?}");
        }
        for (at, field) in fields.iter().enumerate().filter(|_| !kind.is_binary()) {
            check_field(&learned, &key.printed, row, at, field);
        }
        let gpt = pair.stickd.table(&arrays).entry(&key.printed).number("gpt2");
        let set_by_command = release.cli_addresses_array_elements() && !kind.is_binary();
        let at = if set_by_command { position(release, "gpt[2]") } else { 2 };
        assert_eq!(gpt, u64::from(rows::number(row, at) as u32), "{arrays} {:?}", key.said);
    }
    [(scalars, values(&dumps[0])), (arrays, values(&dumps[1]))]
}

fn position(release: &Release, said: &str) -> usize {
    let fields = rows::fields(&rows::data_types(release, true));
    fields.iter().position(|field| field.said == said).unwrap()
}

/// A field set by command has its number, cut to its width; one that is not learned has 0.
#[track_caller]
fn check_field(table: &TableDump, key: &str, row: usize, at: usize, field: &Field) {
    if field.said == "server_id" && keeps_its_server(row) {
        return;
    }
    let expected = if field.is_learned() { field.stored(rows::number(row, at)) } else { "0".to_owned() };
    assert_eq!(
        table.entry(key).field(&field.printed),
        expected,
        "{} of {key:?} in {}",
        field.said,
        table.name
    );
}

fn what_stickd_holds_reaches_haproxy(release: &Release) {
    let mut kinds = rows::kinds();
    // No command takes a binary key.
    kinds.retain(|kind| !kind.is_binary());
    let mut pair = setup(release, &kinds).start(release);
    let groups = [("scalars", false), ("arrays", true)]
        .map(|(group, arrays)| (group, rows::fields(&rows::data_types(release, arrays))));
    for (group, fields) in &groups {
        for kind in &kinds {
            set_all(&pair.stickd.cli(), &format!("{group}_{}", kind.name), kind, fields);
        }
    }
    for lesson in [false, true] {
        if lesson {
            pair.haproxy.restart();
        }
        for (group, fields) in &groups {
            for kind in &kinds {
                let table = format!("{group}_{}", kind.name);
                let dump = pair.wait_same(&table, |dump| dump.entries.len() == NUMBERS.len());
                for (row, key) in kind.keys.iter().enumerate() {
                    for (at, field) in fields.iter().enumerate() {
                        check_field(&dump, &key.printed, row, at, field);
                    }
                }
            }
        }
    }
    assert!(rows::data_types(release, true).iter().any(|one| one.form == Form::RateArray));
}
