//! What an error must look like.

/// No line of an error is longer. It may show a value of the input, but not all of a large one.
const LONGEST_LINE: usize = 8_192;

/// An error that is one line.
pub fn check_line(error: &str) {
    assert!(!error.trim().is_empty(), "an error without words");
    assert!(!error.contains('\n'), "more than one line: {error:?}");
    assert!(error.len() <= LONGEST_LINE, "a line of {} bytes: {error:?}", error.len());
}

/// The errors of a file: one line, or several that each name file and line.
pub fn check_lines(error: &str) {
    let lines: Vec<&str> = error.lines().collect();
    if lines.len() < 2 {
        return check_line(error);
    }
    for line in lines {
        check_line(line);
        let mut parts = line.split(':').skip(1);
        let number = parts.next().is_some_and(|number| number.parse::<u32>().is_ok());
        assert!(number, "a line without its place in the file, of several: {error:?}");
    }
}
