//! Tables for people: columns as wide as they must be. Must never know what is in them.

use std::fmt;

#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Columns of numbers, which stand to the right.
    numbers: Vec<bool>,
}

impl Table {
    /// A column whose title begins with `>` is one of numbers.
    pub fn new(titles: &[&str]) -> Table {
        Table {
            rows: vec![titles.iter().map(|title| title.trim_start_matches('>').to_owned()).collect()],
            numbers: titles.iter().map(|title| title.starts_with('>')).collect(),
        }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.numbers.len(), "a cell for each column");
        self.rows.push(cells);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.numbers.len()).map(width).collect();
        for row in &self.rows {
            let cell = |(place, text): (usize, &String)| {
                let width = widths[place];
                if self.numbers[place] { format!("{text:>width$}") } else { format!("{text:<width$}") }
            };
            let line: Vec<String> = row.iter().enumerate().map(cell).collect();
            writeln!(f, "{}", line.join("  ").trim_end())?;
        }
        Ok(())
    }
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

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["NAME", ">SIZE"]);
        table.row(vec!["a".into(), size(5)]);
        table.row(vec!["rivers".into(), size(1_500_000)]);
        assert_eq!(table.to_string(), "NAME       SIZE\na           5 B\nrivers  1.4 MiB\n");
        assert_eq!([size(1023), size(1024), size(1 << 30)], ["1023 B", "1.0 KiB", "1.0 GiB"]);
    }
}
