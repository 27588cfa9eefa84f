//! How a device stands, and the one table of moves from one state to another. Pure: the store asks it in the
//! transaction that makes the move.
//!
//! The states registered, held and enrolled follow from what a device has ([`Standing`]). Suspended, revoked and
//! retired are an operator's word, and nothing a device does leads out of them.

use core::fmt;

use shared::DeviceId;

use crate::written::Text;

/// How a device stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum DeviceState {
    /// Known; has no certificate and asks for none.
    Registered,
    /// Its request waits for an operator's approval; a certificate it has stays in force.
    Held,
    /// Has a certificate.
    Enrolled,
    /// Taken out of service for a time: gets nothing, and its certificates are on hold.
    Suspended,
    /// Revoked for good: gets nothing any more.
    Revoked,
    /// At the end of its life. The last state: its identifier stays taken.
    Retired,
}

impl DeviceState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Registered, Self::Held, Self::Enrolled, Self::Suspended, Self::Revoked, Self::Retired];

    /// The stable name, as in the database, in metrics and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Held => "held",
            Self::Enrolled => "enrolled",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Retired => "retired",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The moves that lead out of this state, or are at least allowed in it.
    pub fn moves(self) -> impl Iterator<Item = Move> {
        Move::ALL.into_iter().filter(move |step| step.target(self).is_some())
    }
}

/// What a device has at the moment: decides between registered, held and enrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// A request of its waits for approval.
    pub request: bool,
    /// It has a certificate that is not revoked.
    pub certificate: bool,
}

impl Standing {
    /// The state of a device that no operator has taken out of service.
    #[must_use]
    pub const fn state(self) -> DeviceState {
        match self {
            Self { request: true, .. } => DeviceState::Held,
            Self { certificate: true, .. } => DeviceState::Enrolled,
            Self { .. } => DeviceState::Registered,
        }
    }
}

/// What can happen to a device's state.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Move {
    /// A request of its is held.
    Hold,
    /// It gets a certificate.
    Issue,
    /// An operator approves its held request, or its next enrollment.
    Approve,
    /// An operator denies its held request.
    Deny,
    /// An operator takes it out of service for a time.
    Suspend,
    /// An operator ends a suspension.
    Resume,
    /// An operator revokes it for good.
    Revoke,
    /// An operator ends its life.
    Retire,
    /// It goes back to its maker, as if it had never been enrolled.
    Return,
    /// It gets another owner.
    Transfer,
}

/// Where a move leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// To what the device has.
    Standing,
    /// To this state.
    State(DeviceState),
}

impl Move {
    /// All moves.
    pub const ALL: [Self; 10] = [
        Self::Hold,
        Self::Issue,
        Self::Approve,
        Self::Deny,
        Self::Suspend,
        Self::Resume,
        Self::Revoke,
        Self::Retire,
        Self::Return,
        Self::Transfer,
    ];

    /// The stable name; for an operator's moves it is the command's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Issue => "issue",
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Revoke => "revoke",
            Self::Retire => "retire",
            Self::Return => "return",
            Self::Transfer => "transfer",
        }
    }

    /// The table. What it does not name is illegal.
    const fn target(self, from: DeviceState) -> Option<Target> {
        use DeviceState::{Enrolled, Held, Registered, Retired, Revoked, Suspended};
        match (self, from) {
            (Self::Hold | Self::Issue | Self::Approve, Registered | Held | Enrolled)
            | (Self::Deny, Held)
            | (Self::Resume, Suspended)
            | (Self::Return | Self::Transfer, Registered | Held | Enrolled | Suspended) => {
                Some(Target::Standing)
            }
            // To repeat an order is no mistake: it changes nothing.
            (Self::Suspend, Registered | Held | Enrolled | Suspended) => Some(Target::State(Suspended)),
            (Self::Revoke, Registered | Held | Enrolled | Suspended | Revoked) => {
                Some(Target::State(Revoked))
            }
            (Self::Retire, Registered | Held | Enrolled | Suspended | Revoked | Retired) => {
                Some(Target::State(Retired))
            }
            _ => None,
        }
    }

    /// Where this leads `device`, which is in `from`.
    ///
    /// # Errors
    /// Where the table has no such move; names those that it has.
    pub fn check(self, device: &DeviceId, from: DeviceState) -> Result<Step, IllegalMove> {
        match self.target(from) {
            Some(target) => Ok(Step { target }),
            None => Err(IllegalMove { device: device.clone(), from, step: self }),
        }
    }

    /// Whether it is a person who makes the move.
    #[must_use]
    pub const fn is_an_operators(self) -> bool {
        !matches!(self, Self::Hold | Self::Issue)
    }
}

