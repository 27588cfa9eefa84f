//! Defects that the simulation is there to find. For its own tests: nothing on the command line reaches this.

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The server tells all who are turned away the same time.
    SameTime,
    /// It tells them none.
    NoTime,
    /// It turns nobody away.
    AdmitsAll,
    /// A device gives up for the day when it is turned away.
    GivesUp,
    /// A device takes a connection that a server with too much to do closed at once for a refused certificate.
    TakenForRefusal,
}
