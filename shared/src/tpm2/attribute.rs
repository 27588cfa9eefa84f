//! The attributes of an object that decide what it can be used for (TPM 2.0 Library, part 2, section 8.3,
//! TPMA_OBJECT).

/// It cannot leave its TPM.
pub const FIXED_TPM: u32 = 1 << 1;
/// It cannot get another parent.
pub const FIXED_PARENT: u32 = 1 << 4;
/// The TPM made it, from its own random numbers.
pub const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
/// Its user authorization is its authorization value.
pub const USER_WITH_AUTH: u32 = 1 << 6;
/// Administration needs its policy.
pub const ADMIN_WITH_POLICY: u32 = 1 << 7;
/// Wrong authorizations of it do not count towards a lockout.
pub const NO_DA: u32 = 1 << 10;
/// It can leave its TPM encrypted only.
pub const ENCRYPTED_DUPLICATION: u32 = 1 << 11;
/// It is used only on structures that the TPM made or knows.
pub const RESTRICTED: u32 = 1 << 16;
/// It decrypts.
pub const DECRYPT: u32 = 1 << 17;
/// It signs.
pub const SIGN: u32 = 1 << 18;

/// What makes an object one of its TPM for good.
pub const OF_THIS_TPM: u32 = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN;
