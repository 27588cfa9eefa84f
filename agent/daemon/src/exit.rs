//! What the exit status of the program means. The table stands in the help and in the tests.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Failed for now: to be tried again.
    Later,
    /// The command line or the configuration is wrong.
    Usage,
    /// The server refused: an operator has to act.
    Refused,
    /// The state directory, a provisioned file or standard output cannot be used, or the configuration cannot be read.
    Files,
    /// There is no identity that is valid now.
    NotEnrolled,
    /// The server holds the request for approval.
    Pending,
}

impl Exit {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Done, Self::Later, Self::Usage, Self::Refused, Self::Files, Self::NotEnrolled, Self::Pending];

    /// The exit status.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Later => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Files => 4,
            Self::NotEnrolled => 5,
            Self::Pending => 6,
        }
    }

    /// What it means, as in the help.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Later => "failed for now; try again",
            Self::Usage => "the command line or the configuration is wrong",
            Self::Refused => "the enrollment server refused; an operator has to act",
            Self::Files => {
                "the state directory, a key, another file or the output cannot be used, or the configuration not be read"
            }
            Self::NotEnrolled => "the device has no certificate that is valid now",
            Self::Pending => "the enrollment server holds the request for an operator's approval",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.number().into()
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn numbers_ascend_from_zero() {
        for (index, exit) in Exit::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(exit.number()), index);
        }
    }
}
