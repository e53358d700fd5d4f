//! What this process has used, from `/proc` (Linux).

use std::time::Instant;

/// A field of `/proc/self/status` in MiB, such as `VmRSS` or `VmHWM` (the peak); absent on other systems.
pub fn memory_mib(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(value.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}

/// Sets the peak back to what is resident now, where the kernel lets us.
pub fn reset_peak() {
    // Where it does not, the peak is that of the whole run, which is an upper bound.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Seconds of user CPU time of all threads so far; absent on other systems. The kernel counts in hundredths.
pub fn user_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    Some(after_name.split_whitespace().nth(11)?.parse::<f64>().ok()? / 100.0)
}

/// Wall and user seconds of `work`.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, f64, f64) {
    let (started, user) = (Instant::now(), user_seconds());
    let result = work();
    let user = user.and_then(|before| Some(user_seconds()? - before));
    (result, started.elapsed().as_secs_f64(), user.unwrap_or(f64::NAN))
}
