//! The commands that are needed, over one connection (TPM 2.0 Library, part 3). What is loaded for a piece of
//! work is flushed when the work is done, well or not.

use std::path::Path;

use rand_core::{OsRng, RngCore as _};
use shared::tpm2::{MAX_ATTEST, MAX_PCRS, MAX_PUBLIC, PcrSet, Reader, algorithm};
use zeroize::Zeroizing;

use super::command::{Answer, Code, Command};
use super::connection::{self, Connection};
use super::objects::{KeyBlob, Loaded};
use super::{AuthValue, EkKind, Signed, TpmError, template};

const CREATE_PRIMARY: Code = Code("TPM2_CreatePrimary", 0x131);
const PCR_EXTEND: Code = Code("TPM2_PCR_Extend", 0x182);
const ACTIVATE_CREDENTIAL: Code = Code("TPM2_ActivateCredential", 0x147);
const CERTIFY: Code = Code("TPM2_Certify", 0x148);
const NV_READ: Code = Code("TPM2_NV_Read", 0x14e);
const POLICY_SECRET: Code = Code("TPM2_PolicySecret", 0x151);
const CREATE: Code = Code("TPM2_Create", 0x153);
const LOAD: Code = Code("TPM2_Load", 0x157);
const QUOTE: Code = Code("TPM2_Quote", 0x158);
const SIGN: Code = Code("TPM2_Sign", 0x15d);
const FLUSH_CONTEXT: Code = Code("TPM2_FlushContext", 0x165);
const NV_READ_PUBLIC: Code = Code("TPM2_NV_ReadPublic", 0x169);
const READ_PUBLIC: Code = Code("TPM2_ReadPublic", 0x173);
const START_AUTH_SESSION: Code = Code("TPM2_StartAuthSession", 0x176);
const GET_CAPABILITY: Code = Code("TPM2_GetCapability", 0x17a);
const PCR_READ: Code = Code("TPM2_PCR_Read", 0x17e);

/// Permanent handles (part 2, section 7.4).
const OWNER: u32 = 0x4000_0001;
const NULL: u32 = 0x4000_0007;
const ENDORSEMENT: u32 = 0x4000_000b;
/// First handle of loaded objects, and of loaded sessions: of those with a policy as well, whose own handles begin
/// with 3 (part 2, section 7.2; part 3, section 30.2).
const TRANSIENT: u32 = 0x8000_0000;
const LOADED_SESSIONS: u32 = 0x0200_0000;

/// The TPM is busy with itself: the same command again (part 2, section 6.6.3: YIELDED, TESTING, RETRY).
const AGAIN: [u32; 3] = [0x908, 0x90a, 0x922];
/// How often.
const ATTEMPTS: usize = 64;
/// TPM_RC_HANDLE for the first handle: there is nothing at this index (part 2, section 6.6.3).
const NO_SUCH_HANDLE: u32 = 0x18b;
/// Bytes that are read from non-volatile memory at once; every TPM can do so many.
const NV_CHUNK: u16 = 512;
/// Most handles that are listed: as many as an answer has room for (part 2, section 10.9.3: MAX_CAP_HANDLES).
const MAX_HANDLES: u32 = 254;
/// Longest content of an index that is read.
const MAX_NV: u16 = 4096;

/// A connection and the commands over it.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
}

impl Session {
    /// Opens a connection.
    pub(super) fn open(path: &Path) -> Result<Self, TpmError> {
        let mut session = Self { connection: Connection::open(path)? };
        // Nobody else cleans up after a process that died.
        if !connection::is_managed(path) {
            session.flush_leftovers()?;
        }
        Ok(session)
    }

    fn run(&mut self, command: &Command) -> Result<Answer, TpmError> {
        let bytes = command.to_bytes();
        let mut attempts = 0;
        loop {
            let answer = Answer::read(command.code(), self.connection.exchange(bytes.as_slice())?);
            match answer {
                Err(TpmError::Refused { code, .. }) if AGAIN.contains(&code) && attempts < ATTEMPTS => {
                    attempts += 1;
                }
                other => return other,
            }
        }
    }

