// SPDX-License-Identifier: GPL-2.0

//! Files for the user.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Writes a file and its directories. On an error, such as a full disk, the earlier file stays.
pub fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&partial, contents))
        .and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_full_disk_leaves_no_half_of_a_file() {
        let directory = std::env::temp_dir().join(format!("vm-test-files-{}", std::process::id()));
        let path = directory.join("new").join("demo.html");
        write(&path, "first").unwrap();
        let partial = path.with_extension("html.partial");
        symlink("/dev/full", &partial).unwrap();
        let message = format!("{:#}", write(&path, "second").unwrap_err());
        assert!(message.contains("demo.html: No space left on device"), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert!(!partial.is_symlink());
        fs::remove_dir_all(&directory).unwrap();
    }
}
