//! A configuration file of a test's own, which goes with it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// See the module's header.
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn new(text: &str) -> File {
        let name = format!("c-{}-{}.toml", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, text).expect("the folder is there");
        File(path)
    }

    /// A path beside the file, for a socket. Short enough for one.
    pub(crate) fn socket(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("rw-{}-{name}.sock", std::process::id()))
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }

    /// Writes it anew, as an editor does: at no moment is there half a file.
    pub(crate) fn write(&self, text: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, text).expect("the folder is there");
        std::fs::rename(&new, &self.0).expect("the same folder");
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
