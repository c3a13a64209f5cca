//! The memory that this process may use: the host's, or less where a control group bounds it.

use std::path::{Path, PathBuf};

/// What bounds the memory of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostMemory {
    /// `MemTotal` of the host.
    pub total_bytes: u64,
    /// `MemAvailable` of the host.
    pub available_bytes: u64,
    /// The tightest limit of the control groups that the process is in.
    pub cgroup_bytes: Option<u64>,
}

impl HostMemory {
    /// What `/proc` and the control groups say; `None` where `/proc` is not there.
    pub fn read() -> Option<HostMemory> {
        HostMemory::below(Path::new("/"))
    }

    /// The same in a tree that looks like the root of a file system.
    pub(super) fn below(root: &Path) -> Option<HostMemory> {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).ok();
        let meminfo = text("proc/meminfo")?;
        let groups = text("proc/self/cgroup").unwrap_or_default();
        Some(HostMemory {
            total_bytes: kibibytes(&meminfo, "MemTotal:")?,
            available_bytes: kibibytes(&meminfo, "MemAvailable:").unwrap_or(0),
            cgroup_bytes: groups.lines().filter_map(|line| cgroup_limit(root, line)).min(),
        })
    }

    /// What the process can have at most.
    pub fn limit_bytes(&self) -> u64 {
        self.cgroup_bytes.map_or(self.total_bytes, |limit| limit.min(self.total_bytes))
    }

    /// Where that comes from.
    pub fn limited_by(&self) -> &'static str {
        match self.cgroup_bytes {
            Some(limit) if limit < self.total_bytes => "its control group",
            Some(_) | None => "its memory",
        }
    }
}

/// A line such as `MemTotal:       24581544 kB`.
fn kibibytes(meminfo: &str, name: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// The tightest limit from the group of this line of `/proc/self/cgroup` up to the root. A group
/// without a limit says `max`, or a number beyond any memory.
fn cgroup_limit(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let (mount, file) = if number == "0" && controllers.is_empty() {
        ("sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|name| name == "memory") {
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    let mount = root.join(mount);
    let group: PathBuf = mount.join(path.trim_start_matches('/'));
    let groups = group.ancestors().take_while(|group| group.starts_with(&mount));
    let limits = groups.filter_map(|group| std::fs::read_to_string(group.join(file)).ok());
    limits.filter_map(|text| text.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A tree of files below a folder of its own, which goes with it.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, files: &[(&str, &str)]) -> Tree {
            let root = std::env::temp_dir().join(format!("ringwire-{}-{name}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Tree(root)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    const MEMINFO: &str = "MemTotal:        2048 kB\nMemFree: 12 kB\nMemAvailable:   1024 kB\n";

    #[test]
    fn the_tightest_group_above_the_process_counts() {
        let tree = Tree::new(
            "cgroup2",
            &[
                ("proc/meminfo", MEMINFO),
                ("proc/self/cgroup", "0::/system.slice/ringwire.service\n"),
                ("sys/fs/cgroup/system.slice/memory.max", "1048576\n"),
                ("sys/fs/cgroup/system.slice/ringwire.service/memory.max", "max\n"),
            ],
        );
        let memory = HostMemory::below(&tree.0).unwrap();
        assert_eq!(memory.total_bytes, 2 << 20);
        assert_eq!(memory.available_bytes, 1 << 20);
        assert_eq!((memory.limit_bytes(), memory.limited_by()), (1 << 20, "its control group"));
    }

    #[test]
    fn groups_of_the_first_version_count_too_and_none_is_no_limit() {
        let v1 = "4:cpu,cpuacct:/a\n9:memory:/docker/x\n0::/\n";
        let tree = Tree::new(
            "cgroup1",
            &[
                ("proc/meminfo", MEMINFO),
                ("proc/self/cgroup", v1),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "4096\n"),
                ("sys/fs/cgroup/cpu,cpuacct/a/memory.limit_in_bytes", "1\n"),
            ],
        );
        assert_eq!(HostMemory::below(&tree.0).unwrap().limit_bytes(), 4096);
        let tree = Tree::new("nocgroup", &[("proc/meminfo", MEMINFO)]);
        let memory = HostMemory::below(&tree.0).unwrap();
        assert_eq!((memory.limit_bytes(), memory.limited_by()), (2 << 20, "its memory"));
    }

    #[test]
    fn this_host_has_some() {
        let memory = HostMemory::read().expect("/proc is there");
        assert!(memory.limit_bytes() > 1 << 20 && memory.available_bytes <= memory.total_bytes);
    }
}
