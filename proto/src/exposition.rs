//! Prometheus' text, read.

/// The series of a name: their labels and their values, without those that are no number.
pub fn series<'a>(page: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    page.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        // Another name may begin with this one. A label's value may have any character.
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest.strip_prefix(' ').map(|_| rest)?),
        };
        Some((labels, value.split_whitespace().next()?.parse().ok()?))
    })
}

/// The value of a label among those of a series. Escapes are left as they are.
pub fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = labels;
    loop {
        let (key, more) = rest.trim_start_matches(',').trim_start().split_once("=\"")?;
        let mut escaped = false;
        let end = more.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        if key == name {
            return Some(&more[..end]);
        }
        rest = &more[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_by_their_whole_name() {
        let page = "# HELP a_total Words a_total\n\
                    a_total{model=\"a } b\",engine=\"0\"} 12\n\
                    a_total{engine=\"1\"} 3.5 1700000000\n\
                    a_total_more{engine=\"0\"} 100\n\
                    bare 7\n\
                    wrong x\n";
        let read = |name| series(page, name).collect::<Vec<_>>();
        let first = "model=\"a } b\",engine=\"0\"";
        assert_eq!(read("a_total"), [(first, 12.0), ("engine=\"1\"", 3.5)]);
        assert_eq!((read("bare"), read("wrong"), read("a")), (vec![("", 7.0)], vec![], vec![]));
    }
    #[test]
    fn a_label_is_found_by_its_whole_name() {
        let labels = "model=\"a\\\",engine=\\\"9\",my_engine=\"8\", engine=\"0\",empty=\"\"";
        assert_eq!(label(labels, "engine"), Some("0"));
        assert_eq!(label(labels, "model"), Some("a\\\",engine=\\\"9"));
        assert_eq!((label(labels, "empty"), label(labels, "other")), (Some(""), None));
        assert_eq!((label("", "a"), label("a=\"b", "a")), (None, None));
    }
}
