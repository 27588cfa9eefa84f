//! Release lists as comma-separated values (RFC 4180, a line a row): first what is said about the list, each in a
//! line `# name: value`, then a header, then the rows.

use super::{COLUMNS, Field, List, Position, Row};

pub(super) fn read(text: &str, list: &mut List) {
    let mut lines = (1..).zip(text.lines());
    let mut columns = None;
    for (number, line) in &mut lines {
        if let Some(about) = line.strip_prefix('#') {
            read_about(about, number, list);
        } else if !line.trim().is_empty() {
            columns = header(line, number, list);
            if columns.is_none() {
                return;
            }
            break;
        }
    }
    let Some(columns) = columns else {
        let wanted = "a header such as \"model,component,version,digest\"";
        list.problem((1, 1), format!("found no header; wanted {wanted}"));
        return;
    };
    let mut rows = 0_usize;
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        rows += 1;
        read_row(line, number, &columns, list);
    }
    if rows == 0 {
        list.problem((1, 1), "found a header without rows; wanted at least one value");
    }
}

/// `# name: value`; other comments are allowed.
fn read_about(line: &str, number: usize, list: &mut List) {
    let Some((field, value)) = line.split_once(':') else { return };
    let field = field.trim();
    // A sentence with a colon in it is a comment.
    if !field.contains(' ') {
        list.about(field, value.trim(), (number, 1));
    }
}

/// Which column is where.
fn header(line: &str, number: usize, list: &mut List) -> Option<Vec<usize>> {
    let fields = fields(line, number, list)?;
    let mut columns = Vec::with_capacity(fields.len());
    let before = list.problems.len();
    for field in &fields {
        let found = COLUMNS.iter().position(|name| *name == field.text.as_str());
        match found {
            Some(column) if columns.contains(&column) => {
                list.problem(field.place, format!("found column {:?} a second time", field.text));
            }
            Some(column) => columns.push(column),
            None => {
                let message = format!("found column {:?}; wanted {}", field.text, COLUMNS.join(", "));
                list.problem(field.place, message);
            }
        }
    }
    for (column, name) in [(1, "component"), (3, "digest")] {
        if !columns.contains(&column) && list.problems.len() == before {
            list.problem((number, 1), format!("found no column {name:?}, which has to be there"));
        }
    }
    (list.problems.len() == before).then_some(columns)
}

fn read_row(line: &str, number: usize, columns: &[usize], list: &mut List) {
    let Some(fields) = fields(line, number, list) else { return };
    if fields.len() != columns.len() {
        let message = format!("found {} fields; wanted {}, as in the header", fields.len(), columns.len());
        list.problem((number, 1), message);
        return;
    }
    let place = (number, 1);
    let nothing = Field { text: "", place };
    let mut row =
        Row { model: nothing, component: nothing, version: nothing, digest: nothing, maker: nothing };
    for (column, field) in columns.iter().zip(&fields) {
        let field = Field { text: &field.text, place: field.place };
        match column {
            0 => row.model = field,
            1 => row.component = field,
            2 => row.version = field,
            3 => row.digest = field,
            _ => row.maker = field,
        }
    }
    list.row(&row);
}

struct Found {
    text: String,
    place: Position,
}

/// Most fields in a line: more are wrong anyway.
const MAX_FIELDS: usize = 16;

/// Takes a line apart; `None` where a quote is wrong, which is a problem.
fn fields(line: &str, number: usize, list: &mut List) -> Option<Vec<Found>> {
    let mut fields = Vec::new();
    let mut rest = line.chars().zip(1_usize..).peekable();
    loop {
        while rest.next_if(|(c, _)| *c == ' ').is_some() {}
        let column = rest.peek().map_or_else(|| line.chars().count() + 1, |(_, column)| *column);
        let place = (number, column);
        let mut text = String::new();
        if rest.next_if(|(c, _)| *c == '"').is_some() {
            loop {
                match rest.next() {
                    Some(('"', _)) if rest.next_if(|(c, _)| *c == '"').is_some() => text.push('"'),
                    Some(('"', _)) => break,
                    Some((c, _)) => text.push(c),
                    None => {
                        list.problem(place, "found a quote that is not closed in its line");
                        return None;
                    }
                }
            }
            while rest.next_if(|(c, _)| *c == ' ').is_some() {}
        } else {
            while let Some((c, _)) = rest.next_if(|(c, _)| *c != ',') {
                text.push(c);
            }
            text.truncate(text.trim_end().len());
        }
        fields.push(Found { text, place });
        match rest.next() {
            None => return Some(fields),
            Some((',', _)) if fields.len() < MAX_FIELDS => {}
            Some((',', column)) => {
                list.problem((number, column), format!("more than {MAX_FIELDS} fields"));
                return None;
            }
            Some((c, column)) => {
                list.problem((number, column), format!("found {c:?} after a quote; wanted a comma"));
                return None;
            }
        }
    }
}
