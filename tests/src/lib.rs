//! What crosses crates: end to end, interoperation, faults.
