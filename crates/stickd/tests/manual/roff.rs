//! stickd(1) and stickd.cfg(5).

use std::fmt::Write;

use clap_mangen::Man;
use stickd::config::{Place, keywords};

const CONFIGURATION: &str = "\
stickd reads HAProxy's configuration syntax: one line for each keyword, in sections. Words may be quoted, and \"$NAME\" in double quotes is a \
variable. Sizes are HAProxy's (1k is 1024), and so are times (500ms, 30s, 5m, 1h, 1d). Words of HAProxy without effect are warnings, other \
unknown words are errors. \"stickd check -f FILE\" describes what a file means, and \"stickd help KEYWORD\" prints an entry of this page.";

/// What clap_mangen writes before each section.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// The page of the configuration.
pub(crate) fn configuration() -> String {
    let mut text = format!(
        ".TH stickd.cfg 5 \"\" \"stickd {}\" \"File formats\"\n.SH NAME\nstickd.cfg \\- configuration of stickd, the stick\\-table server for HAProxy\n\
         .SH DESCRIPTION\n{}\n",
        env!("CARGO_PKG_VERSION"),
        escaped(CONFIGURATION)
    );
    for place in Place::ALL {
        let here: Vec<_> = keywords::all().iter().filter(|keyword| keyword.places.contains(&place)).collect();
        if here.is_empty() {
            continue;
        }
        let _ = writeln!(text, ".SH \"{}\"", escaped(&place.title().to_uppercase()));
        for keyword in here {
            let _ = writeln!(
                text,
                ".TP\n\\fB{}\\fR{}",
                escaped(keyword.word),
                escaped(&keyword.usage[keyword.word.len()..])
            );
            let _ = writeln!(text, "{}", escaped(keyword.text));
            if let Some(default) = keyword.default {
                let _ = writeln!(text, ".br\nDefault: {}.", escaped(default));
            }
        }
    }
    text.push_str(
        ".SH FILES\n.TP\n/etc/stickd/\nThe .cfg files here are the configuration of the packaged service, in the order of their names.\n\
         .SH \"SEE ALSO\"\n.BR stickd (1)\n",
    );
    text
}

/// The page of the command and of its subcommands.
pub(crate) fn command(command: &clap::Command) -> String {
    let man = |command: &clap::Command| Man::new(command.clone()).section("1");
    let mut bytes = Vec::new();
    let page = man(command);
    page.render_title(&mut bytes).unwrap();
    page.render_name_section(&mut bytes).unwrap();
    page.render_synopsis_section(&mut bytes).unwrap();
    page.render_description_section(&mut bytes).unwrap();
    let mut text = String::from_utf8(bytes).unwrap();
    // The name stands before the description already.
    text = text.replace("stickd \\- stickd: an ", "stickd \\- an ");
    text.push_str(".SH COMMANDS\n");
    for subcommand in command.get_subcommands() {
        let mut options = Vec::new();
        let page = man(subcommand);
        page.render_options_section(&mut options).unwrap();
        let options = String::from_utf8(options).unwrap().replace(".SH OPTIONS\n", "");
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        let usage = subcommand.clone().render_usage().to_string();
        let usage =
            usage.trim_start_matches("Usage: ").lines().map(str::trim).collect::<Vec<_>>().join("\n.br\n");
        let _ = write!(
            text,
            ".SS \"{}\"\n{}\n.PP\n{}\n{}",
            escaped(subcommand.get_name()),
            escaped(&about),
            usage
                .lines()
                .map(|line| if line == ".br" { line.to_owned() } else { escaped(line) })
                .collect::<Vec<_>>()
                .join("\n"),
            options
        );
    }
    // Each section defines the apostrophe again.
    let (first, rest) = text.split_at(PREAMBLE.len());
    let mut text = first.to_owned() + &rest.replace(PREAMBLE, "");
    text.push_str(
        ".SH \"EXIT STATUS\"\n0 on success, 1 when something is wrong with the configuration or with what was found, 2 for a faulty command line or when\n\
         the command could not do what it was asked for.\n\
         .SH SIGNALS\nSIGTERM and SIGINT stop the process at once. SIGUSR1 is a soft stop: the process teaches the one that takes over, and ends.\n\
         SIGUSR2 reloads: the next process takes over with all entries.\n\
         .SH \"SEE ALSO\"\n.BR stickd.cfg (5)\n",
    );
    text
}

/// Letters that roff would take for a request, for an escape or for a hyphen that may be another sign.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
