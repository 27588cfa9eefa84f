//! Making one-time tokens, one or many.

use core::time::Duration;

use appraisal::GroupName;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use shared::{DeviceId, tokentext};
use zeroize::Zeroizing;

use crate::admin::{Admin, AdminError, NewToken};
use crate::issuance::token_hash;
use crate::store::{Sha256, Token};

/// Tokens to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The one device they are for; any, where none is named.
    pub device: Option<DeviceId>,
    /// The group they are limited to, and which their devices are put into.
    pub group: Option<GroupName>,
    /// How long they are good for.
    pub lifetime: Duration,
    /// In the short form that people can type, with 75 random bits in place of 128.
    pub short: bool,
}

/// Most tokens that are made at once.
pub const MAX_TOKENS: usize = 1_000;

impl Admin {
    /// Makes `count` one-time tokens, [`MAX_TOKENS`] at most: all of them or none.
    ///
    /// # Errors
    /// Where the random generator or the store fails.
    pub async fn create_tokens(
        &self,
        request: &TokenRequest,
        count: usize,
    ) -> Result<Vec<NewToken>, AdminError> {
        let made: Vec<NewToken> =
            (0..count.min(MAX_TOKENS)).map(|_| self.new_token(request)).collect::<Result<_, _>>()?;
        let rows: Vec<(Token, Sha256)> =
            made.iter().map(|new| (new.token.clone(), token_hash(new.text.as_bytes()))).collect();
        self.store().add_tokens(rows).await?;
        Ok(made)
    }

    fn new_token(&self, request: &TokenRequest) -> Result<NewToken, AdminError> {
        let mut name = [0; NAME];
        random(&mut name)?;
        let now = self.now();
        let token = Token {
            id: hex::encode(name),
            device: request.device.clone(),
            group: request.group.clone(),
            created: now,
            expires: now.after(request.lifetime),
            used_by: None,
            revoked: false,
        };
        Ok(NewToken { token, text: if request.short { short()? } else { long()? } })
    }
}

/// 128 random bits in hexadecimal.
fn long() -> Result<Zeroizing<String>, AdminError> {
    let mut secret = Zeroizing::new([0; 16]);
    random(secret.as_mut_slice())?;
    Ok(Zeroizing::new(hex::encode(secret.as_slice())))
}

/// The short form, in groups of four.
fn short() -> Result<Zeroizing<String>, AdminError> {
    let mut secret = Zeroizing::new([0; tokentext::SYMBOLS - 1]);
    loop {
        random(secret.as_mut_slice())?;
        if let Some(symbols) = tokentext::from_random(&secret) {
            let symbols = Zeroizing::new(symbols);
            let mut text = Zeroizing::new(String::with_capacity(tokentext::SYMBOLS + 3));
            for (number, symbol) in symbols.iter().enumerate() {
                if number > 0 && number % 4 == 0 {
                    text.push('-');
                }
                text.push(char::from(*symbol));
            }
            return Ok(text);
        }
    }
}

fn random(bytes: &mut [u8]) -> Result<(), AdminError> {
    SystemRandom::new().fill(bytes).map_err(|_| AdminError::Random)
}

/// Length of a token's public name, in bytes.
const NAME: usize = 6;
