//! The OCI image, by buildah and without an engine: the program, the libraries that it is linked with, and nothing else.
//!
//! `Containerfile` in the repository builds the same from published base images, where these can be reached.

use super::metadata::Metadata;
use crate::run;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user of the process, as in distroless images.
const USER: &str = "65532:65532";
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Builds the image; returns its archive, or `None` without buildah.
pub(super) fn build(metadata: &Metadata, program: &Path, output: &Path) -> Result<Option<PathBuf>> {
    if run::which("buildah").is_none() {
        println!("no image: buildah is missing (Debian's package `buildah`)");
        return Ok(None);
    }
    let context = output.join("image");
    let _ = fs::remove_dir_all(&context);
    let root = context.join("root");
    copy(program, &root.join("usr/bin/stickd"))?;
    copy(&run::root().join("packaging/container.cfg"), &root.join("etc/stickd/stickd.cfg"))?;
    for library in libraries(program)? {
        copy(&library, &root.join(library.strip_prefix("/")?))?;
    }
    if Path::new(AUTHORITIES).exists() {
        copy(Path::new(AUTHORITIES), &root.join(AUTHORITIES.trim_start_matches('/')))?;
    }
    for directory in ["var/lib/stickd", "run/stickd", "tmp"] {
        fs::create_dir_all(context.join("owned").join(directory))?;
    }
    let file = context.join("Containerfile");
    fs::write(&file, container_file()?)?;
    let name = format!("stickd:{}", metadata.version);
    let archive = output.join(format!("stickd-{}-{}.oci.tar", metadata.version, std::env::consts::ARCH));
    let _ = fs::remove_file(&archive);
    let store = context.join("store");
    let buildah = || {
        let mut buildah = Command::new("buildah");
        buildah.args(["--storage-driver", "vfs", "--root"]).arg(store.join("root"));
        buildah.arg("--runroot").arg(store.join("run"));
        buildah
    };
    run::output(buildah().args(["bud", "--isolation", "chroot", "-t", &name, "-f"]).arg(&file).arg(&context))
        .context("cannot build the image")?;
    run::output(buildah().args(["push", &name]).arg(format!("oci-archive:{}:{name}", archive.display())))?;
    fs::remove_dir_all(&context)?;
    Ok(Some(archive))
}

/// The last stage of the repository's file, on nothing instead of on a base image.
fn container_file() -> Result<String> {
    let text = fs::read_to_string(run::root().join("Containerfile"))?;
    let (_, last) = text.rsplit_once("\nFROM ").context("the Containerfile has no second stage")?;
    let kept = last.lines().skip(1).filter(|line| !line.starts_with("COPY ") && !line.starts_with('#'));
    Ok(format!(
        "FROM scratch\nCOPY root/ /\nCOPY --chown={USER} owned/ /\n{}\n",
        kept.collect::<Vec<_>>().join("\n")
    ))
}

/// The libraries that a program is linked with, and its loader.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = run::output(Command::new("ldd").arg(program))?;
    Ok(listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("no directory")?)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_runs_as_the_containerfile_says() {
        let text = container_file().unwrap();
        for line in ["FROM scratch", "COPY root/ /", "USER 65532:65532", "VOLUME /var/lib/stickd"] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
        assert!(text.contains("ENTRYPOINT [\"/usr/bin/stickd\"]") && !text.contains("--from"), "{text}");
    }
}
