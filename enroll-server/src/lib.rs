//! The enrollment server: appraises evidence, signs CSRs, keeps the inventory.