    /// Does something with the storage root key loaded.
    pub(super) fn with_storage_root<T>(
        &mut self,
        work: impl FnOnce(&mut Self, u32) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let root = self.create_primary(OWNER, &template::storage_root())?;
        self.with_loaded(&root, |tpm, root| work(tpm, root.handle))
    }

    /// Does something with a key loaded.
    pub(super) fn with_key<T>(
        &mut self,
        key: &KeyBlob,
        work: impl FnOnce(&mut Self, u32) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        // Its parent goes before the work begins: a TPM has room for three objects.
        let handle = self.with_storage_root(|tpm, root| tpm.load(root, key))?;
        let loaded = Loaded { handle, public: key.public.clone() };
        self.with_loaded(&loaded, |tpm, key| work(tpm, key.handle))
    }

    /// Does something with the attestation key loaded.
    pub(super) fn with_attestation_key<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &Loaded) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let key = self.create_primary(ENDORSEMENT, &template::attestation_key())?;
        self.with_loaded(&key, work)
    }

    /// Does something with the endorsement key: the one that is kept in the TPM, else one made from its template,
    /// which is the same key.
    pub(super) fn with_endorsement_key<T>(
        &mut self,
        kind: EkKind,
        work: impl FnOnce(&mut Self, &Loaded) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        if let Some(handle) = kind.persistent_handle()
            && let Some(public) = self.read_public(handle)?
            && is_made_from(&public, &kind.template())
        {
            return work(self, &Loaded { handle, public });
        }
        let key = self.create_primary(ENDORSEMENT, &kind.template())?;
        self.with_loaded(&key, work)
    }

    fn with_loaded<T>(
        &mut self,
        object: &Loaded,
        work: impl FnOnce(&mut Self, &Loaded) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let outcome = work(self, object);
        let flushed = self.flush(object.handle);
        let outcome = outcome?;
        flushed.map(|()| outcome)
    }

    fn create_primary(&mut self, hierarchy: u32, template: &[u8]) -> Result<Loaded, TpmError> {
        let command = Command::new(CREATE_PRIMARY).authorized(hierarchy);
        let command = with_template(command, template, &AuthValue::default());
        let answer = self.run(&command)?;
        let (handle, mut r) = answer.handle_and_parameters()?;
        let public = r.sized(MAX_PUBLIC, "public area")?.to_vec();
        Ok(Loaded { handle, public })
    }

    pub(super) fn create(
        &mut self,
        parent: u32,
        template: &[u8],
        auth: &AuthValue,
    ) -> Result<KeyBlob, TpmError> {
        let answer = self.run(&with_template(Command::new(CREATE).authorized(parent), template, auth))?;
        let mut r = answer.parameters()?;
        let private = r.sized(512, "private part")?.to_vec();
        let public = r.sized(MAX_PUBLIC, "public area")?.to_vec();
        Ok(KeyBlob { public, private })
    }

    pub(super) fn load(&mut self, parent: u32, key: &KeyBlob) -> Result<u32, TpmError> {
        let command = Command::new(LOAD).authorized(parent).sized(&key.private).sized(&key.public);
        Ok(self.run(&command)?.handle_and_parameters()?.0)
    }

    fn flush(&mut self, handle: u32) -> Result<(), TpmError> {
        // The handle is a parameter of this one command.
        self.run(&Command::new(FLUSH_CONTEXT).u32(handle)).map(drop)
    }

    fn flush_leftovers(&mut self) -> Result<(), TpmError> {
        for first in [TRANSIENT, LOADED_SESSIONS] {
            self.handles(first)?.into_iter().try_for_each(|handle| self.flush(handle))?;
        }
        Ok(())
    }

    /// The handles that are in use from this one on, ascending; of the same type all of them.
    pub(super) fn handles(&mut self, first: u32) -> Result<Vec<u32>, TpmError> {
        const HANDLES: u32 = 1;
        let command = Command::new(GET_CAPABILITY).u32(HANDLES).u32(first).u32(MAX_HANDLES);
        let answer = self.run(&command)?;
        let mut r = answer.parameters()?;
        let _more = r.u8("flag")?;
        let _capability = r.u32("capability")?;
        let count = r.u32("number of handles")?;
        (0..count.min(MAX_HANDLES)).map(|_| r.u32("handle").map_err(TpmError::from)).collect()
    }

    pub(super) fn read_public(&mut self, handle: u32) -> Result<Option<Vec<u8>>, TpmError> {
        match self.run(&Command::new(READ_PUBLIC).handle(handle)) {
            Ok(answer) => Ok(Some(answer.parameters()?.sized(MAX_PUBLIC, "public area")?.to_vec())),
            Err(TpmError::Refused { code: NO_SUCH_HANDLE, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// TPMT_SIGNATURE over a digest, by the key's own scheme.
    pub(super) fn sign(
        &mut self,
        key: u32,
        auth: &AuthValue,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, TpmError> {
        // No ticket: the key is not restricted (TPMT_TK_HASHCHECK of the null hierarchy).
        const HASH_CHECK: u16 = 0x8024;
        let command = Command::new(SIGN).authorized_with(key, auth).sized(digest).u16(algorithm::NULL);
        let answer = self.run(&command.u16(HASH_CHECK).u32(NULL).sized(&[]))?;
        Ok(answer.parameters()?.rest().to_vec())
    }

    pub(super) fn certify(&mut self, key: u32, ak: u32, extra_data: &[u8]) -> Result<Signed, TpmError> {
        let command = Command::new(CERTIFY).authorized(key).authorized(ak);
        let answer = self.run(&command.sized(extra_data).u16(algorithm::NULL))?;
        signed(answer.parameters()?)
    }

    pub(super) fn quote(&mut self, ak: u32, set: PcrSet, extra_data: &[u8]) -> Result<Signed, TpmError> {
        let command = Command::new(QUOTE).authorized(ak).sized(extra_data).u16(algorithm::NULL);
        signed(self.run(&command.bytes(&set.to_bytes()))?.parameters()?)
    }

    pub(super) fn activate_credential(
        &mut self,
        ak: u32,
        ek: u32,
        credential: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let session = self.start_policy_session()?;
        let satisfied = self.policy_secret(session);
        let command =
            Command::new(ACTIVATE_CREDENTIAL).authorized(ak).by_policy(ek, session).bytes(credential);
        let answer = satisfied.and_then(|()| self.run(&command));
        match answer {
            Ok(answer) => Ok(Zeroizing::new(answer.parameters()?.sized(64, "secret")?.to_vec())),
            Err(error) => {
                // A command that fails leaves its session open. Why it failed says more than that the session stays.
                _ = self.flush(session);
                Err(error)
            }
        }
    }

    fn start_policy_session(&mut self) -> Result<u32, TpmError> {
        const POLICY: u8 = 1;
        let mut nonce = [0; 16];
        OsRng.try_fill_bytes(&mut nonce).map_err(|_| TpmError::Random)?;
        let command = Command::new(START_AUTH_SESSION).handle(NULL).handle(NULL).sized(&nonce).sized(&[]);
        let command = command.bytes(&[POLICY]).u16(algorithm::NULL).u16(algorithm::SHA256);
        Ok(self.run(&command)?.handle_and_parameters()?.0)
    }

    /// What the policy of endorsement keys asks for: the authorization of the endorsement hierarchy.
    fn policy_secret(&mut self, session: u32) -> Result<(), TpmError> {
        let command = Command::new(POLICY_SECRET).authorized(ENDORSEMENT).handle(session);
        self.run(&command.sized(&[]).sized(&[]).sized(&[]).u32(0)).map(drop)
    }

    /// The content of an index; `None` where there is no such index.
    pub(super) fn read_nv(&mut self, index: u32) -> Result<Option<Vec<u8>>, TpmError> {
        let answer = match self.run(&Command::new(NV_READ_PUBLIC).handle(index)) {
            Err(TpmError::Refused { code: NO_SUCH_HANDLE, .. }) => return Ok(None),
            other => other?,
        };
        let mut r = answer.parameters()?;
        let mut area = Reader::new("public area of an index", r.sized(128, "public area")?);
        let _index_and_algorithm = area.take(6, "index")?;
        let _attributes = area.u32("attributes")?;
        let _policy = area.sized(64, "policy")?;
        let length = area.u16("length")?;
        if length > MAX_NV {
            return Err(area.unsupported("length", length.into()).into());
        }
        let mut content = Vec::with_capacity(length.into());
        while let Ok(offset) = u16::try_from(content.len())
            && offset < length
        {
            let part = NV_CHUNK.min(length - offset);
            let command = Command::new(NV_READ).authorized(index).handle(index).u16(part).u16(offset);
            let answer = self.run(&command)?;
            let read = answer.parameters()?.sized(NV_CHUNK.into(), "content")?.to_vec();
            if read.len() != usize::from(part) {
                return Err(area.unsupported("content", part.into()).into());
            }
            content.extend(read);
        }
        Ok(Some(content))
    }

    /// Register and value of a set, ascending.
    pub(super) fn read_registers(&mut self, set: PcrSet) -> Result<Vec<(u8, Vec<u8>)>, TpmError> {
        let mut values = Vec::with_capacity(MAX_PCRS);
        for register in set.iter() {
            let one = PcrSet::new(set.bank, &[register]).ok_or(TpmError::NoRegisters)?;
            let answer = self.run(&Command::new(PCR_READ).bytes(&one.to_bytes()))?;
            let mut r = answer.parameters()?;
            let _updates = r.u32("update counter")?;
            let _selection = r.take(one.to_bytes().len(), "selection")?;
            let count = r.u32("number of values")?;
            if count != 1 {
                // The TPM does not have this bank.
                return Err(r.unsupported("number of values", count).into());
            }
            values.push((register, r.sized(set.bank.length(), "value")?.to_vec()));
        }
        Ok(values)
    }

    /// Extends a register of the SHA-256 bank, as firmware does when it measures.
    ///
    /// # Errors
    /// Where the TPM fails.
    pub fn extend(&mut self, register: u8, digest: &[u8; 32]) -> Result<(), TpmError> {
        let command = Command::new(PCR_EXTEND).authorized(register.into());
        self.run(&command.u32(1).u16(algorithm::SHA256).bytes(digest)).map(drop)
    }
}

/// TPM2B_SENSITIVE_CREATE with nothing in it but the authorization value, the template, no outside info, no creation
/// registers.
fn with_template(command: Command, template: &[u8], auth: &AuthValue) -> Command {
    let auth = auth.as_bytes();
    let length = u16::try_from(auth.len()).unwrap_or(u16::MAX);
    // TPM2B_SENSITIVE_CREATE: its length, then userAuth and data, each with a length.
    command.u16(length.saturating_add(4)).sized(auth).sized(&[]).sized(template).sized(&[]).u32(0)
}

fn signed(mut r: Reader<'_>) -> Result<Signed, TpmError> {
    let attest = r.sized(MAX_ATTEST, "attestation")?.to_vec();
    Ok(Signed { attest, signature: r.rest().to_vec() })
}

/// Whether a public area differs from a template in nothing but its last field, the key itself.
fn is_made_from(public: &[u8], template: &[u8]) -> bool {
    // Both kinds of endorsement key end with placeholders as long as the key.
    const KEY: usize = 256;
    let parameters = template.len().checked_sub(KEY);
    public.len() == template.len()
        && parameters.is_some_and(|length| public.get(..length) == template.get(..length))
}
