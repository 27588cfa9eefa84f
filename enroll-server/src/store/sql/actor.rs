//! Who causes the change that runs.
//!
//! One thread writes, one change after the other; so what is said here once holds for every event of a change,
//! and no function in between has to hand it on.

use core::cell::RefCell;

use crate::audit::Caller;

std::thread_local! {
    static CURRENT: RefCell<Caller> = const { RefCell::new(Caller::SYSTEM) };
}

/// Runs `change`, whose events are caused by `caller`.
pub(super) fn acting_as<T>(caller: Caller, change: impl FnOnce() -> T) -> T {
    let before = CURRENT.replace(caller);
    let done = change();
    CURRENT.set(before);
    done
}

/// Who causes the change that runs.
pub(super) fn current() -> Caller {
    CURRENT.with_borrow(Clone::clone)
}
