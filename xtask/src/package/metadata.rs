//! What the daemon's manifest says of packages.

use crate::run;
use anyhow::{Context, Result, anyhow};
use std::fs;
use std::path::{Path, PathBuf};
use toml::Table;

/// The package and its files.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) version: String,
    pub(super) description: String,
    pub(super) extended: String,
    pub(super) maintainer: String,
    pub(super) section: String,
    pub(super) depends: String,
    pub(super) assets: Vec<Asset>,
    pub(super) conf_files: Vec<String>,
    /// What the RPM has beside its files.
    pub(super) rpm: Rpm,
}

/// `[package.metadata.generate-rpm]`.
#[derive(Debug)]
pub(super) struct Rpm {
    pub(super) summary: String,
    pub(super) license: String,
    /// Names of sections of a spec, and their scripts.
    pub(super) scripts: Vec<(&'static str, String)>,
    /// The files, with the words that stand before each in a list of files.
    pub(super) assets: Vec<(Asset, &'static str)>,
}

/// A file of the package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asset {
    /// In the repository; `None` for the program itself.
    pub(super) from: Option<PathBuf>,
    /// In the package, without a slash before it.
    pub(super) to: PathBuf,
    pub(super) mode: u32,
}

impl Metadata {
    /// Reads the manifest of the daemon.
    pub(super) fn read(manifest: &Path) -> Result<Self> {
        let parse = |path: &Path| -> Result<Table> {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            text.parse().with_context(|| format!("{} is no TOML", path.display()))
        };
        let crate_directory = manifest.parent().context("no directory")?;
        let (own, workspace) = (parse(manifest)?, parse(&run::root().join("Cargo.toml"))?);
        let package = own.get("package").context("no [package]")?;
        let deb = package
            .get("metadata")
            .and_then(|metadata| metadata.get("deb"))
            .context("no [package.metadata.deb]")?;
        let rpm = package
            .get("metadata")
            .and_then(|metadata| metadata.get("generate-rpm"))
            .context("no [package.metadata.generate-rpm]")?;
        let version = workspace.get("workspace").and_then(|table| table.get("package")?.get("version"));
        let text = |table: &toml::Value, name: &str| {
            let value = table.get(name).and_then(toml::Value::as_str).map(|text| text.trim().to_owned());
            value.with_context(|| format!("no text \"{name}\" in the manifest"))
        };
        let list = |name: &str| deb.get(name).and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let assets =
            list("assets").iter().map(|asset| Asset::read(asset, crate_directory)).collect::<Result<_>>()?;
        Ok(Self {
            version: version.and_then(toml::Value::as_str).context("no version")?.to_owned(),
            description: text(package, "description")?,
            extended: text(deb, "extended-description")?,
            maintainer: text(deb, "maintainer")?,
            section: text(deb, "section")?,
            depends: text(deb, "depends")?,
            assets,
            conf_files: list("conf-files")
                .iter()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            rpm: Rpm {
                summary: text(rpm, "summary")?,
                license: text(rpm, "license")?,
                scripts: vec![
                    ("post", text(rpm, "post_install_script")?),
                    ("preun", text(rpm, "pre_uninstall_script")?),
                    ("postun", text(rpm, "post_uninstall_script")?),
                ],
                assets: rpm
                    .get("assets")
                    .and_then(toml::Value::as_array)
                    .into_iter()
                    .flatten()
                    .map(Asset::read_of_rpm)
                    .collect::<Result<_>>()?,
            },
        })
    }
}

impl Asset {
    fn read(value: &toml::Value, crate_directory: &Path) -> Result<Self> {
        let words: Vec<_> = value.as_array().into_iter().flatten().filter_map(toml::Value::as_str).collect();
        let [from, to, mode] = words[..] else { return Err(anyhow!("not an asset: {value:?}")) };
        let program = from.starts_with("target/release/");
        let name = Path::new(from).file_name().with_context(|| format!("no file: {from}"))?;
        let to = if to.ends_with('/') { Path::new(to).join(name) } else { to.into() };
        Ok(Self {
            from: (!program).then(|| crate_directory.join(from)),
            to: to.strip_prefix("/").map(Path::to_owned).unwrap_or(to),
            mode: u32::from_str_radix(mode, 8).with_context(|| format!("not a mode: {mode}"))?,
        })
    }

    fn read_of_rpm(value: &toml::Value) -> Result<(Self, &'static str)> {
        let text = |name: &str| value.get(name).and_then(toml::Value::as_str);
        let (Some(from), Some(to), Some(mode)) = (text("source"), text("dest"), text("mode")) else {
            return Err(anyhow!("not an asset: {value:?}"));
        };
        let is_doc = value.get("doc").and_then(toml::Value::as_bool) == Some(true);
        let words = match text("config") {
            Some(_) => "%config(noreplace) ",
            None if is_doc => "%doc ",
            None => "",
        };
        let asset = Self {
            from: (!from.starts_with("target/release/")).then(|| run::root().join(from)),
            to: to.trim_start_matches('/').into(),
            mode: u32::from_str_radix(mode, 8).with_context(|| format!("not a mode: {mode}"))?,
        };
        Ok((asset, words))
    }

    /// Puts the file below a directory.
    pub(super) fn install(&self, program: &Path, root: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let to = root.join(&self.to);
        fs::create_dir_all(to.parent().unwrap_or(root))?;
        let from = self.from.as_deref().unwrap_or(program);
        fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(fs::set_permissions(&to, fs::Permissions::from_mode(self.mode))?)
    }
}
