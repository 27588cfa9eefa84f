//! Who causes the change that runs.
//!
//! One thread writes, one change after the other; so what is said here once holds for every event of a change,
//! and no function in between has to hand it on.

use core::cell::RefCell;

use crate::audit::Actor;

std::thread_local! {
    static CURRENT: RefCell<Actor> = const { RefCell::new(Actor::System) };
}

/// Runs `change`, whose events are caused by `actor`.
pub(super) fn acting_as<T>(actor: Actor, change: impl FnOnce() -> T) -> T {
    let before = CURRENT.replace(actor);
    let done = change();
    CURRENT.set(before);
    done
}

/// Who causes the change that runs.
pub(super) fn current() -> Actor {
    CURRENT.with_borrow(Clone::clone)
}
