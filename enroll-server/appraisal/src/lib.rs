//! Appraisal of evidence against endorsements, reference values and policy; pure.
