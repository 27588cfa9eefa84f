//! Reads the commands a device takes: a small flat JSON object with one member `command`.
//!
//! No general JSON reader: nothing nested, no escapes, nothing longer than [`MAX`] bytes. What is not
//! understood for certain is refused.

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Renew now.
    Renew,
    /// Publish the status now.
    Status,
    /// Tell the enrollment server soon which trust bundle is held, and take the next one.
    Trust,
}

/// Longest command, in bytes.
pub(super) const MAX: usize = 256;

impl Command {
    /// The command in `payload`, or `None` where there is none that is known here.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        if payload.len() > MAX {
            return None;
        }
        match command(&mut Scan(payload))? {
            b"renew" => Some(Self::Renew),
            b"status" => Some(Self::Status),
            b"trust" => Some(Self::Trust),
            _ => None,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Renew => "renew",
            Self::Status => "status",
            Self::Trust => "trust",
        }
    }
}

fn command<'p>(scan: &mut Scan<'p>) -> Option<&'p [u8]> {
    let mut found = None;
    scan.byte(b'{')?;
    loop {
        let name = scan.text()?;
        scan.byte(b':')?;
        if name == b"command" {
            let value = scan.text()?;
            // Twice the same name: two readers could take two different commands.
            if found.replace(value).is_some() {
                return None;
            }
        } else if scan.peek()? == b'"' {
            scan.text()?;
        } else {
            scan.word()?;
        }
        match scan.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    scan.skip_space();
    if scan.0.is_empty() { found } else { None }
}

/// What is left to read.
struct Scan<'p>(&'p [u8]);

impl<'p> Scan<'p> {
    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        self.skip_space();
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self, expected: u8) -> Option<()> {
        (self.next()? == expected).then_some(())
    }

    /// A text without escapes.
    fn text(&mut self) -> Option<&'p [u8]> {
        self.byte(b'"')?;
        let end = self.0.iter().position(|byte| *byte == b'"')?;
        let (text, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        let plain = text.iter().all(|byte| *byte >= 0x20 && *byte != b'\\');
        (plain && core::str::from_utf8(text).is_ok()).then_some(text)
    }

    /// A number, `true`, `false` or `null`: skipped.
    fn word(&mut self) -> Option<()> {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
        let end = self.0.iter().position(|byte| !is_word(byte))?;
        let (word, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        (!word.is_empty()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::Command;
    use proptest::prelude::*;

    #[test]
    fn commands_are_taken() {
        for text in [
            r#"{"command":"renew"}"#,
            " { \"command\" :\n\"renew\" } ",
            r#"{"id":7,"by":"x","command":"renew"}"#,
        ] {
            assert_eq!(Command::parse(text.as_bytes()), Some(Command::Renew), "{text}");
        }
        assert_eq!(Command::parse(br#"{"command":"status","urgent":true}"#), Some(Command::Status));
        assert_eq!(Command::parse(br#"{"command":"trust"}"#), Some(Command::Trust));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "{}",
            "renew",
            r#""renew""#,
            r#"{"command":"erase"}"#,
            r#"{"command":renew}"#,
            r#"{"command":"renew""#,
            r#"{"command":"renew"}x"#,
            r#"{"command":"renew",}"#,
            r#"{"command":"renew","command":"status"}"#,
            r#"{"command":"ren\u0065w"}"#,
            r#"{"COMMAND":"renew"}"#,
            r#"{"a":{"command":"renew"}}"#,
            r#"[{"command":"renew"}]"#,
        ] {
            assert_eq!(Command::parse(text.as_bytes()), None, "{text}");
        }
        let mut long = [b' '; 300];
        long[..19].copy_from_slice(br#"{"command":"renew"}"#);
        assert_eq!(Command::parse(&long), None);
        assert_eq!(Command::parse(&long[..256]), Some(Command::Renew));
    }

    proptest! {
        #[test]
        fn never_panics(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _taken = Command::parse(&payload);
        }

        #[test]
        fn what_is_taken_a_json_reader_reads_the_same(text in r#"[{} ",:a"]{0,6}("command"|"x")[ :]{1,3}("renew"|"status"|7)[}, "]{0,4}"#) {
            if let Some(command) = Command::parse(text.as_bytes()) {
                let json: serde_json::Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&json["command"], command.name());
            }
        }
    }
}
