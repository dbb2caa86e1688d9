//! Tables: columns as wide as they must be and lines as wide as the terminal for people, objects for programs. Must never
//! know what is in them.

use serde_json::{Map, Value};
use std::fmt;

/// No text is cut further.
const CELL_MIN: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    /// A number that people read as a size.
    Bytes,
    OnlyJson,
    OnlyText,
}

#[derive(Debug)]
pub struct Table {
    columns: Vec<(Kind, String, String)>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// Columns, with `, ` between them. A column is the name in JSON, and `=TITLE` where people read another. It begins
    /// with `>` where it is one of numbers, `#` where those are bytes, `-` where it is only for programs, and `+` where it
    /// is only for people.
    pub fn new(columns: &str) -> Table {
        let column = |column: &str| {
            let kinds = [('>', Kind::Number), ('#', Kind::Bytes), ('-', Kind::OnlyJson), ('+', Kind::OnlyText)];
            let kind =
                kinds.into_iter().find(|(mark, _)| column.starts_with(*mark)).map_or(Kind::Text, |(_, kind)| kind);
            let bare = column.trim_start_matches(['>', '#', '-', '+']);
            let (name, title) = bare.split_once('=').unwrap_or((bare, bare));
            (kind, name.to_owned(), title.trim_end_matches("_bytes").replace('_', " ").to_uppercase())
        };
        Table { columns: columns.split(", ").map(column).collect(), rows: Vec::new() }
    }

    /// Takes a cell for each column, as a JSON array.
    pub fn row(&mut self, cells: Value) {
        let Value::Array(cells) = cells else { unreachable!("rows are given as arrays") };
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn json(&self) -> Value {
        let object = |row: &Vec<Value>| {
            let cells = self.columns.iter().zip(row).filter(|((kind, ..), _)| *kind != Kind::OnlyText);
            cells.map(|((_, name, _), cell)| (name.clone(), cell.clone())).collect::<Map<_, _>>()
        };
        self.rows.iter().map(object).map(Value::Object).collect()
    }

    /// Lines of no more than so many letters, where that can be: the longest texts are cut.
    fn fit(&self, line_max: Option<usize>) -> String {
        let seen = || self.columns.iter().enumerate().filter(|(_, (kind, ..))| *kind != Kind::OnlyJson);
        let line = |row: &Vec<Value>| seen().map(|(place, (kind, ..))| plain(*kind, &row[place])).collect();
        let titles = seen().map(|(_, (_, _, title))| title.clone()).collect();
        let lines: Vec<Vec<String>> = std::iter::once(titles).chain(self.rows.iter().map(line)).collect();
        let is_text: Vec<bool> = seen().map(|(_, (kind, ..))| !matches!(kind, Kind::Number | Kind::Bytes)).collect();
        let width = |place: usize| lines.iter().map(|line| line[place].chars().count()).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..is_text.len()).map(width).collect();
        let room = line_max.map(|line| line.saturating_sub(2 * widths.len().saturating_sub(1)));
        while room.is_some_and(|room| widths.iter().sum::<usize>() > room) {
            let texts = widths.iter_mut().zip(&is_text).filter(|(width, is_text)| **is_text && **width > CELL_MIN);
            let Some((longest, _)) = texts.max_by_key(|(width, _)| **width) else { break };
            *longest -= 1;
        }
        let mut text = String::new();
        for line in lines {
            let cell = |(place, text): (usize, String)| {
                let width = widths[place];
                match (is_text[place], text.chars().count() > width) {
                    (false, _) => format!("{text:>width$}"),
                    (true, true) => text.chars().take(width - 1).chain(['…']).collect(),
                    (true, false) => format!("{text:<width$}"),
                }
            };
            let cells: Vec<String> = line.into_iter().enumerate().map(cell).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// A cell for people: what is not there is a dash.
fn plain(kind: Kind, cell: &Value) -> String {
    match cell {
        Value::Number(bytes) if kind == Kind::Bytes => size(bytes.as_u64().unwrap_or(0)),
        Value::Array(list) if !list.is_empty() => {
            list.iter().map(|cell| plain(kind, cell)).collect::<Vec<_>>().join(",")
        }
        Value::String(text) if !text.is_empty() || kind == Kind::OnlyText => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(is_so) => if *is_so { "yes" } else { "no" }.to_owned(),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => "-".to_owned(),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terminal = console::Term::stdout();
        let columns = terminal.size_checked().filter(|_| terminal.is_term()).map(|(_, columns)| usize::from(columns));
        f.write_str(&self.fit(columns))
    }
}

/// As `1 topic`, `2 topics`.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A size in the unit in which it is easiest to read.
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = None;
    for next in units {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = Some(next);
    }
    match unit {
        None => format!("{bytes} B"),
        Some(unit) => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new("name, #size_bytes, -id, +isr=IN SYNC");
        table.row(json!(["a", 5, 1, [1, 2]]));
        table.row(json!(["over the hills", 1_500_000, 2, []]));
        let lines = "NAME               SIZE  IN SYNC\na                   5 B  1,2\nover the hills  1.4 MiB  -\n";
        assert_eq!(table.fit(None), lines);
        assert_eq!(table.fit(Some(26)).lines().last(), Some("over th…  1.4 MiB  -"));
        let objects = json!([{ "name": "a", "size_bytes": 5, "id": 1 }, { "name": "over the hills", "size_bytes": 1_500_000, "id": 2 }]);
        assert_eq!(table.json(), objects);
        assert_eq!([size(1023), size(1024), size(1 << 30)], ["1023 B", "1.0 KiB", "1.0 GiB"]);
    }
}
