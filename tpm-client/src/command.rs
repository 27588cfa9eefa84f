//! Commands and answers in bytes (TPM 2.0 Library, part 1, section 18).

use shared::tpm2::{Reader, Tpm2Error};
use zeroize::Zeroizing;

use super::{AuthValue, TpmError};

/// Tags (part 2, section 6.9).
const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
/// TPM_RS_PW: authorization by the authorization value itself.
const PASSWORD: u32 = 0x4000_0009;

/// A command's name and code (part 2, section 6.5.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Code(pub(super) &'static str, pub(super) u32);

/// A command that is being written. Wiped when dropped: it may hold authorization values.
pub(super) struct Command {
    code: Code,
    handles: Vec<u8>,
    sessions: Zeroizing<Vec<u8>>,
    parameters: Zeroizing<Vec<u8>>,
}

/// Room for what most commands hold, so that growing leaves no copies of a secret behind.
const ROOM: usize = 1024;

impl Command {
    pub(super) fn new(code: Code) -> Self {
        let room = || Zeroizing::new(Vec::with_capacity(ROOM));
        Self { code, handles: Vec::new(), sessions: room(), parameters: room() }
    }

    pub(super) const fn code(&self) -> Code {
        self.code
    }

    /// A handle that needs no authorization.
    pub(super) fn handle(mut self, handle: u32) -> Self {
        self.handles.extend(handle.to_be_bytes());
        self
    }

    /// A handle that is authorized with the empty password.
    pub(super) fn authorized(self, handle: u32) -> Self {
        self.authorized_with(handle, &AuthValue::default())
    }

    /// A handle that is authorized with this value (part 1, section 19.4: password authorizations).
    pub(super) fn authorized_with(self, handle: u32, auth: &AuthValue) -> Self {
        self.handle(handle).session(PASSWORD, auth.as_bytes())
    }

    /// A handle that is authorized by a policy session, which ends with this command.
    pub(super) fn by_policy(self, handle: u32, session: u32) -> Self {
        self.handle(handle).session(session, &[])
    }

    /// TPMS_AUTH_COMMAND without nonce and attributes.
    fn session(mut self, session: u32, auth: &[u8]) -> Self {
        self.sessions.extend(session.to_be_bytes());
        self.sessions.extend([0; 3]);
        self.sessions.extend(u16::try_from(auth.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.sessions.extend(auth);
        self
    }

    /// A TPM2B.
    pub(super) fn sized(self, content: &[u8]) -> Self {
        let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
        self.bytes(&length.to_be_bytes()).bytes(content)
    }

    pub(super) fn u16(self, number: u16) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(super) fn u32(self, number: u32) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.parameters.extend(bytes);
        self
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let area = self.sessions.len();
        let (tag, size) = if area == 0 { (NO_SESSIONS, 0) } else { (SESSIONS, 4) };
        let length = HEADER + self.handles.len() + size + area + self.parameters.len();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        bytes.extend(tag.to_be_bytes());
        bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(self.code.1.to_be_bytes());
        bytes.extend(&self.handles);
        if area > 0 {
            bytes.extend(u32::try_from(area).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend(self.sessions.iter());
        }
        bytes.extend(self.parameters.iter());
        bytes
    }
}

/// A good answer.
#[derive(Debug)]
pub(super) struct Answer {
    bytes: Vec<u8>,
    has_sessions: bool,
    name: &'static str,
}

/// An answer's header.
const HEADER: usize = 10;

impl Answer {
    /// Takes an answer apart.
    ///
    /// # Errors
    /// Where the TPM refused, or the answer has another form.
    pub(super) fn read(code: Code, bytes: Vec<u8>) -> Result<Self, TpmError> {
        let mut r = Reader::new(code.0, &bytes);
        let tag = r.u16("tag")?;
        let length = r.u32("length")?;
        let refused = r.u32("response code")?;
        if usize::try_from(length).ok() != Some(bytes.len()) {
            return Err(r.unsupported("length", length).into());
        }
        if refused != 0 {
            return Err(TpmError::Refused { command: code.0, code: refused });
        }
        Ok(Self { has_sessions: tag == SESSIONS, name: code.0, bytes })
    }

    /// The parameters.
    pub(super) fn parameters(&self) -> Result<Reader<'_>, Tpm2Error> {
        let mut r = Reader::new(self.name, self.bytes.get(HEADER..).unwrap_or_default());
        self.within_sessions(&mut r)
    }

    /// The handle in front of the parameters, and the parameters.
    pub(super) fn handle_and_parameters(&self) -> Result<(u32, Reader<'_>), Tpm2Error> {
        let mut r = Reader::new(self.name, self.bytes.get(HEADER..).unwrap_or_default());
        let handle = r.u32("handle")?;
        Ok((handle, self.within_sessions(&mut r)?))
    }

    /// With sessions, the length of the parameters stands before them, and the sessions' answers behind.
    fn within_sessions<'r>(&self, r: &mut Reader<'r>) -> Result<Reader<'r>, Tpm2Error> {
        if !self.has_sessions {
            return Ok(*r);
        }
        let length = r.u32("length of the parameters")?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(Reader::new(self.name, r.take(length, "parameters")?))
    }
}
