//! The steps of a rollover, and when each may be taken. Pure: what stands and what is asked are arguments.
//!
//! ```text
//! prepared --switch--> switched --retire--> retired
//!     \--abort--> aborted
//! ```
//!
//! There is no way back from `switched`: certificates of the new CA are out. The way back is another rollover.

/// How far a rollover is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "RolloverStep")]
pub enum Step {
    /// The new CA is there and brokers know it; the trust bundle with both roots is out. The old CA still signs.
    Prepared,
    /// The new CA signs. The old one signs its revocation lists, and its certificates still count.
    Switched,
    /// The old CA is gone: out of the trust bundle, its certificates are refused.
    Retired,
    /// Given up before anything was signed by the new CA.
    Aborted,
}

impl Step {
    /// All steps.
    pub const ALL: [Self; 4] = [Self::Prepared, Self::Switched, Self::Retired, Self::Aborted];

    /// The stable name, as in the database and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Switched => "switched",
            Self::Retired => "retired",
            Self::Aborted => "aborted",
        }
    }

    /// The step of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    /// Whether the rollover goes on.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Prepared | Self::Switched)
    }
}

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Have the new CA sign.
    Switch,
    /// Give the old CA up.
    Retire,
    /// Give the new CA up.
    Abort,
}

impl Order {
    /// The command's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Retire => "retire",
            Self::Abort => "abort",
        }
    }
}

/// How the living devices stand to a rollover. A device lives if it is enrolled, suspended or held and has a certificate that
/// is neither revoked nor over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "RolloverStanding")]
pub struct Standing {
    /// Living devices.
    pub living: u64,
    /// Those of them that have not confirmed the trust bundle with the new root.
    pub unconfirmed: u64,
    /// Those of them with a certificate of another CA than the new one.
    pub unmoved: u64,
}

/// A step that may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The step that follows.
    pub to: Step,
    /// Devices that lose something by it; 0 unless it was forced.
    pub left_behind: u64,
}

/// Why a step is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotYet {
    /// It does not follow the step that was taken last.
    #[error("\"{}\" does not follow: the rollover is {}; {}", order.name(), step.name(), instead(*step))]
    OutOfOrder {
        /// What was asked for.
        order: Order,
        /// How far the rollover is.
        step: Step,
    },
    /// Devices do not trust the new root yet.
    #[error(
        "{unconfirmed} of {living} living devices have not confirmed the trust bundle with the new root; `ca status` names them, --force leaves them behind"
    )]
    Unconfirmed {
        /// How many do not.
        unconfirmed: u64,
        /// Of how many.
        living: u64,
    },
    /// Devices still have certificates of the old CA.
    #[error(
        "{unmoved} of {living} living devices still have a certificate of the old CA; `ca status` names them, --force leaves them behind"
    )]
    Unmoved {
        /// How many do.
        unmoved: u64,
        /// Of how many.
        living: u64,
    },
}

const fn instead(step: Step) -> &'static str {
    match step {
        Step::Prepared => "switch or abort it",
        Step::Switched => "retire the old CA, or begin again after that",
        Step::Retired | Step::Aborted => "begin another one with `ca rollover start`",
    }
}

/// Decides whether `order` may be carried out.
///
/// # Errors
/// Says what is missing, and for how many devices.
pub const fn decide(step: Step, order: Order, standing: Standing, force: bool) -> Result<Decided, NotYet> {
    let Standing { living, unconfirmed, unmoved } = standing;
    match (step, order) {
        (Step::Prepared, Order::Switch) => {
            if unconfirmed > 0 && !force {
                return Err(NotYet::Unconfirmed { unconfirmed, living });
            }
            Ok(Decided { to: Step::Switched, left_behind: unconfirmed })
        }
        (Step::Switched, Order::Retire) => {
            if unmoved > 0 && !force {
                return Err(NotYet::Unmoved { unmoved, living });
            }
            if unconfirmed > 0 && !force {
                return Err(NotYet::Unconfirmed { unconfirmed, living });
            }
            let left_behind = if unmoved > unconfirmed { unmoved } else { unconfirmed };
            Ok(Decided { to: Step::Retired, left_behind })
        }
        (Step::Prepared, Order::Abort) => Ok(Decided { to: Step::Aborted, left_behind: 0 }),
        (_, order) => Err(NotYet::OutOfOrder { order, step }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Decided, NotYet, Order, Standing, Step, decide};
    use proptest::prelude::*;

    const ORDERS: [Order; 3] = [Order::Switch, Order::Retire, Order::Abort];

    #[test]
    fn only_three_moves_are_legal() {
        let ready = Standing { living: 9, unconfirmed: 0, unmoved: 0 };
        let mut legal = Vec::new();
        for step in Step::ALL {
            assert_eq!(Step::from_name(step.name()), Some(step));
            for order in ORDERS {
                for force in [false, true] {
                    match decide(step, order, ready, force) {
                        Ok(Decided { to, left_behind: 0 }) => legal.push((step.name(), to.name())),
                        Ok(other) => panic!("{other:?}"),
                        // Force never makes an order legal that does not follow.
                        Err(error) => assert_eq!(error, NotYet::OutOfOrder { order, step }),
                    }
                }
            }
        }
        legal.dedup();
        assert_eq!(legal, [("prepared", "switched"), ("prepared", "aborted"), ("switched", "retired")]);
    }

    proptest! {
        #[test]
        fn nobody_is_left_behind_unless_it_is_forced(living in 0_u64..9, unconfirmed in 0_u64..9, unmoved in 0_u64..9) {
            let standing = Standing { living, unconfirmed, unmoved };
            let switched = decide(Step::Prepared, Order::Switch, standing, false);
            prop_assert_eq!(switched.is_ok(), unconfirmed == 0);
            let retired = decide(Step::Switched, Order::Retire, standing, false);
            prop_assert_eq!(retired.is_ok(), unconfirmed == 0 && unmoved == 0);
            for decided in [switched, retired].into_iter().flatten() {
                prop_assert_eq!(decided.left_behind, 0);
            }
            let forced = decide(Step::Switched, Order::Retire, standing, true).unwrap();
            prop_assert_eq!(forced.left_behind, unconfirmed.max(unmoved));
        }
    }
}
