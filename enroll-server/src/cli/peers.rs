//! `broker config` and `terminator config`: printed, written, or kept current.

use core::time::Duration;

use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::args::{Global, PeerOutput, Terminator};
use super::failure::Failure;
use super::output::Output;
use super::with_config;
use crate::admin::Admin;
use crate::config::Config;
use crate::issuance::chain;
use crate::peers::{
    BrokerProduct, ConfigFile, Facts, Product, Wanted, WriteError, people, render, run_hook, write,
};

/// How often it is looked for changes: a revocation gets to the broker within this and the hook's time.
const LOOK: Duration = Duration::from_millis(250);
/// Pause after something failed.
const RETRY: Duration = Duration::from_secs(2);
/// How often the list of devices is made anew: it is a query for every device.
const PEOPLE: Duration = Duration::from_secs(1);

pub(super) fn broker(
    global: &Global,
    product: BrokerProduct,
    broker: Option<String>,
    options: PeerOutput,
    output: &Output,
) -> Result<(), Failure> {
    run(global, Product::Broker(product), Wanted { broker, ..Wanted::default() }, options, output)
}

pub(super) fn terminator(global: &Global, command: Terminator, output: &Output) -> Result<(), Failure> {
    let Terminator::Config { product, upstream, listen, host, output: options } = command;
    let wanted = Wanted { upstream: Some(upstream), listen: Some(listen), host, ..Wanted::default() };
    run(global, Product::Terminator(product), wanted, options, output)
}

fn run(
    global: &Global,
    product: Product,
    wanted: Wanted,
    options: PeerOutput,
    output: &Output,
) -> Result<(), Failure> {
    let PeerOutput { out, owner, watch, hook, certificate, key, server } = options;
    let absolute = |path| std::path::absolute(&path).map_err(|source| Failure::Unreadable { path, source });
    let pair = certificate.zip(key).map(|(chain, key)| Ok::<_, Failure>((absolute(chain)?, absolute(key)?)));
    let out = out.map(absolute).transpose()?;
    let wanted = Wanted { out: out.clone(), certificate: pair.transpose()?, server, ..wanted };
    with_config(global, async |admin, config| {
        let (facts, mut files) = make(&admin, &config, &wanted, product).await?;
        let Some(folder) = out else {
            print(&files, &facts, output);
            return Ok(());
        };
        let written = write(&folder, &files, owner)?;
        let missing = !facts.certificate().exists();
        output.result(&json!({ "folder": folder, "written": written, "certificate_missing": missing }), || {
            let mut text = format!("{}: wrote {}", folder.display(), list(&written));
            if missing {
                text += &format!(
                    "\n{} is not there yet. To have it made and renewed, name it under [[tls_files]]; or once: \
                     enroll-server broker certificate --name {} --out {}",
                    facts.certificate().display(),
                    facts.host(),
                    folder.display()
                );
            }
            text
        });
        if !watch {
            return Ok(());
        }
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
        let look = if product.lists_devices() { PEOPLE } else { LOOK };
        // What was written, but not told to the broker: a hook that failed is run again.
        let mut owed = false;
        let mut pause = look;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
            let looked = async {
                let (_, found) = make(&admin, &config, &wanted, product).await?;
                let written = write(&folder, &found, owner)?;
                // Files of the last round that are none of this one's: lists of a CA that is gone.
                remove_old(&folder, &files, &found)?;
                files = found;
                owed |= !written.is_empty();
                if owed {
                    run_hook(&hook).await?;
                    owed = false;
                }
                Ok::<_, Failure>(written)
            };
            pause = match looked.await {
                Ok(written) if written.is_empty() => look,
                Ok(written) => {
                    let _read =
                        output.line(&json!({ "written": written }), || format!("wrote {}", list(&written)));
                    look
                }
                Err(failure) => {
                    let problem = chain(&failure);
                    let _read =
                        output.line(&json!({ "problem": problem }), || format!("not done: {problem}"));
                    RETRY
                }
            };
        }
    })
}

/// The configuration as it is to be now, with the files that go beside it.
async fn make(
    admin: &Admin,
    config: &Config,
    wanted: &Wanted,
    product: Product,
) -> Result<(Facts, Vec<ConfigFile>), Failure> {
    let people =
        if product.lists_devices() { people(admin.store().as_ref(), admin.now()).await? } else { Vec::new() };
    let facts = Facts::gather(config, wanted, product, people)?;
    let mut files = render(product, &facts)?;
    if wanted.out.is_some() {
        for (name, content) in facts.copies() {
            let content = content.to_owned().into();
            files.push(ConfigFile { name: name.to_owned(), content, secret: false });
        }
    }
    Ok((facts, files))
}

fn remove_old(folder: &std::path::Path, before: &[ConfigFile], now: &[ConfigFile]) -> Result<(), WriteError> {
    for old in before.iter().filter(|old| now.iter().all(|file| file.name != old.name)) {
        let path = folder.join(&old.name);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(WriteError::Unwritable { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

fn print(files: &[ConfigFile], facts: &Facts, output: &Output) {
    let by_name: Map<String, Value> =
        files.iter().map(|file| (file.name.clone(), json!(*file.content))).collect();
    output.result(&json!({ "files": by_name, "certificate": facts.certificate() }), || {
        let one = |file: &ConfigFile| format!("==> {} <==\n{}", file.name, *file.content);
        match files {
            [only] => only.content.trim_end().to_owned(),
            several => several.iter().map(one).collect::<Vec<_>>().join("\n").trim_end().to_owned(),
        }
    });
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing: all is as it was".to_owned() } else { names.join(", ") }
}
