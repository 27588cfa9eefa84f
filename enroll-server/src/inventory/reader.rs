//! Reads inventory files as a stream: one row in memory, whatever the length of the file or of a line.

use std::io::{self, BufRead, Seek, SeekFrom};

use csv_core::ReadRecordResult;

use super::bad::BadRow;
use super::cell::plain;
use super::row::{Column, Row};
use crate::store::InventoryEntry;

/// Longest row, in bytes.
pub const MAX_ROW: usize = 64 * 1024;
/// Most columns.
const MAX_COLUMNS: usize = 64;

/// A place between two rows of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Bytes before it.
    pub bytes: u64,
    /// Lines before it.
    pub lines: u64,
}

/// One row, good or bad.
#[derive(Debug)]
pub struct Read {
    /// Line it begins on, from 1.
    pub line: u64,
    /// What it says.
    pub entry: Result<InventoryEntry, BadRow>,
}

/// Reads one file.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    at: Position,
    form: Form,
    row: Vec<u8>,
}

#[derive(Debug)]
enum Form {
    Csv { core: Box<csv_core::Reader>, columns: Vec<Column>, fields: Vec<u8>, ends: Vec<usize> },
    JsonLines,
}

impl<R: BufRead + Seek> Reader<R> {
    /// Opens a file: JSON lines where it begins with `{`, else CSV. Goes on at `from`, where it is given; the header
    /// is read all the same.
    ///
    /// # Errors
    /// Where the file cannot be read; inside, where its header is no good.
    pub fn open(input: R, from: Option<Position>) -> io::Result<Result<Self, BadRow>> {
        let mut reader = Self { input, at: Position::default(), form: Form::JsonLines, row: Vec::new() };
        reader.skip_mark()?;
        let first = reader.input.fill_buf()?.iter().copied().find(|byte| !byte.is_ascii_whitespace());
        if first != Some(b'{') {
            match reader.header()? {
                Ok(form) => reader.form = form,
                Err(bad) => return Ok(Err(bad)),
            }
        }
        if let Some(from) = from {
            reader.input.seek(SeekFrom::Start(from.bytes))?;
            reader.at = from;
        }
        Ok(Ok(reader))
    }

    /// The byte order mark that some programs put in front of UTF-8.
    fn skip_mark(&mut self) -> io::Result<()> {
        if self.input.fill_buf()?.starts_with("\u{feff}".as_bytes()) {
            self.input.consume(3);
            self.at.bytes = 3;
        }
        Ok(())
    }

    fn header(&mut self) -> io::Result<Result<Form, BadRow>> {
        let bad = |line, reason: String| Ok(Err(BadRow::new(line, "", reason)));
        let line = match self.record(true)? {
            None => return bad(1, format!("expected a header such as \"{}\", found nothing", super::HEADER)),
            Some((line, Ok(()))) => line,
            Some((line, Err(reason))) => return bad(line, reason),
        };
        let mut core = Box::new(csv_core::Reader::new());
        let (mut fields, mut ends) = (vec![0; MAX_ROW], vec![0; MAX_COLUMNS]);
        let count = match split(&mut core, &self.row, &mut fields, &mut ends) {
            Ok(count) => count,
            Err(reason) => return bad(line, reason),
        };
        let mut columns = Vec::new();
        for number in 0..count {
            let name = match field(&fields, &ends, number) {
                Ok(name) => name.trim(),
                Err(reason) => return bad(line, reason),
            };
            match Column::named(name) {
                Ok(column) if column != Column::Ignored && columns.contains(&column) => {
                    return bad(line, format!("the column {name} stands here twice"));
                }
                Ok(column) => columns.push(column),
                Err(reason) => return bad(line, reason),
            }
        }
        if !columns.contains(&Column::Device) {
            return bad(line, "there is no column device".to_owned());
        }
        Ok(Ok(Form::Csv { core, columns, fields, ends }))
    }

    /// Where the next row begins.
    pub const fn position(&self) -> Position {
        self.at
    }

