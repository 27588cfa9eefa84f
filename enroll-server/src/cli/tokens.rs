//! `token`.

use core::time::Duration;

use appraisal::GroupName;
use indicatif::ProgressBar;
use serde_json::json;
use shared::UnixTime;

use super::args::{CreateToken, Token};
use super::failure::Failure;
use super::output::{Output, more, or_dash};
use super::qr;
use crate::admin::{Admin, NewToken};
use crate::clock::{Clock as _, SystemClock};
use crate::credential::{MAX_TOKENS, TokenRequest};
use crate::files;
use crate::store::Token as Row;

pub(super) async fn run(admin: Admin, command: Token, output: &Output) -> Result<(), Failure> {
    match command {
        Token::Create(options) => create(&admin, &options, output).await?,
        Token::List(part) => {
            let (now, page) = (SystemClock.now(), admin.tokens(part.page()).await?);
            output.table(
                &page,
                &page.tokens,
                "There are no tokens.",
                ["Token", "Device", "Group", "State", "Created", "Expires"],
                |token| {
                    [
                        token.id.clone(),
                        or_dash(token.device.as_ref()),
                        or_dash(token.group.as_ref()),
                        state(token, now),
                        token.created.to_string(),
                        token.expires.to_string(),
                    ]
                },
                more(page.next.as_ref()),
            );
        }
        Token::Revoke { id } => {
            admin.revoke_token(&id).await?;
            output.result(&json!({ "revoked": id }), || format!("Token {id} is revoked."));
        }
    }
    Ok(())
}

async fn create(admin: &Admin, options: &CreateToken, output: &Output) -> Result<(), Failure> {
    let request = TokenRequest {
        device: options.device.clone(),
        group: options.group.clone(),
        lifetime: Duration::from_secs(u64::from(options.hours) * 3_600),
        short: options.short,
    };
    let count = options.count.unwrap_or(1);
    let mut made = Vec::new();
    let created = make(admin, &request, count, &mut made).await;
    let Err(failure) = created.and_then(|()| hand_out(&made, options, output)) else { return Ok(()) };
    // Nobody has seen them: they must not stay good.
    for token in &made {
        admin.revoke_token(&token.token.id).await?;
    }
    Err(if made.is_empty() { failure } else { Failure::Withdrawn(Box::new(failure)) })
}

/// Makes `count` tokens. Those that came before a failure are in `made`.
async fn make(
    admin: &Admin,
    request: &TokenRequest,
    count: u32,
    made: &mut Vec<NewToken>,
) -> Result<(), Failure> {
    // On standard error, and only where a person looks at it.
    let progress = ProgressBar::new(u64::from(count));
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    while made.len() < count {
        made.extend(admin.create_tokens(request, (count - made.len()).min(MAX_TOKENS)).await?);
        progress.set_position(made.len() as u64);
    }
    progress.finish_and_clear();
    Ok(())
}

/// All of it, or a failure that leaves nothing to hold on to.
fn hand_out(made: &[NewToken], options: &CreateToken, output: &Output) -> Result<(), Failure> {
    if let (Some(path), Some(token)) = (&options.qr, made.first()) {
        let unwritable = |source| Failure::Unwritable { path: path.clone(), source };
        files::create(path, qr::svg(&token.text)?.as_bytes(), 0o600).map_err(unwritable)?;
    }
    let shown = show(made, options, output).and_then(|()| output.problem().map_or(Ok(()), Err));
    if let (Err(_), Some(path)) = (&shown, &options.qr) {
        let _gone = std::fs::remove_file(path);
    }
    shown
}

fn show(made: &[NewToken], options: &CreateToken, output: &Output) -> Result<(), Failure> {
    if options.print {
        let labels = made.iter().map(qr::label).collect::<Result<Vec<_>, _>>()?;
        output.result(&json!(null), || labels.join("\n\n"));
        return Ok(());
    }
    if options.csv {
        let line = |new: &NewToken| {
            let group = new.token.group.as_ref().map_or("", GroupName::as_str);
            format!("\n{},{},{group},{}", new.token.id, new.text.as_str(), new.token.expires)
        };
        output.result(&json!(null), || {
            format!("token,text,group,expires{}", made.iter().map(line).collect::<String>())
        });
        return Ok(());
    }
    let values: Vec<_> = made.iter().map(value).collect();
    match (options.count, made) {
        (None, [new]) => output.result(&value(new), || one(new)),
        _ => output.list(&values, "", ["Token", "Text", "Group", "Expires"], |value| {
            ["id", "token", "group", "expires"]
                .map(|field| or_dash(value.get(field).and_then(|value| value.as_str())))
        }),
    }
    Ok(())
}

fn value(new: &NewToken) -> serde_json::Value {
    let token = &new.token;
    json!({
        "id": token.id,
        "token": new.text.as_str(),
        "device": token.device.as_ref().map(ToString::to_string),
        "group": token.group.as_ref().map(ToString::to_string),
        "expires": token.expires.to_string(),
    })
}

fn one(new: &NewToken) -> String {
    format!(
        "{}\nThis is token {}, for {}, good until {}. It is not shown again.",
        new.text.as_str(),
        new.token.id,
        whom(&new.token),
        new.token.expires
    )
}

/// Whom a token is for, in words.
pub(super) fn whom(token: &Row) -> String {
    match (&token.device, &token.group) {
        (Some(device), None) => device.to_string(),
        (Some(device), Some(group)) => format!("{device} in group {group}"),
        (None, Some(group)) => format!("any device of group {group}"),
        (None, None) => "any device".to_owned(),
    }
}

fn state(token: &Row, now: UnixTime) -> String {
    match &token.used_by {
        Some(device) => format!("used by {device}"),
        None if token.revoked => "revoked".to_owned(),
        None if now > token.expires => "expired".to_owned(),
        None => "good".to_owned(),
    }
}
