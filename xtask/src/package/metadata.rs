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
