//! How the text of an option becomes its value. Must never know which option it is.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Sets a field, or says what is wrong with the text.
pub fn put<T>(field: &mut T, value: Result<T, String>) -> Result<(), String> {
    *field = value?;
    Ok(())
}

pub fn number<T: FromStr + PartialOrd + Display>(text: &str, range: RangeInclusive<T>) -> Result<T, String> {
    let value = text.parse().ok().filter(|value| range.contains(value));
    value.ok_or_else(|| format!("a whole number from {} to {} is needed", range.start(), range.end()))
}

/// One of these words, in any case.
pub fn choice<T: Clone>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    found.map(|(_, value)| value.clone()).ok_or_else(|| {
        let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        format!("one of {} is needed", words.join(", "))
    })
}
