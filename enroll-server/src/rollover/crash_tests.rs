//! A rollover that is killed, and one that runs against the store and the files by itself.
