//! Nothing unwinds out of a plugin: panics are caught, with the place where they happened.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Place and message of this thread's last panic.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`.
///
/// # Errors
/// Place and message of its panic. What `work` left half done must not be used again.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    remember_places();
    LAST.set(None);
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let message = LAST.take().unwrap_or_else(|| format!("panicked: {}", text(payload.as_ref())));
        // The payload is the author's, and its drop may panic as well.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
        message
    })
}

/// Before the hook that there is (which writes to standard error), notes what panicked where. A plugin has a standard library, and
/// so a hook, of its own: the program's is not touched.
fn remember_places() {
    static ONCE: Once = Once::new();
    // A thread that is already panicking may not change the hook.
    if ONCE.is_completed() || std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            let place = info.location().map(|place| format!(" at {place}")).unwrap_or_default();
            let message = format!("panicked{place}: {}", text(info.payload()));
            // No place for it while the thread ends: then the panic is reported without.
            let _ = LAST.try_with(|last| last.try_borrow_mut().map(|mut last| *last = Some(message)));
            before(info);
        }));
    });
}

fn text(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
