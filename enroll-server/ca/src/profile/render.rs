//! A profile as text, with every value: what is recorded with a certificate, and what `profile show` prints.

use core::fmt::Write as _;

use toml::Value;

use super::{CertificatePolicy, CustomExtension, Profile, life, usage};

impl Profile {
    /// The profile as a file with every value, which reads back as the same profile.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Taken apart whole, so that a new field does not compile until it is written here.
        let Self { default, least, most, subject, uris, dns, key_uses, purposes, policies, extensions } =
            self;
        let mut page = Page(String::new());
        page.table("[validity]");
        page.line("default", text(&life::write(*default)));
        page.line("least", text(&life::write(*least)));
        page.line("most", text(&life::write(*most)));
        page.table("[subject]");
        for (attribute, key) in super::SUBJECT {
            if let Some((_, pattern)) = subject.iter().find(|(found, _)| found == attribute) {
                page.line(key, text(&pattern.to_string()));
            }
        }
        page.table("[names]");
        page.line("uri", list(uris.iter().map(ToString::to_string)));
        page.line("dns", list(dns.iter().map(ToString::to_string)));
        page.table("[usage]");
        page.line("key", list(key_uses.iter().map(|key| key.name().to_owned())));
        let client = core::iter::once(usage::CLIENT_AUTH.to_owned());
        page.line("extended", list(client.chain(purposes.iter().map(usage::purpose_name))));
        for CertificatePolicy { oid, cps } in policies {
            page.table("[[certificate_policy]]");
            page.line("oid", text(&oid.to_string()));
            if let Some(cps) = cps {
                page.line("cps", text(cps));
            }
        }
        for CustomExtension { oid, value } in extensions {
            page.table("[[extension]]");
            page.line("oid", text(&oid.to_string()));
            let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            page.line("der", text(&digits));
        }
        page.0
    }
}

/// Text that grows. Writing to a `String` cannot fail.
struct Page(String);

impl Page {
    fn table(&mut self, head: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _infallible = writeln!(self.0, "{gap}{head}");
    }

    fn line(&mut self, name: &str, value: Value) {
        let _infallible = writeln!(self.0, "{name} = {value}");
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn list(items: impl Iterator<Item = String>) -> Value {
    Value::Array(items.map(Value::String).collect())
}
