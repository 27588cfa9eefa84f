//! Bars that were drawn on the server, and the same numbers as a table for whoever does not see them.
//!
//! The picture has no text in it: it is stretched to the page's width, and the words around it are HTML.

use maud::{Markup, html};

use super::parts;

/// One bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    /// What it is for.
    pub(super) label: String,
    /// How much.
    pub(super) value: u64,
    /// Whether it asks for a look.
    pub(super) marked: bool,
}

/// What the bars are, in words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    /// What is shown, and its sum: read out in the place of the picture.
    pub(super) told: &'a str,
    /// What a bar is: the head of the table's first column.
    pub(super) of: &'a str,
    /// What is counted: the head of the second.
    pub(super) counted: &'a str,
}

/// Height of the highest bar, in units of the picture.
const HEIGHT: u64 = 100;
/// Width of a bar's place, and of the bar itself.
const PLACE: u64 = 10;
const WIDTH: u64 = 7;

pub(super) fn bars(id: &str, words: &Words<'_>, bars: &[Bar]) -> Markup {
    let most = bars.iter().map(|bar| bar.value).max().unwrap_or(0);
    let top = ceiling(most);
    let width = PLACE * bars.len() as u64;
    let label = |at: usize| bars.get(at).map_or("", |bar| bar.label.as_str());
    html! {
        figure.chart {
            div.plot {
                span.most aria-hidden="true" { (parts::number(top)) }
                svg role="img" aria-labelledby=(id) viewBox={ "0 0 " (width) " " (HEIGHT) }
                    preserveAspectRatio="none" {
                    title id=(id) { (words.told) }
                    @for line in [0, HEIGHT / 2] {
                        line.grid x1="0" x2=(width) y1=(line) y2=(line) vector-effect="non-scaling-stroke" {}
                    }
                    @for (place, bar) in (0_u64..).zip(bars) {
                        @let height = scaled(bar.value, top);
                        @if height > 0 {
                            rect class=[bar.marked.then_some("marked")] x=(place * PLACE + (PLACE - WIDTH) / 2)
                                y=(HEIGHT - height) width=(WIDTH) height=(height) {}
                        }
                    }
                }
            }
            div.axis aria-hidden="true" {
                span { (label(0)) }
                span { (label(bars.len() / 2)) }
                span { (label(bars.len().saturating_sub(1))) }
            }
            details {
                summary { "The same as a table" }
                (parts::table(words.told, &[words.of, words.counted], &rows(bars)))
            }
        }
    }
}

/// The bars that are not empty, as rows.
fn rows(bars: &[Bar]) -> Markup {
    html! {
        @for bar in bars.iter().filter(|bar| bar.value > 0) {
            tr {
                th scope="row" { (bar.label) }
                td.number { (parts::number(bar.value)) }
            }
        }
        @if bars.iter().all(|bar| bar.value == 0) {
            tr { td colspan="2" { "None." } }
        }
    }
}

/// A round number that is no less: 1, 2 or 5 with zeros.
fn ceiling(most: u64) -> u64 {
    let mut step = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let round = step.saturating_mul(factor);
            if round >= most {
                return round;
            }
        }
        step = step.saturating_mul(10);
    }
}

/// How high a bar is; one that is not nothing is seen.
fn scaled(value: u64, top: u64) -> u64 {
    let exact = u128::from(value) * u128::from(HEIGHT) / u128::from(top.max(1));
    let height = u64::try_from(exact).unwrap_or(HEIGHT).min(HEIGHT);
    if value > 0 { height.max(2) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::{Bar, Words, bars, ceiling, scaled};

    #[test]
    fn the_scale_is_round_and_small_numbers_are_seen() {
        for (most, top) in [(0, 1), (1, 1), (3, 5), (11, 20), (201, 500), (999, 1_000)] {
            assert_eq!(ceiling(most), top, "{most}");
        }
        assert!(ceiling(u64::MAX) == u64::MAX && scaled(u64::MAX, u64::MAX) == 100);
        assert_eq!((scaled(0, 500), scaled(1, 500), scaled(250, 500)), (0, 2, 50));
    }

    #[test]
    fn the_table_says_what_the_bars_say() {
        let bar = |label: &str, value| Bar { label: label.to_owned(), value, marked: false };
        let words = Words { told: "Certificates ending, 7 in all", of: "Day", counted: "Certificates" };
        let shown = bars("endings", &words, &[bar("a", 3), bar("b", 0), bar("c", 4)]).into_string();
        assert_eq!(shown.matches("<rect").count(), 2);
        assert_eq!(shown.matches("<th scope=\"row\"").count(), 2);
        assert!(shown.contains("aria-labelledby=\"endings\"") && shown.contains(words.told));
        // Nothing that the policy of contents would stop.
        assert!(!shown.contains("style="), "{shown}");
        assert!(bars("none", &words, &[]).into_string().contains("None."));
    }
}
