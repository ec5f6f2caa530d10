//! The format of Azure's public LLM inference traces (2023 and 2024): a CSV of arrival times and
//! lengths. It does not tell which prompts share text, so no two prompts do and caches never hit.
//!
//! ```text
//! TIMESTAMP,ContextTokens,GeneratedTokens
//! 2023-11-16 18:15:46.6805900,374,44
//! ```

use super::error::TraceError;
use super::line::{MAX_MS, MAX_TOKENS, numbered, shorten};
use super::replay::TimedRequest;
use crate::rng::hash_words;
use crate::tokens::Segment;

/// The columns of the header line.
pub const COLUMNS: [&str; 3] = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"];

/// Reads all lines. The error is the first bad line. Times count from the earliest one and may be in
/// any order; the replay sorts them. An answer of 0 tokens counts as 1, the shortest answer.
pub fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<TimedRequest>, TraceError> {
    let mut lines = numbered(lines);
    let (line, header) = lines.next().ok_or(TraceError::Empty)?;
    if header != COLUMNS.join(",") {
        let why = format!("{:?}, expected {}", shorten(header), COLUMNS.join(","));
        return Err(err(line, "header", why));
    }
    let mut requests: Vec<_> =
        lines.map(|(line, text)| read_line(line, text)).collect::<Result<_, _>>()?;
    let origin = requests.iter().map(|request| request.at_ms).min().ok_or(TraceError::Empty)?;
    for request in &mut requests {
        request.at_ms -= origin;
    }
    match requests.iter().map(|request| request.at_ms).max() {
        Some(span) if span > MAX_MS => {
            let why = format!("{span} ms from first to last, expected at most {MAX_MS}");
            Err(err(line, COLUMNS[0], why))
        }
        _ => Ok(requests),
    }
}

fn err(line: usize, field: &str, why: String) -> TraceError {
    TraceError::Field { line, field: field.into(), why }
}

fn read_line(line: usize, text: &str) -> Result<TimedRequest, TraceError> {
    let columns: Vec<&str> = text.split(',').collect();
    let &[time, input, output] = columns.as_slice() else {
        let why = format!("{}, expected 3: {}", columns.len(), COLUMNS.join(","));
        return Err(err(line, "columns", why));
    };
    let number = |field, text: &str, least: u64| {
        let fits = text.parse().ok().filter(|number| (least..=MAX_TOKENS).contains(number));
        let expected = format!("expected a whole number from {least} to {MAX_TOKENS}");
        fits.ok_or_else(|| err(line, field, format!("{:?}, {expected}", shorten(text))))
    };
    let at_ms = parse_time(time).ok_or_else(|| {
        let why = format!("{:?}, expected YYYY-MM-DD HH:MM:SS.FFFFFFF", shorten(time));
        err(line, COLUMNS[0], why)
    })?;
    let tokens = number(COLUMNS[1], input, 1)? as u32;
    let output_tokens = number(COLUMNS[2], output, 0)?.max(1) as u32;
    let seed = hash_words(&[0x417a_7572, line as u64]);
    Ok(TimedRequest { at_ms, prompt: vec![Segment::Text { seed, tokens }], output_tokens })
}

/// Milliseconds since 1970. The fraction may have any number of digits. The time zone is UTC, written
/// or not.
fn parse_time(text: &str) -> Option<u64> {
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
    use super::*;

    const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";

    #[test]
    fn lines_become_requests() {
        let text = format!(
            "\u{feff}{HEADER}\r\n2023-11-16 23:59:59.6805900,374,44\r\n\
             2023-11-17 00:00:01.1,396,0\r\n2023-11-16 23:59:58,1,7\r\n\r\n"
        );
        let requests = read(text.lines()).unwrap();
        let bare: Vec<_> =
            requests.iter().map(|r| (r.at_ms, r.prompt[0].tokens(), r.output_tokens)).collect();
        assert_eq!(bare, [(1_680, 374, 44), (3_100, 396, 1), (0, 1, 7)]);
        assert_ne!(requests[0].prompt[0], requests[1].prompt[0]);
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
            ("2023-11-16 18:15:46,0,1", "line 3: ContextTokens: \"0\", expected a whole number"),
            ("2023-11-16 18:15:46,1e9,1", "line 3: ContextTokens: \"1e9\", expected"),
            ("2023-11-16 18:15:46,99999999999,1", "line 3: ContextTokens: \"99999999999\""),
            ("2023-11-16 18:15:46,1,", "line 3: GeneratedTokens: \"\", expected"),
            ("2023-11-16 18:15:46,1", "line 3: columns: 2, expected 3: TIMESTAMP,"),
            ("2023-11-16 18:15:46,1,1,1", "line 3: columns: 4, expected 3"),
        ];
        let good = "2023-11-16 18:15:46,1,1";
        for (bad, expected) in cases {
            let error = read([HEADER, good, bad].into_iter()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{bad}\n gave {error}\n not {expected}");
        }
        let wrong = read(["time,in,out", good].into_iter()).unwrap_err().to_string();
        assert!(wrong.starts_with("line 1: header: \"time,in,out\", expected TIMESTAMP,"));
        for empty in [&[][..], &[""], &[HEADER], &[HEADER, " "]] {
            assert_eq!(read(empty.iter().copied()), Err(TraceError::Empty));
        }
        let far = [HEADER, good, "9023-11-16 18:15:46,1,1"];
        assert!(read(far.into_iter()).is_err());
    }
}
