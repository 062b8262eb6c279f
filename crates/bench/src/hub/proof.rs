//! What tables hold, compared with what was counted.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use stickd_testkit::Cli;

use crate::workload::Keys;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// `http_req_cnt` of each key, added up over these tables of one process.
pub(super) fn sums(cli: &Cli, tables: &[String], keys: u64) -> Result<Vec<u32>> {
    let mut sums = vec![0; keys as usize];
    for table in tables {
        let dump = cli.try_run(&format!("show table {table}"))?;
        ensure!(dump.starts_with(&format!("# table: {table},")), "no table {table}: {dump:.200}");
        for line in dump.lines().filter(|line| line.starts_with("0x")) {
            let (key, sum) = entry(line).with_context(|| format!("not an entry of {table}: {line}"))?;
            *sums.get_mut(key as usize).with_context(|| format!("nobody counted {line}"))? += sum;
        }
    }
    Ok(sums)
}

/// Number of the key and `http_req_cnt` of a line of `show table`.
fn entry(line: &str) -> Option<(u64, u32)> {
    let word = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name));
    let key: std::net::Ipv4Addr = word("key=")?.parse().ok()?;
    Some((Keys::Ip.number(&key.octets())?, word("http_req_cnt=")?.parse().ok()?))
}

/// Waits until these tables of a process hold what was counted. `meanwhile` is called again and again.
pub(super) fn wait_for(
    who: &str,
    cli: &Cli,
    tables: &[String],
    counted: &[u32],
    limit: Duration,
    mut meanwhile: impl FnMut() -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        meanwhile()?;
        let fault = match sums(cli, tables, counted.len() as u64) {
            Ok(held) => match held.iter().zip(counted).position(|(held, counted)| held != counted) {
                None => return Ok(()),
                Some(key) => {
                    format!("{who} holds {} of key {key}, and {} were counted", held[key], counted[key])
                }
            },
            Err(error) => format!("{who}: {error:#}"),
        };
        if Instant::now() > deadline {
            bail!("{fault}, after {limit:?}");
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_haproxy_prints_them() {
        let key = super::super::address(77_777);
        let line =
            format!("0x5581: key={key} use=0 exp=3599000 shard=0 http_req_cnt=12 http_req_rate(10000)=3");
        assert_eq!(entry(&line), Some((77_777, 12)));
        assert_eq!(entry("0x5581: key=abc http_req_cnt=1"), None);
        assert_eq!(entry(&line.replace("http_req_cnt", "gpc0")), None);
    }
}
