//! Panics: broken assertions of the program itself, said in one sentence.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use crate::failure::one_line;

thread_local! {
    /// What a panic of this thread says, where it is to be caught; `None` where it is to be reported.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on a panic is reported by `complain`, once, however many threads panic; unwinding then
/// removes what was half written.
pub fn install(complain: fn(&str)) {
    static REPORTED: Once = Once::new();
    panic::set_hook(Box::new(move |info| {
        let sentence = describe(info);
        let caught = CAUGHT.with_borrow_mut(|caught| caught.as_mut().map(|said| said.clone_from(&sentence)));
        if caught.is_none() {
            REPORTED.call_once(|| complain(&format!("error: {sentence}")));
        }
    }));
}

/// What `work` returns, or, if it panics, what it panicked about.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    CAUGHT.set(Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    let said = CAUGHT.take().unwrap_or_default();
    result.map_err(|_| said)
}

/// A broken assertion, in one sentence.
fn describe(info: &PanicHookInfo<'_>) -> String {
    let what = one_line(info.payload_as_str().unwrap_or("unknown"));
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    format!("this is a mistake in Portcullis itself, at {place}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_is_a_sentence() {
        install(|_| ());
        assert_eq!(catch(|| 3), Ok(3));
        let said = catch(|| -> u32 { panic!("sums are\nbroken") }).expect_err("a panic");
        assert!(said.contains("panics.rs:") && said.ends_with(": sums are broken"), "{said}");
        assert_eq!(catch(|| 4), Ok(4));
    }
}
