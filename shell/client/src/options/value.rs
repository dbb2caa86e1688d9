//! How the text of an option becomes its value. Must never know which option it is.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

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

/// A span of time in the form of ISO 8601, such as P1DT2H30M or PT0.5S, in milliseconds.
pub fn duration_ms(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no span of time: P1D is a day, PT1H an hour, PT90S ninety seconds");
    let (days, times) =
        text.strip_prefix('P').and_then(|rest| rest.split_once('T').or(Some((rest, "")))).ok_or_else(wrong)?;
    let mut ms = 0.0;
    for (part, units) in [
        (days, [("D", 86_400_000.0), ("", 0.0), ("", 0.0)]),
        (times, [("H", 3_600_000.0), ("M", 60_000.0), ("S", 1000.0)]),
    ] {
        let mut rest = part;
        for (unit, factor) in units {
            if let Some((number, after)) = rest.split_once(unit).filter(|_| !unit.is_empty()) {
                ms += number.parse::<f64>().ok().filter(|number| *number >= 0.0).ok_or_else(wrong)? * factor;
                rest = after;
            }
        }
        if !rest.is_empty() {
            return Err(wrong());
        }
    }
    let ms = Duration::try_from_secs_f64(ms / 1000.0).ok().and_then(|span| u64::try_from(span.as_millis()).ok());
    ms.filter(|_| text.len() > 1 && !text.ends_with('T')).ok_or_else(wrong)
}
