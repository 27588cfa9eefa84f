//! Fills a template: `{{name}}` stands for a value, `{{#name}}` to `{{/name}}` for lines that are there or not.
//!
//! Quotes nothing. What goes in was checked before ([`plain`]): no value holds a character that any of the
//! configuration languages takes apart.

use super::PeerError;

/// Values of a template by name.
pub(super) type Values<'v> = [(&'v str, &'v str)];

/// The template with its values.
///
/// # Errors
/// Names what the template wants and nobody gives.
pub(super) fn fill(template: &str, values: &Values<'_>, flags: &[(&str, bool)]) -> Result<String, PeerError> {
    let mut out = String::with_capacity(template.len() * 2);
    let mut skipping = false;
    for line in template.split_inclusive('\n') {
        let bare = line.trim();
        if let Some(name) = bare.strip_prefix("{{#").and_then(|rest| rest.strip_suffix("}}")) {
            skipping = !flag(name, flags)?;
        } else if bare.starts_with("{{/") {
            skipping = false;
        } else if !skipping {
            fill_line(line, values, &mut out)?;
        }
    }
    Ok(out)
}

fn fill_line(line: &str, values: &Values<'_>, out: &mut String) -> Result<(), PeerError> {
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{{") {
        let unknown = || PeerError::Template { name: after.chars().take(32).collect() };
        let (name, behind) = after.split_once("}}").ok_or_else(unknown)?;
        let (_, value) = values.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
        out.push_str(before);
        out.push_str(value);
        rest = behind;
    }
    out.push_str(rest);
    Ok(())
}

fn flag(name: &str, flags: &[(&str, bool)]) -> Result<bool, PeerError> {
    let (wanted, name) = name.strip_prefix('!').map_or((true, name), |name| (false, name));
    let found = flags.iter().find(|(known, _)| *known == name);
    found.map(|(_, is)| *is == wanted).ok_or_else(|| PeerError::Template { name: name.to_owned() })
}

/// `text`, where no configuration language takes it apart.
///
/// # Errors
/// Names the text and what it is.
pub(super) fn plain(what: &'static str, text: &str) -> Result<String, PeerError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"/._:@%+=,-{}~[]".contains(&byte);
    if text.is_empty() || !text.bytes().all(good) {
        return Err(PeerError::Characters { what, text: text.to_owned() });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{fill, plain};

    #[test]
    fn values_and_lines_go_in() {
        let text = "a {{x}} b {{y}}{{x}}\n{{#on}}\nthere\n{{/on}}\n{{#!on}}\nnot {{z}}\n{{/on}}\nend";
        let filled = fill(text, &[("x", "1"), ("y", "{{x}}")], &[("on", true)]).unwrap();
        assert_eq!(filled, "a 1 b {{x}}1\nthere\nend", "what was filled in is not filled again");
        assert!(fill("{{x}}", &[], &[]).is_err());
        assert!(fill("{{x", &[("x", "")], &[]).is_err());
        assert!(fill("{{#x}}\n{{/x}}", &[], &[]).is_err());
    }

    #[test]
    fn what_a_language_takes_apart_is_refused() {
        for bad in
            ["", "a b", "a\"", "a\nb", "a;b", "a#b", "a$b", "a\\b", "a'b", "a`b", "ä", "<a>", "a&b", "a*b"]
        {
            assert!(plain("path", bad).is_err(), "{bad}");
        }
        assert_eq!(plain("path", "/srv/a-b_c.d/e:1").unwrap(), "/srv/a-b_c.d/e:1");
    }
}