/// A move that the table has. Made by [`Move::check`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    target: Target,
}

impl Step {
    /// The state it leads to, for a device that has `standing` by then.
    #[must_use]
    pub const fn to(self, standing: Standing) -> DeviceState {
        match self.target {
            Target::Standing => standing.state(),
            Target::State(state) => state,
        }
    }
}

/// A move that the table does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, schemars::JsonSchema)]
#[error("{device} is {}: it cannot {}; {}", from.name(), Phrase(*step), Legal(*from))]
pub struct IllegalMove {
    /// Whose.
    #[serde(with = "Text::<DeviceId>")]
    pub device: DeviceId,
    /// The state it is in.
    pub from: DeviceState,
    /// What was asked for.
    pub step: Move,
}

struct Phrase(Move);

impl fmt::Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Move::Hold => "wait for approval",
            Move::Issue => "get a certificate",
            Move::Approve => "be approved",
            Move::Deny => "be denied",
            Move::Suspend => "be suspended",
            Move::Resume => "be resumed",
            Move::Revoke => "be revoked",
            Move::Retire => "be retired",
            Move::Return => "be returned to factory",
            Move::Transfer => "be transferred",
        })
    }
}

struct Legal(DeviceState);

impl fmt::Display for Legal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.moves().filter(|step| step.is_an_operators()).map(Move::name).collect();
        write!(f, "what an operator can do: {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::{DeviceState, Move, Standing};
    use proptest::prelude::*;
    use shared::DeviceId;

    fn device() -> DeviceId {
        DeviceId::new("SN-1").unwrap()
    }

    fn standings() -> [Standing; 4] {
        let one = |request, certificate| Standing { request, certificate };
        [one(false, false), one(false, true), one(true, false), one(true, true)]
    }

    #[test]
    fn what_an_operator_ended_no_device_begins_again() {
        use DeviceState::{Retired, Revoked, Suspended};
        for from in [Suspended, Revoked, Retired] {
            for step in [Move::Hold, Move::Issue, Move::Approve] {
                assert!(step.check(&device(), from).is_err(), "{step:?} from {from:?}");
            }
        }
        assert_eq!(Revoked.moves().collect::<Vec<_>>(), [Move::Revoke, Move::Retire]);
        assert_eq!(Retired.moves().collect::<Vec<_>>(), [Move::Retire]);
        for standing in standings() {
            assert_eq!(Move::Retire.check(&device(), Revoked).unwrap().to(standing), Retired);
        }
    }

    #[test]
    fn an_illegal_move_names_the_legal_ones() {
        let error = Move::Resume.check(&device(), DeviceState::Revoked).unwrap_err();
        let text = "SN-1 is revoked: it cannot be resumed; what an operator can do: revoke, retire";
        assert_eq!(error.to_string(), text);
        let error = Move::Deny.check(&device(), DeviceState::Registered).unwrap_err().to_string();
        assert!(error.ends_with("can do: approve, suspend, revoke, retire, return, transfer"), "{error}");
        for state in DeviceState::ALL {
            assert_eq!(DeviceState::from_name(state.name()), Some(state));
            assert!(state.moves().any(Move::is_an_operators), "{state:?} is a dead end without a word");
        }
    }

    proptest! {
        /// Whatever happens in whatever order: a state out of service is left by an operator's word alone, the
        /// last one never, and a device in service stands as what it has says.
        #[test]
        fn every_history_keeps_the_rules(
            history in prop::collection::vec((0..Move::ALL.len(), any::<bool>(), any::<bool>()), 0..40)
        ) {
            use DeviceState::{Retired, Revoked, Suspended};
            let mut state = DeviceState::Registered;
            for (number, request, certificate) in history {
                let (step, standing) = (Move::ALL[number], Standing { request, certificate });
                let Ok(found) = step.check(&device(), state) else {
                    prop_assert!(!state.moves().any(|legal| legal == step));
                    continue;
                };
                let to = found.to(standing);
                match state {
                    Retired => prop_assert_eq!(to, Retired),
                    Revoked => prop_assert!(matches!(to, Revoked | Retired)),
                    Suspended => prop_assert!(to == Suspended || step.is_an_operators()),
                    _ => {}
                }
                match to {
                    Suspended => prop_assert_eq!(step, Move::Suspend),
                    Revoked => prop_assert_eq!(step, Move::Revoke),
                    Retired => prop_assert_eq!(step, Move::Retire),
                    live => prop_assert_eq!(live, standing.state()),
                }
                state = to;
            }
        }
    }
}
