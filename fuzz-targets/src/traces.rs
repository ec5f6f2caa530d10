//! Trace files of every format: an error of one line, or a trace that can be looked through.

use crate::errors::check_line;
use crate::scratch::with_file;
use crate::seeds;
use warmpath_core::workload::trace::Format;
use warmpath_loadgen::fuzzing;

/// The first byte says whether the format is named and whether a last line may be cut off. The rest is the
/// file.
pub fn run(bytes: &[u8]) {
    let Some((&how, file)) = bytes.split_first() else { return };
    // Half of the values leave the format to be detected.
    let format = Format::ALL.get(usize::from(how >> 1)).copied();
    let may_be_cut = how & 1 == 1;
    match with_file("t", file, |path| fuzzing::trace(path, format, may_be_cut)) {
        Ok(requests) => assert!(requests > 0, "a trace without requests"),
        Err(why) => check_line(&why),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (name, example) in fuzzing::trace_examples() {
        let named = Format::ALL.iter().position(|format| format.name() == name);
        let named = named.expect("a format") as u8;
        all.push(seeds::tagged(0xff, example.as_bytes()));
        all.push(seeds::tagged(named << 1, example.as_bytes()));
        // The same as a list, and with the lines of a second file behind it.
        if example.starts_with('{') {
            let list = format!("[{}]", example.replace("}\n{", "},\n{"));
            all.push(seeds::tagged(0xff, list.as_bytes()));
        }
        all.push(seeds::tagged(0xff, format!("{example}\n{example}\n").as_bytes()));
    }
    all
}
