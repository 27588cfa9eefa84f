//! `webhook`.

use serde_json::{Value, json};

use super::args::{Global, ReplayWhat, Webhook as Asked};
use super::failure::Failure;
use super::output::{Output, or_dash};
use super::with_config;
use crate::admin::{Admin, not_found};
use crate::config::Config;
use crate::store::Replay;
use crate::webhook::{Message, Sender, Standing, Webhook, new_secret};

/// Most parked events in a list.
const MAX_LIST: u32 = 10_000;
/// So much of a receiver's answer is shown.
const MAX_SHOWN: usize = 500;

pub(super) fn run(global: &Global, command: Asked, output: &Output) -> Result<(), Failure> {
    if let Asked::Secret { file } = &command {
        new_secret(file)?;
        let value = json!({ "file": file.display().to_string() });
        output.result(&value, || format!("{} holds a new secret; give it to the receiver.", file.display()));
        return Ok(());
    }
    with_config(global, async |admin, config| match command {
        Asked::List | Asked::Secret { .. } => {
            list(&config, output);
            Ok(())
        }
        Asked::Status { name } => status(&admin, &config, name.as_deref(), output).await,
        Asked::Parked { name } => parked(&admin, &config, &name, output).await,
        Asked::Replay { name, what } => replay(&admin, &config, &name, &what, output).await,
        Asked::Test { name } => test(&admin, &config, &name, output).await,
    })
}

fn find<'c>(config: &'c Config, name: &str) -> Result<&'c Webhook, Failure> {
    let found = config.webhooks.iter().find(|webhook| webhook.name == name);
    found.ok_or_else(|| not_found("webhook", name).into())
}

fn list(config: &Config, output: &Output) {
    let rows: Vec<Value> = config
        .webhooks
        .iter()
        .map(|webhook| {
            let kinds: Vec<_> = webhook.filter.kinds.iter().map(|kind| kind.name()).collect();
            json!({
                "name": webhook.name,
                "url": webhook.target.to_string(),
                "kinds": kinds,
                "severity": webhook.filter.severity.map(|severity| severity.name()),
            })
        })
        .collect();
    output.list(
        &rows,
        "There are no webhooks: add [[webhook]] to the settings.",
        ["Name", "URL", "Kinds", "Severity"],
        |row| {
            let kinds: Vec<_> =
                row["kinds"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let kinds = if kinds.is_empty() { "any".to_owned() } else { kinds.join(", ") };
            let severity = row["severity"].as_str().unwrap_or("any");
            [text(row, "name"), text(row, "url"), kinds, severity.to_owned()]
        },
    );
}

fn text(row: &Value, field: &str) -> String {
    row[field].as_str().unwrap_or_default().to_owned()
}

async fn status(admin: &Admin, config: &Config, name: Option<&str>, output: &Output) -> Result<(), Failure> {
    let chosen: Vec<&Webhook> = match name {
        Some(name) => vec![find(config, name)?],
        None => config.webhooks.iter().collect(),
    };
    let mut rows = Vec::new();
    for webhook in chosen {
        let standing = Standing::read(admin.store().as_ref(), webhook).await?;
        let mut row = json!({ "name": webhook.name, "state": describe(standing.as_ref()) });
        if let (Some(standing), Some(fields)) = (standing, row.as_object_mut()) {
            let state = serde_json::to_value(&standing.state).unwrap_or_default();
            fields.extend(state.as_object().cloned().unwrap_or_default());
            fields.insert("waiting".to_owned(), json!(standing.lag.events));
            let oldest = standing.lag.oldest.map(|oldest| oldest.to_string());
            fields.insert("waiting_since".to_owned(), json!(oldest));
        }
        rows.push(row);
    }
    let header = ["Name", "State", "Delivered", "Failed", "Parked", "Waiting", "Since", "Problem"];
    output.list(&rows, "There are no webhooks.", header, |row| {
        let number = |field: &str| row[field].as_u64().unwrap_or_default().to_string();
        [
            text(row, "name"),
            text(row, "state"),
            number("delivered"),
            number("failed"),
            number("parked"),
            number("waiting"),
            or_dash(row["waiting_since"].as_str()),
            or_dash(row["problem"].as_str()),
        ]
    });
    Ok(())
}

fn describe(standing: Option<&Standing>) -> &'static str {
    match standing {
        None => "never ran",
        Some(standing) if standing.state.attempts > 0 => "failing",
        Some(standing) if standing.lag.events > 0 => "delivering",
        Some(_) => "up to date",
    }
}

async fn parked(admin: &Admin, config: &Config, name: &str, output: &Output) -> Result<(), Failure> {
    let webhook = find(config, name)?;
    output.list(
        &admin.store().parked(webhook.name.clone(), false, MAX_LIST).await?,
        "Nothing is parked.",
        ["Event", "Kind", "Device", "Parked", "Problem", "Sent again"],
        |parked| {
            [
                parked.event.number.to_string(),
                parked.event.kind.clone(),
                or_dash(parked.event.device.as_ref()),
                parked.at.to_string(),
                parked.problem.clone(),
                if parked.again { "soon" } else { "no" }.to_owned(),
            ]
        },
    );
    Ok(())
}

async fn replay(
    admin: &Admin,
    config: &Config,
    name: &str,
    what: &ReplayWhat,
    output: &Output,
) -> Result<(), Failure> {
    let webhook = find(config, name)?;
    let what = match *what {
        ReplayWhat { event: Some(number), .. } => Replay::Event(number),
        ReplayWhat { from: Some(number), .. } => Replay::From(number),
        ReplayWhat { .. } => Replay::Parked,
    };
    let again = admin.store().replay(webhook.name.clone(), what).await?;
    let again = again.ok_or_else(|| not_found("server that has run with webhook", name))?;
    if let (Replay::Event(number), 0) = (what, again) {
        return Err(not_found("parked event", number).into());
    }
    let value = json!({ "webhook": name, "again": again });
    output.result(&value, || format!("The server that runs looks at {again} events again."));
    Ok(())
}

async fn test(admin: &Admin, config: &Config, name: &str, output: &Output) -> Result<(), Failure> {
    let sender = Sender::new(find(config, name)?.clone())?;
    let now = admin.now();
    let message = Message::test(now);
    let no_answer = |source| Failure::NoAnswer { name: name.to_owned(), source };
    let reply = sender.send(&message, now).await.map_err(no_answer)?;
    // What a stranger wrote is shown escaped, and not all of it.
    let body = String::from_utf8_lossy(&reply.body);
    let body: String = body.chars().take(MAX_SHOWN).collect::<String>().escape_debug().collect();
    let status = reply.status.as_u16();
    let value = json!({ "webhook": name, "id": message.id(), "status": status, "body": body });
    output.result(&value, || format!("{name} answers {status} to {}: {body}", message.id()));
    if reply.status.is_success() { Ok(()) } else { Err(Failure::NotTaken { name: name.to_owned(), status }) }
}
