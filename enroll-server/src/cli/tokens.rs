//! `token`.

use core::time::Duration;

use serde_json::json;
use shared::UnixTime;

use super::args::Token;
use super::failure::Failure;
use super::output::{Output, or_dash};
use crate::admin::Admin;
use crate::clock::{Clock as _, SystemClock};
use crate::store::Token as Row;

pub(super) async fn run(admin: Admin, command: Token, output: &Output) -> Result<(), Failure> {
    match command {
        Token::Create { device, hours } => {
            let lifetime = Duration::from_secs(u64::from(hours) * 3_600);
            let made = admin.create_token(device.as_ref(), lifetime).await?;
            let (token, text) = (&made.token, made.text.as_str());
            let for_device = token.device.as_ref().map(ToString::to_string);
            let value = json!({
                "id": token.id,
                "token": text,
                "device": for_device,
                "expires": token.expires.to_string(),
            });
            output.result(&value, || {
                format!(
                    "{text}\nThis is token {}, for {}, good until {}. It is not shown again.",
                    token.id,
                    for_device.as_deref().unwrap_or("any device"),
                    token.expires
                )
            });
        }
        Token::List => {
            let now = SystemClock.now();
            output.list(
                &admin.tokens().await?,
                "There are no tokens.",
                ["Token", "Device", "State", "Created", "Expires"],
                |token| {
                    [
                        token.id.clone(),
                        or_dash(token.device.as_ref()),
                        state(token, now),
                        token.created.to_string(),
                        token.expires.to_string(),
                    ]
                },
            );
        }
        Token::Revoke { id } => {
            admin.revoke_token(&id).await?;
            output.result(&json!({ "revoked": id }), || format!("Token {id} is revoked."));
        }
    }
    Ok(())
}

fn state(token: &Row, now: UnixTime) -> String {
    match &token.used_by {
        Some(device) => format!("used by {device}"),
        None if token.revoked => "revoked".to_owned(),
        None if now > token.expires => "expired".to_owned(),
        None => "good".to_owned(),
    }
}
