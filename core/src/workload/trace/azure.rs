//! The format of Azure's public LLM inference traces (2023, 2024, and 2025 with images): a CSV of arrival
//! times and lengths. It does not tell which prompts share text, so no two prompts do and caches never
//! hit.
//!
//! ```text
//! TIMESTAMP,ContextTokens,GeneratedTokens
//! 2023-11-16 18:15:46.6805900,374,44
//! ```
//!
//! The trace of 2025 has a column `NumImages` too. It is not used: the time to encode images is not
//! modelled, and their tokens count where `ContextTokens` counts them.

use super::csv::{self, Cells};
use super::error::TraceError;
use super::line::shorten;
use super::reading::Reading;
use super::recording::Recording;
use super::rows::{Names, Row, assemble};
use crate::rng::hash_words;
use crate::tokens::Segment;

/// The columns of the header line.
pub const COLUMNS: [&str; 3] = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"];
const NAMES: Names = Names { time: COLUMNS[0], prompt: COLUMNS[1] };

/// Reads all lines. The error is the first bad line. Times count from the earliest one and may be in
/// any order. `others` are the headers of other tables, for the error.
pub fn read<S: AsRef<str>>(
    lines: impl Iterator<Item = S>,
    others: &str,
) -> Result<Recording, TraceError> {
    let (rows, ignored) = csv::read(lines, &COLUMNS, &COLUMNS, others, read_row)?;
    let content = assemble(rows, &Reading::default(), NAMES)?;
    Ok(Recording { ignored, ..Recording::new(content, None) })
}

fn read_row(cells: &Cells<'_>) -> Result<Row, TraceError> {
    let time = cells.text(COLUMNS[0]);
    let at_ms = parse_time(time).ok_or_else(|| {
        let why = format!("{:?}, expected YYYY-MM-DD HH:MM:SS.FFFFFFF", shorten(time));
        cells.err(COLUMNS[0], why)
    })?;
    let seed = hash_words(&[0x417a_7572, cells.line as u64]);
    let prompt = vec![Segment::Text { seed, tokens: cells.length(COLUMNS[1])? }];
    Ok(Row::timed(cells.line, at_ms as f64, prompt, cells.length(COLUMNS[2])?))
}

/// Milliseconds since 1970. The fraction may have any number of digits. The time zone is UTC, written
/// or not.
pub fn parse_time(text: &str) -> Option<u64> {
    let text = text.strip_suffix("+00:00").or(text.strip_suffix('Z')).unwrap_or(text);
    let (date, time) = text.split_once([' ', 'T'])?;
    let [year, month, day] = numbers(date, '-')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':')?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let exists = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    if !exists || fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = fraction.bytes().chain(*b"00").take(3);
    let ms = thousandths.fold(0, |ms, digit| ms * 10 + u64::from(digit - b'0'));
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000 + ms)
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    });
    let all = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(all)
}

/// Days in the Gregorian calendar. Years are counted from March, so that a leap day is the last day.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + in_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::super::recording::Content;
    use super::*;

    const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";

    fn requests(text: &str) -> Vec<(u64, u32, u32)> {
        let Content::Requests(requests) = read(text.lines(), "").unwrap().content else {
            panic!("requests")
        };
        requests.iter().map(|r| (r.at_ms, r.prompt[0].tokens(), r.output_tokens)).collect()
    }

    #[test]
    fn lines_become_requests() {
        let text = format!(
            "\u{feff}{HEADER}\r\n2023-11-16 23:59:59.6805900,374,44\r\n\
             2023-11-17 00:00:01.1,396,0\r\n2023-11-16 23:59:58,1,7\r\n\r\n"
        );
        assert_eq!(requests(&text), [(0, 1, 7), (1_680, 374, 44), (3_100, 396, 1)]);
    }

    #[test]
    fn quotes_spaces_decimals_and_other_columns_are_read() {
        let text = "\"TIMESTAMP\", NumImages, \"ContextTokens\",GeneratedTokens\n\
                    \"2024-10-01 00:00:00.1\", 1, 2000.0, \"20\"\n\
                    2024-10-01 00:00:00.9+00:00,0,0,20\n";
        assert_eq!(requests(text), [(0, 2_000, 20), (800, 1, 20)]);
        let ignored = read(text.lines(), "").unwrap().ignored;
        assert_eq!(ignored.into_iter().collect::<Vec<_>>(), ["NumImages"]);
    }

    #[test]
    fn times_are_converted_by_the_calendar() {
        // Expected values from `date -u +%s`.
        for (text, seconds) in [
            ("1970-01-01 00:00:00", 0),
            ("2000-02-29 12:00:00", 951_825_600),
            ("2023-11-16 18:15:46", 1_700_158_546),
            ("2024-05-10T00:00:00+00:00", 1_715_299_200),
            ("2100-03-01 00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(parse_time(text), Some(seconds * 1_000), "{text}");
        }
        assert_eq!(parse_time("1970-01-01 00:00:00.0129999"), Some(12));
        for bad in [
            "",
            "now",
            "1700158546",
            "2023-11-16",
            "2023-11-16 18:15",
            "2023-02-29 00:00:00",
            "2023-13-01 00:00:00",
            "1969-12-31 23:59:59",
            "2023-11-16 24:00:00",
            "2023-11-16 18:15:46.",
            "2023-11-16 18:15:46.x",
            "2023-11-16 18:-1:46",
            "2023-11-16 18:15:46+02:00",
            "99999999999999999999-01-01 00:00:00",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn errors_have_line_and_field() {
        let cases = [
            ("yesterday,1,1", "line 3: TIMESTAMP: \"yesterday\", expected YYYY-MM-DD HH:MM:SS"),
            ("2023-11-16 18:15:46,-1,1", "line 3: ContextTokens: \"-1\", expected a whole number"),
            (
                "2023-11-16 18:15:46,1.5,1",
                "line 3: ContextTokens: \"1.5\", expected a whole number",
            ),
            ("2023-11-16 18:15:46,1e9,1", "line 3: ContextTokens: \"1e9\", expected"),
            ("2023-11-16 18:15:46,99999999999,1", "line 3: ContextTokens: \"99999999999\""),
            ("2023-11-16 18:15:46,1,", "line 3: GeneratedTokens: \"\", expected"),
            ("2023-11-16 18:15:46,1", "line 3: columns: 2, expected 3: TIMESTAMP,"),
            ("2023-11-16 18:15:46,1,1,1", "line 3: columns: 4, expected 3"),
        ];
        let good = "2023-11-16 18:15:46,1,1";
        for (bad, expected) in cases {
            let error = read([HEADER, good, bad].into_iter(), "").unwrap_err().to_string();
            assert!(error.starts_with(expected), "{bad}\n gave {error}\n not {expected}");
        }
        let wrong = read(["time,in,out", good].into_iter(), "").unwrap_err().to_string();
        assert!(wrong.starts_with("line 1: header: \"time,in,out\", expected TIMESTAMP,"));
        for empty in [&[][..], &[""], &[HEADER], &[HEADER, " "]] {
            assert_eq!(read(empty.iter(), "").err(), Some(TraceError::Empty));
        }
        let far = [HEADER, good, "9023-11-16 18:15:46,1,1"];
        assert!(read(far.into_iter(), "").is_err());
    }
}
