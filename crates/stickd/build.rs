//! Puts the date of the release into the program, for `show info`.

fn main() {
    // The date of the newest entry of the change log, so that a build can be repeated.
    println!("cargo::rerun-if-changed=../../CHANGELOG.md");
    let log = std::fs::read_to_string("../../CHANGELOG.md").unwrap_or_default();
    let date = log.lines().find_map(|line| {
        let date = line.strip_prefix("## ")?.rsplit(' ').next()?;
        let digits =
            date.split('-').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        (digits && date.len() == 10).then(|| date.replace('-', "/"))
    });
    println!("cargo::rustc-env=STICKD_RELEASE_DATE={}", date.unwrap_or_else(|| "unreleased".to_owned()));
}
