//! Charts as SVG: small, with axes and units, readable on light and on dark ground.

/// Lines over time.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) title: String,
    /// Of the values.
    pub(super) unit: &'static str,
    /// Times are in seconds.
    pub(super) lines: Vec<Line>,
    /// A value that is not to be passed, and its name.
    pub(super) level: Option<(f64, String)>,
    pub(super) shade: Option<Shade>,
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// A time that is set off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shade {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) name: &'static str,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 44.0;
/// Most points of a line: more are not to be seen.
const POINTS: usize = 320;

/// Grey lines and letters that stand out on both grounds; the reader's choice changes nothing that is needed.
const STYLE: &str = "text{font:12px sans-serif;fill:#666}.t{font-size:14px}.g{stroke:#888;stroke-opacity:.3}\
.a{stroke:#888}.l{stroke:#c33;stroke-dasharray:6 4}.k{fill:#c33}.w{fill:#888;fill-opacity:.18}\
.s0{stroke:#2a7fd4;fill:none;stroke-width:1.6}.s1{stroke:#d98200;fill:none;stroke-width:1.6}\
.n0{fill:#2a7fd4}.n1{fill:#d98200}\
@media(prefers-color-scheme:dark){text{fill:#bbb}.k{fill:#f66}.l{stroke:#f66}.s0{stroke:#6ab0ff}.n0{fill:#6ab0ff}\
.s1{stroke:#ffb347}.n1{fill:#ffb347}}";

impl Chart {
    pub(super) fn draw(&self) -> String {
        let lines: Vec<Vec<(f64, f64)>> = self.lines.iter().map(|line| thinned(&line.points)).collect();
        let all = || lines.iter().flatten();
        let begin = all().map(|point| point.0).fold(f64::INFINITY, f64::min).min(0.0);
        let end = all().map(|point| point.0).fold(1.0, f64::max);
        let level = self.level.as_ref().map_or(0.0, |(value, _)| *value);
        let high = all().map(|point| point.1).fold(level, f64::max).max(1e-9) * 1.05;
        let (step, most) = (nice(high / 4.0), high);
        let x = |time: f64| LEFT + (time - begin) / (end - begin) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / most * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
             <title>{0}</title>\n<style>{STYLE}</style>\n<text class=\"t\" x=\"{LEFT}\" y=\"18\">{0}</text>\n",
            self.title
        );
        let mut put = |text: String| {
            svg.push_str(&text);
            svg.push('\n');
        };
        let (bottom, right) = (y(0.0), WIDTH - RIGHT);
        if let Some(Shade { from, to, name }) = self.shade {
            let (from, to) = (x(from.max(begin)), x(to.min(end)));
            let (width, height) = (to - from, bottom - TOP);
            put(format!(
                "<rect class=\"w\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
                from + 4.0,
                TOP + 14.0
            ));
        }
        let mut value = 0.0;
        while value <= most {
            let at = y(value);
            put(format!("<path class=\"g\" d=\"M{LEFT} {at:.1}H{right}\"/>"));
            put(format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                short(value)
            ));
            value += step;
        }
        let (unit, name) = unit_of(end - begin);
        let pace = nice((end - begin) / unit / 7.0) * unit;
        let mut time = (begin / pace).ceil() * pace;
        while time <= end {
            put(format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                x(time),
                bottom + 16.0,
                short(time / unit)
            ));
            time += pace;
        }
        put(format!("<path class=\"a\" d=\"M{LEFT} {TOP}V{bottom:.1}H{right}\"/>"));
        put(format!(
            "<text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">time in {name}</text>",
            bottom + 34.0
        ));
        put(format!("<text x=\"6\" y=\"{:.1}\">{}</text>", TOP - 10.0, self.unit));
        if let Some((value, name)) = &self.level {
            let at = y(*value);
            put(format!("<path class=\"l\" d=\"M{LEFT} {at:.1}H{right}\"/>"));
            put(format!(
                "<text class=\"k\" x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
                at - 4.0
            ));
        }
        for (number, (line, points)) in self.lines.iter().zip(&lines).enumerate() {
            let path: String = points
                .iter()
                .enumerate()
                .map(|(place, (time, value))| {
                    format!("{}{:.1} {:.1}", if place == 0 { 'M' } else { 'L' }, x(*time), y(*value))
                })
                .collect();
            put(format!("<path class=\"s{number}\" d=\"{path}\"/>"));
            put(format!(
                "<text class=\"n{number}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT + 100.0 + 110.0 * number as f64,
                TOP - 10.0,
                line.name
            ));
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// At most [`POINTS`], the highest of those that fall together.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let together = points.len().div_ceil(POINTS).max(1);
    let highest = |chunk: &[(f64, f64)]| {
        let first = chunk.first().copied()?;
        Some((first.0, chunk.iter().map(|point| point.1).fold(first.1, f64::max)))
    };
    points.chunks(together).filter_map(highest).collect()
}

/// 1, 2 or 5 times a power of ten, not less than `value`.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * power).find(|step| *step >= value).unwrap_or(value)
}

fn unit_of(length: f64) -> (f64, &'static str) {
    match length {
        ..600.0 => (1.0, "seconds"),
        600.0..14_400.0 => (60.0, "minutes"),
        14_400.0..259_200.0 => (3_600.0, "hours"),
        _ => (86_400.0, "days"),
    }
}

/// As few digits as say it.
fn short(value: f64) -> String {
    let rounded = (value * 1_000.0).round() / 1_000.0;
    match rounded.abs() {
        0.0 => "0".to_owned(),
        10_000.0.. => format!("{}k", rounded / 1_000.0),
        _ => rounded.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Chart, Line, POINTS, Shade, nice, short};

    #[test]
    fn a_chart_is_small_and_names_its_axes() {
        let points = (0..100_000).map(|time| (f64::from(time), f64::from(time % 977))).collect();
        let chart = Chart {
            title: "a storm".into(),
            unit: "per second",
            lines: vec![Line { name: "calls", points }],
            level: Some((500.0, "capacity".into())),
            shade: Some(Shade { from: 10.0, to: 9_000.0, name: "away" }),
        };
        let svg = chart.draw();
        assert!(svg.len() < 8_192, "{}", svg.len());
        for part in ["per second", "time in hours", "capacity", "away", "calls", "prefers-color-scheme:dark"]
        {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(svg.matches('L').count() <= POINTS + 10);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn steps_are_round_and_numbers_short() {
        assert_eq!([nice(0.3), nice(1.0), nice(70.0), nice(230.0)], [0.5, 1.0, 100.0, 500.0]);
        assert_eq!([short(0.5), short(16_700.0), short(-0.0)], ["0.5", "16.7k", "0"].map(String::from));
    }
}