    /// The next row; empty lines are skipped.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn next_row(&mut self) -> io::Result<Option<Read>> {
        let quotes = matches!(self.form, Form::Csv { .. });
        let Some((line, read)) = self.record(quotes)? else { return Ok(None) };
        let entry = read.map_err(|reason| ("", reason)).and_then(|()| match &mut self.form {
            Form::Csv { core, columns, fields, ends } => {
                let count = split(core, &self.row, fields, ends).map_err(|reason| ("", reason))?;
                if count != columns.len() {
                    return Err(("", format!("expected {} fields, found {count}", columns.len())));
                }
                let mut row = Row::default();
                for (number, column) in columns.iter().enumerate() {
                    let text = field(fields, ends, number).map_err(|reason| ("", reason))?;
                    row.field(*column, plain(text.trim()))?;
                }
                row.finish()
            }
            Form::JsonLines => {
                let object = serde_json::from_slice(&self.row)
                    .map_err(|error| ("", format!("expected a JSON object: {error}")))?;
                let mut row = Row::default();
                row.object(&object)?;
                row.finish()
            }
        });
        let entry = entry.map_err(|(column, reason)| BadRow::new(line, column, reason));
        Ok(Some(Read { line, entry }))
    }

    /// Reads the next record that is not empty into `row`, and gives the line it begins on. Inside of quotes a line
    /// can end and the record go on (RFC 4180, section 2.6).
    fn record(&mut self, quotes: bool) -> io::Result<Option<(u64, Result<(), String>)>> {
        loop {
            self.row.clear();
            let line = self.at.lines + 1;
            let (mut ended, mut whole) = self.line()?;
            if ended && self.row.is_empty() {
                return Ok(None);
            }
            let (mut open, mut counted) = (false, 0);
            while quotes && whole {
                let new = self.row.get(counted..).unwrap_or_default();
                open ^= new.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
                counted = self.row.len();
                if !open || ended {
                    break;
                }
                (ended, whole) = self.line()?;
            }
            if !whole {
                return Ok(Some((line, Err(format!("the row is longer than {MAX_ROW} bytes")))));
            }
            if open {
                return Ok(Some((line, Err("a quote is not closed".to_owned()))));
            }
            if self.row.iter().any(|byte| !byte.is_ascii_whitespace()) {
                return Ok(Some((line, Ok(()))));
            }
        }
    }

    /// Adds one line to `row`. Whether the file ended with it, and whether the row is still within its limit; of
    /// what is beyond that nothing is kept.
    fn line(&mut self) -> io::Result<(bool, bool)> {
        let mut whole = true;
        loop {
            let part = self.input.fill_buf()?;
            if part.is_empty() {
                return Ok((true, whole));
            }
            let end = part.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let (taken, _) = part.split_at(end.unwrap_or(part.len()));
            if self.row.len() + taken.len() > MAX_ROW {
                whole = false;
            } else if whole {
                self.row.extend_from_slice(taken);
            }
            let length = taken.len();
            self.input.consume(length);
            self.at.bytes += length as u64;
            if end.is_some() {
                self.at.lines += 1;
                return Ok((false, whole));
            }
        }
    }
}

/// Splits a record into fields; gives their number.
fn split(
    core: &mut csv_core::Reader,
    row: &[u8],
    fields: &mut [u8],
    ends: &mut [usize],
) -> Result<usize, String> {
    core.reset();
    let (mut input, mut out, mut count) = (row, 0, 0);
    loop {
        let room = fields.get_mut(out..).unwrap_or_default();
        let more = ends.get_mut(count..).unwrap_or_default();
        let (result, read, written, ended) = core.read_record(input, room, more);
        (out, count) = (out + written, count + ended);
        input = input.get(read..).unwrap_or_default();
        match result {
            // With nothing left this tells the parser that the record is over.
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull => return Err(format!("the row is longer than {MAX_ROW} bytes")),
            ReadRecordResult::OutputEndsFull => return Err(format!("more than {MAX_COLUMNS} fields")),
            ReadRecordResult::Record | ReadRecordResult::End => return Ok(count),
        }
    }
}

fn field<'f>(fields: &'f [u8], ends: &[usize], number: usize) -> Result<&'f str, String> {
    let start = number.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    let bytes = ends.get(number).and_then(|end| fields.get(start..*end)).unwrap_or_default();
    core::str::from_utf8(bytes).map_err(|_| format!("field {} is no UTF-8", number + 1))
}
