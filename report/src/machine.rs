//! Versions and machine.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// What the program runs on, as pairs of name and value: version of Counterpoint, build, operating system, processor,
/// cores and memory. What cannot be found out is left out. Nothing in it names the machine or its user.
///
/// Other versions, such as burn's, and the device are for the program to add.
pub fn machine() -> Vec<(String, String)> {
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let kinds =
        RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()).with_memory(MemoryRefreshKind::nothing().with_ram());
    let mut facts = vec![
        ("Counterpoint".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("Build".to_owned(), format!("{build}, {}", std::env::consts::ARCH)),
    ];
    let mut add = |name: &str, value: Option<String>| {
        let known = value.map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        facts.extend(known.map(|value| (name.to_owned(), value)));
    };
    add("Operating system", System::long_os_version().ok());
    add("Kernel", System::kernel_version().ok());
    let system = System::new_with_specifics(kinds).ok();
    add("Processor", system.as_ref().and_then(|s| Some(s.cpus().first()?.brand().to_owned())));
    let threads = std::thread::available_parallelism().ok();
    add("Threads that may be used", threads.map(|n| n.to_string()));
    let memory = system.map(|s| s.total_memory()).filter(|bytes| *bytes > 0);
    add("Memory", memory.map(|bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described() {
        let facts = machine();
        let names: Vec<&str> = facts.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.starts_with(&["Counterpoint", "Build"]), "{facts:?}");
        assert!(names.contains(&"Memory"), "{facts:?}");
        assert!(facts.iter().all(|(_, value)| !value.trim().is_empty()), "{facts:?}");
    }
}
