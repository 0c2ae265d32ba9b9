//! CSV files with a head, read to rows that know their lines: every error can name one, and quotes no value.

use std::cell::RefCell;

use csv::{ReaderBuilder, Trim};

/// One row: its line, and the columns that were asked for, in that order; what is not there is empty. It may hold
/// secrets, and does not print.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) fields: Vec<String>,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A line is no row.
    Line(u64, &'static str),
    /// The head lacks this column.
    Head(&'static str),
}

impl Row {
    /// A column that must not be empty.
    pub(super) fn full(&self, columns: &[&str], number: usize) -> Result<&str, String> {
        match self.fields[number].as_str() {
            "" => Err(format!("`{}` is empty", columns[number])),
            value if value.chars().any(char::is_control) => {
                Err(format!("`{}` holds a control character", columns[number]))
            }
            value => Ok(value),
        }
    }
}

/// Reads every row that is not empty, whatever other columns there are and in whatever order.
///
/// # Errors
///
/// The first line that is no row, or a column that the head lacks.
pub(super) fn read(text: &[u8], columns: &[&'static str]) -> Result<Vec<Row>, Wrong> {
    let lines = RefCell::new(Lines { text, at: 0, line: 1 });
    let mut reader = ReaderBuilder::new().trim(Trim::All).flexible(true).from_reader(text);
    let syntax = |error: csv::Error| {
        let line = lines.borrow_mut().of(error.position());
        Wrong::Line(line, without_values(&error))
    };
    let head = reader.headers().map_err(syntax)?.clone();
    let mut places = Vec::new();
    for &column in columns {
        let place = head.iter().position(|name| name.eq_ignore_ascii_case(column));
        places.push(place.ok_or(Wrong::Head(column))?);
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(syntax)?;
        let line = lines.borrow_mut().of(record.position());
        if !record.iter().all(str::is_empty) {
            let field = |&place: &usize| record.get(place).unwrap_or_default().to_owned();
            rows.push(Row { line, fields: places.iter().map(field).collect() });
        }
    }
    Ok(rows)
}

/// Counts lines on the way through a text; the reader's own count leaves out empty lines before a record.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line on which what begins at this position stands; positions must ascend.
    fn of(&mut self, position: Option<&csv::Position>) -> u64 {
        let begin = position.map_or(self.at, |position| position.byte() as usize).min(self.text.len());
        let empty = self.text[begin..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let to = (begin + empty).max(self.at);
        self.line += self.text[self.at..to].iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.at = to;
        self.line
    }
}

/// The kind of a CSV error; its own words may quote the file.
fn without_values(error: &csv::Error) -> &'static str {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8",
        _ => "it is no CSV",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_know_their_lines_whatever_stands_between_them() {
        let rows = read(b"b,x,a\n\n1,2,\"3\n4\"\n , ,\n5\n", &["a", "B"]).expect("rows");
        let row = |line, a: &str, b: &str| Row { line, fields: vec![a.to_owned(), b.to_owned()] };
        assert_eq!(rows, [row(3, "3\n4", "1"), row(6, "", "5")]);
        assert_eq!(rows[1].full(&["a", "b"], 0), Err("`a` is empty".to_owned()));
        assert_eq!(rows[0].full(&["a", "b"], 0), Err("`a` holds a control character".to_owned()));
    }

    #[test]
    fn a_head_without_a_column_and_a_line_that_is_no_text_are_told() {
        assert_eq!(read(b"a\n1\n", &["a", "b"]), Err(Wrong::Head("b")));
        assert_eq!(read(b"a\n1\n\xff\n", &["a"]), Err(Wrong::Line(3, "it is not UTF-8")));
    }
}
