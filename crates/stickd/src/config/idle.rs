//! Configurations with which a process would do nothing, such as an empty file.

use super::Config;
use super::diagnostic::{Diagnostic, Diagnostics};

const HELP: &str = "a peers section makes a node of a cluster, for example `peers mycluster` with the lines `bind :10000`, \
                    `server lb1 10.0.0.11:10000` and `table t type ip size 1m expire 10m store gpc0`";

/// Refuses a configuration with which nothing would listen, and warns where only the runtime API would.
pub(crate) fn refuse_idle(mut config: Config) -> Result<Config, Diagnostics> {
    if config.sections.iter().any(|section| !section.disabled) {
        return Ok(config);
    }
    let why = if config.sections.is_empty() {
        "there is no peers section and no aggregations section"
    } else {
        "every section is disabled"
    };
    let what = match (config.global.stats_sockets.is_empty(), config.global.http.binds.is_empty()) {
        (true, true) => {
            let fault = format!("{why}, and no stats socket: stickd would serve nothing");
            return Err(config.warnings.with(vec![Diagnostic::without_place(fault).help(HELP)]));
        }
        (false, true) => "the stats socket is",
        (true, false) => "HTTP is",
        (false, false) => "the stats socket and HTTP are",
    };
    let warning = format!("{why}: only {what} served, and nothing is shared");
    config.warnings = config.warnings.with(vec![Diagnostic::warning_without_place(warning).help(HELP)]);
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Options;
    use super::*;

    #[test]
    fn a_process_that_would_serve_nothing_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let load = |text: &str| {
            let file = directory.path().join("a.cfg");
            fs::write(&file, text).unwrap();
            let options = Options { local_peer: Some("me".to_owned()), ..Options::default() };
            match Config::load(&[file], &options).and_then(refuse_idle) {
                Ok(config) => (true, config.warnings.render(false)),
                Err(diagnostics) => (false, diagnostics.render(false)),
            }
        };
        let section = "peers p\n  peer me 127.0.0.1:1\n";
        for (text, good, says) in [
            ("", false, "there is no peers section and no aggregations section, and no stats socket"),
            ("# nothing\n", false, "stickd would serve nothing"),
            ("global\n  localpeer me\n", false, "stickd would serve nothing"),
            (&format!("{section}  disabled\n"), false, "every section is disabled, and no stats socket"),
            (
                "global\n  stats socket /run/s\n",
                true,
                "only the stats socket is served, and nothing is shared",
            ),
            ("global\n  http bind 127.0.0.1:1\n", true, "only HTTP is served, and nothing is shared"),
            (section, true, ""),
        ] {
            let (is_good, rendered) = load(text);
            assert_eq!(is_good, good, "{text}: {rendered}");
            assert!(rendered.contains(says) && rendered.is_empty() == says.is_empty(), "{text}: {rendered}");
        }
    }
}
