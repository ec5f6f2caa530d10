//! Writes the seeds of every target to `corpus/TARGET`, where libFuzzer begins.

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    for target in warmpath_fuzz_targets::ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        std::fs::create_dir_all(&folder)?;
        let seeds = (target.seeds)();
        for (i, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{i:03}")), seed)?;
        }
        println!("{}: {} seeds", folder.display(), seeds.len());
    }
    Ok(())
}
