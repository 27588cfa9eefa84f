//! What an expression of PromQL asks for: metrics, the values of their labels, and labels that it groups by.
//!
//! Reads what Prometheus has taken already, so it is no judge of what is wrong: it looks for names.

use std::collections::{BTreeMap, BTreeSet};

/// A metric that an expression asks for, and what it wants of its labels: label, operator, text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// Name of the metric.
    pub metric: String,
    /// The matchers.
    pub matchers: Vec<(String, String, String)>,
}

/// What an expression asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Metrics.
    pub selectors: Vec<Selector>,
    /// Labels that it groups or joins by.
    pub labels: BTreeSet<String>,
}

/// The samples of a page of metrics: by metric, the labels of each.
#[derive(Clone, Debug, Default)]
pub struct Samples(BTreeMap<String, Vec<BTreeMap<String, String>>>);

const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const WORDS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];

/// Takes an expression apart.
#[must_use]
pub fn asked(expression: &str) -> Asked {
    let mut asked = Asked::default();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        if first == '"' || first == '\'' {
            rest = string(rest).1;
        } else if first == '[' {
            rest = rest.split_once(']').map_or("", |(_, after)| after);
        } else if first.is_ascii_digit() {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if is_name(first) {
            let (name, after) = name(rest);
            let after = after.trim_start();
            rest = after;
            if GROUPING.contains(&name)
                && let Some(after) = after.strip_prefix('(')
            {
                let (inside, behind) = after.split_once(')').unwrap_or((after, ""));
                let labels = inside.split(',').map(str::trim).filter(|label| !label.is_empty());
                asked.labels.extend(labels.map(str::to_owned));
                rest = behind;
            } else if !WORDS.contains(&name) && !after.starts_with('(') && !grouped_later(name, after) {
                let (matchers, behind) = matchers(after);
                asked.selectors.push(Selector { metric: name.to_owned(), matchers });
                rest = behind;
            }
        } else {
            rest = rest.strip_prefix(first).unwrap_or_default();
        }
    }
    asked
}

/// `sum by (x) (...)`: the name of the aggregation stands before its grouping.
fn grouped_later(name: &str, after: &str) -> bool {
    let aggregations = ["sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile"];
    aggregations.contains(&name) && (after.starts_with("by") || after.starts_with("without"))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':'
}

fn name(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !is_name(c) && !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// A quoted text and what follows it.
fn string(text: &str) -> (String, &str) {
    let quote = text.chars().next().unwrap_or('"');
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            c if c == quote => return (value, text.split_at(at + 1).1),
            c => value.push(c),
        }
    }
    (value, "")
}

fn matchers(text: &str) -> (Vec<(String, String, String)>, &str) {
    let Some(mut rest) = text.strip_prefix('{') else { return (Vec::new(), text) };
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ', '\n']);
        if let Some(behind) = rest.strip_prefix('}') {
            return (found, behind);
        }
        let (label, after) = name(rest);
        let operator = after.len() - after.trim_start_matches(['=', '!', '~']).len();
        assert!(!label.is_empty() && operator > 0, "no matchers: {text}");
        let (operator, after) = after.split_at(operator);
        let (value, behind) = string(after);
        found.push((label.to_owned(), operator.to_owned(), value));
        rest = behind;
    }
}

impl Samples {
    /// Reads a page in the text format.
    #[must_use]
    pub fn read(page: &str) -> Self {
        let mut samples = Self::default();
        for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (metric, after) = name(line);
            let labels = matchers(after).0.into_iter().map(|(label, _, value)| (label, value));
            samples.0.entry(metric.to_owned()).or_default().push(labels.collect());
        }
        samples
    }

    /// Names of all metrics.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The values that a label of a metric has.
    #[must_use]
    pub fn values(&self, metric: &str, label: &str) -> Vec<&str> {
        let samples = self.0.get(metric).into_iter().flatten();
        samples.filter_map(|sample| Some(sample.get(label)?.as_str())).collect()
    }

    /// Adds to every sample what Prometheus adds to it, and what Prometheus makes itself.
    #[must_use]
    pub fn scraped(mut self) -> Self {
        for labels in self.0.values_mut().flatten() {
            labels
                .extend([("instance".into(), "127.0.0.1:1".into()), ("job".into(), "enroll-server".into())]);
        }
        let up = [("instance".into(), "127.0.0.1:1".into()), ("job".into(), "enroll-server".into())];
        self.0.insert("up".into(), vec![up.into()]);
        let alert = [("alertname".into(), "EnrollServerDown".into()), ("alertstate".into(), "firing".into())];
        self.0.insert("ALERTS".into(), vec![alert.into()]);
        self
    }

    /// What `expression` asks for that is not there. `also` are values of labels that a server has now and then.
    #[must_use]
    pub fn missing(&self, expression: &str, also: &[(&str, Vec<&str>)]) -> Vec<String> {
        let asked = asked(expression);
        let mut missing = Vec::new();
        let mut labels = BTreeSet::new();
        for Selector { metric, matchers } in &asked.selectors {
            let Some(samples) = self.0.get(metric) else {
                missing.push(format!("the metric {metric}"));
                continue;
            };
            labels.extend(samples.iter().flat_map(BTreeMap::keys).cloned());
            for (label, operator, text) in matchers {
                let seen: BTreeSet<&str> =
                    samples.iter().filter_map(|sample| Some(sample.get(label)?.as_str())).collect();
                if seen.is_empty() {
                    missing.push(format!("the label {label} of {metric}"));
                }
                let known = |value: &str| {
                    seen.contains(value)
                        || also.iter().any(|(of, values)| of == label && values.contains(&value))
                };
                let values: Vec<&str> =
                    if operator.contains('~') { text.split('|').collect() } else { vec![text] };
                for value in values.into_iter().filter(|value| !value.contains(".*") && !known(value)) {
                    missing.push(format!("the value {value:?} of the label {label} of {metric}"));
                }
            }
        }
        for label in asked.labels.iter().filter(|label| !labels.contains(*label)) {
            missing.push(format!("the label {label} of any metric"));
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::{Samples, asked};

    #[test]
    fn metrics_labels_and_groups_are_found() {
        let found = asked(
            "histogram_quantile(0.99, sum by (le, endpoint) (rate(a_bucket{x=~\"b|c\",y!=\"}\"}[5m] offset 1d))) > 1e3 \
             and on (instance) time() - d / 0.5 * sum(e) by (z) unless (f)",
        );
        let metrics: Vec<&str> = found.selectors.iter().map(|one| one.metric.as_str()).collect();
        assert_eq!(metrics, ["a_bucket", "d", "e", "f"]);
        assert_eq!(found.selectors[0].matchers[1], ("y".into(), "!=".into(), "}".into()));
        assert_eq!(found.labels.into_iter().collect::<Vec<_>>(), ["endpoint", "instance", "le", "z"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let samples = Samples::read("# HELP a b\na{x=\"1\"} 3\nb 4\n").scraped();
        assert!(samples.missing("sum by (x, job) (rate(a{x=\"1\"}[5m])) / b", &[]).is_empty());
        assert_eq!(samples.missing("c > 1", &[]), ["the metric c"]);
        assert_eq!(samples.missing("a{y=\"1\"}", &[]).len(), 2);
        assert_eq!(samples.missing("a{x=~\"1|2\"}", &[]), ["the value \"2\" of the label x of a"]);
        assert!(samples.missing("a{x=~\"1|2\"}", &[("x", vec!["2"])]).is_empty());
        assert_eq!(samples.missing("sum by (z) (a)", &[]), ["the label z of any metric"]);
    }
}
