//! The text format of Prometheus, version 0.0.4.

use core::fmt::{Display, Write as _};

use super::family::Family;

/// Text that grows. Writing to a `String` cannot fail.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    /// Begins a family.
    pub(super) fn family(&mut self, family: &Family) {
        let Family { name, kind, help, .. } = family;
        let _infallible = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {}\n", kind.name());
    }

    /// A family with one sample and no label.
    pub(super) fn single(&mut self, family: &Family, value: impl Display) {
        self.family(family);
        self.sample(family, &[], value);
    }

    /// One sample; `values` are those of the family's labels, in their order.
    pub(super) fn sample(&mut self, family: &Family, values: &[&str], value: impl Display) {
        self.line(family.name, "", (family.labels, values), None, value);
    }

    /// One sample of a histogram: its part (`_bucket`, `_sum`, `_count`), and the bound of a bucket.
    pub(super) fn part(
        &mut self,
        (family, part): (&Family, &str),
        values: &[&str],
        bound: Option<&str>,
        value: impl Display,
    ) {
        self.line(family.name, part, (family.labels, values), bound, value);
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn line(
        &mut self,
        name: &str,
        part: &str,
        (labels, values): (&[&str], &[&str]),
        bound: Option<&str>,
        value: impl Display,
    ) {
        self.0.push_str(name);
        self.0.push_str(part);
        let labels = labels.iter().copied().zip(values.iter().copied());
        let mut open = '{';
        for (label, text) in labels.chain(bound.map(|bound| ("le", bound))) {
            let _infallible = write!(self.0, "{open}{label}=\"{}\"", Escaped(text));
            open = ',';
        }
        let _infallible = writeln!(self.0, "{} {value}", if open == ',' { "}" } else { "" });
    }
}

/// The value of a label: names of an operator's own may hold anything.
struct Escaped<'t>(&'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Page;
    use crate::telemetry::family::{REQUEST_SECONDS, WEBHOOK_PARKED};

    #[test]
    fn labels_are_escaped_and_bounds_come_last() {
        let mut page = Page::default();
        page.sample(&WEBHOOK_PARKED, &["a\"b\\c\nd"], 1);
        page.part((&REQUEST_SECONDS, "_bucket"), &["enroll"], Some("+Inf"), 2);
        page.part((&REQUEST_SECONDS, "_count"), &["enroll"], None, 2);
        assert_eq!(
            page.finish(),
            "enroll_webhook_parked{webhook=\"a\\\"b\\\\c\\nd\"} 1\n\
             enroll_request_seconds_bucket{endpoint=\"enroll\",le=\"+Inf\"} 2\n\
             enroll_request_seconds_count{endpoint=\"enroll\"} 2\n"
        );
    }
}
