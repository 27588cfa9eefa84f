//! Writes the sample configuration: every field, its explanation, its default.

use super::fields::{FIELDS, Sample};

/// The sample file. Fields that have a default, or may be left out, are commented out.
#[must_use]
pub fn sample() -> String {
    let mut text = String::from(HEAD);
    let mut section = "";
    for field in FIELDS {
        let (of, name) = field.key.split_once('.').unwrap_or(("", field.key));
        if of != section {
            section = of;
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push('\n');
        for line in wrap(field.doc) {
            text.push_str(&format!("# {line}\n"));
        }
        text.push_str(&format!("# Flag --{}, environment variable {}.\n", field.flag(), field.variable()));
        text.push_str(&match field.sample {
            Sample::Required(value) => format!("{name} = {value}\n"),
            Sample::Default(value) => format!("#{name} = {value}\n"),
            Sample::Unset(value) => format!("# Not set; for example:\n#{name} = {value}\n"),
        });
    }
    text
}

const HEAD: &str = "\
# Configuration of the device agent. Flags win over environment variables, those over this file, and this file
# over the defaults, which stand here commented out. Relative paths count from the directory of this file.
";

/// Breaks a text into lines of at most 106 characters, at spaces.
fn wrap(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + 1 + word.len() > 106 {
            lines.push(core::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
