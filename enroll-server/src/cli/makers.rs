//! `maker`.

use super::args::Maker;
use super::failure::Failure;
use super::output::Output;
use super::read;
use crate::admin::Admin;

pub(super) async fn run(admin: Admin, command: Maker, output: &Output) -> Result<(), Failure> {
    match command {
        Maker::Add { file, name } => {
            let maker = admin.add_maker_as(&read(&file)?, name.as_deref()).await?;
            output.result(&maker, || {
                format!("Devices of \"{}\" can be appraised ({}).", maker.name, hex::encode(maker.sha256))
            });
        }
        Maker::List => output.list(
            &admin.makers().await?,
            "There are no makers: add one with `enroll-server maker add`.",
            ["Name", "SHA-256 of its CA", "Added"],
            |maker| [maker.name.clone(), hex::encode(maker.sha256), maker.added.to_string()],
        ),
    }
    Ok(())
}
