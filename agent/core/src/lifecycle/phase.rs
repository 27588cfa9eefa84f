//! The lifecycle's state as others see it.

/// Where a device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// No operational identity, and none is being asked for at the moment.
    Unenrolled,
    /// The first identity is being asked for.
    Enrolling,
    /// The request is held for an operator's approval.
    Pending,
    /// An identity was issued; the broker has not accepted it yet.
    OnTrial,
    /// The broker has accepted the identity in use.
    Operational,
    /// Operational, and the next identity is being asked for.
    Renewing,
    /// The server refused for good; it is asked once a day at most.
    Stopped,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 7] = [
        Self::Unenrolled,
        Self::Enrolling,
        Self::Pending,
        Self::OnTrial,
        Self::Operational,
        Self::Renewing,
        Self::Stopped,
    ];

    /// The stable name, as in logs and the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unenrolled => "unenrolled",
            Self::Enrolling => "enrolling",
            Self::Pending => "pending",
            Self::OnTrial => "on-trial",
            Self::Operational => "operational",
            Self::Renewing => "renewing",
            Self::Stopped => "stopped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Phase;

    /// Programs read them in the status, and people look for them in logs of years.
    #[test]
    fn names_are_stable() {
        let names = ["unenrolled", "enrolling", "pending", "on-trial", "operational", "renewing", "stopped"];
        assert_eq!(Phase::ALL.map(Phase::name), names);
    }
}
