//! What the kernel says of this process, under the names that every exporter gives it.

use std::fs;

/// What is known; a number that the kernel does not give is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// When it began, in seconds since 1970.
    pub started: Option<u64>,
    /// Resident memory in bytes.
    pub memory: Option<u64>,
    /// Open file descriptors.
    pub files: Option<u64>,
    /// How many may be open.
    pub most_files: Option<u64>,
}

impl Process {
    /// Looks.
    #[must_use]
    pub fn look() -> Self {
        let ticks = rustix::param::clock_ticks_per_second();
        let started = read("/proc/self/stat").zip(read("/proc/stat"));
        let pages = read("/proc/self/statm").and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
        let page = u64::try_from(rustix::param::page_size()).ok();
        Self {
            started: started.and_then(|(own, all)| started_at(&own, &all, ticks)),
            memory: pages.zip(page).map(|(pages, size)| pages.saturating_mul(size)),
            // Less the one by which they are counted.
            files: fs::read_dir("/proc/self/fd").ok().map(|list| (list.count() as u64).saturating_sub(1)),
            most_files: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
        }
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// proc(5): field 22 of `/proc/self/stat` in ticks since the boot, `btime` of `/proc/stat` in seconds since 1970.
fn started_at(own: &str, all: &str, ticks: u64) -> Option<u64> {
    // The second field is the program's name in brackets, and may hold anything.
    let (_, after) = own.rsplit_once(')')?;
    let since_boot = after.split_whitespace().nth(19)?.parse::<u64>().ok()?;
    let boot = all.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<u64>().ok()?;
    Some(boot.saturating_add(since_boot.checked_div(ticks)?))
}

#[cfg(test)]
mod tests {
    use super::{Process, started_at};

    #[test]
    fn the_kernel_says_everything_of_a_process() {
        let process = Process::look();
        assert!(process.started.is_some_and(|started| started > 1_500_000_000), "{process:?}");
        assert!(process.memory.is_some_and(|bytes| bytes > 100_000), "{process:?}");
        assert!(
            process.files.zip(process.most_files).is_some_and(|(open, most)| open <= most),
            "{process:?}"
        );
    }

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let fields = (3..=52).map(|n| if n == 22 { "250".to_owned() } else { "0".to_owned() });
        let own = format!("7 (a) b) {}", fields.collect::<Vec<_>>().join(" "));
        assert_eq!(started_at(&own, "cpu 1\nbtime 1000\n", 100), Some(1_002));
        assert_eq!(started_at("7 (a", "btime 1000\n", 100), None);
        assert_eq!(started_at(&own, "", 100), None);
    }
}
