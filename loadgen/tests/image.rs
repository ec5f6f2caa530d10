//! What the image has on top of its base, assembled without a container engine by the script that the Dockerfile
//! calls. It is started in a root of its own, with the libraries of the base and nothing else.

#[path = "common/binaries.rs"]
mod binaries;

use binaries::binaries;
use libtest_mimic::{Arguments, Trial};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
const PROGRAMS: [&str; 4] = ["router", "worker-sim", "pool", "loadgen"];
/// What distroless/cc has of the C library and of the compiler's. (It has OpenSSL and the C++ library too.)
const LIBRARIES: [&str; 8] = [
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
];

fn main() -> ExitCode {
    let tests = vec![
        test("the_image_has_the_programs_and_all_files", has_all),
        test("the_programs_need_only_what_the_base_has", needs_only_the_base),
        test("they_run_in_a_root_of_their_own", run_alone).with_ignored_flag(!may_change_root()),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn test(name: &str, check: fn()) -> Trial {
    Trial::test(name, move || {
        check();
        Ok(())
    })
}

fn assembled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut script = Command::new(format!("{DEPLOY}/image/rootfs.sh"));
    succeeds(script.arg(binaries()).arg(folder.path()));
    folder
}

fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let (said, complaints) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {said}{complaints}");
    said.into_owned()
}

fn may_change_root() -> bool {
    let tried = Command::new("chroot").args(["/", "true"]).output();
    tried.is_ok_and(|output| output.status.success())
}

/// The files below a folder, by their paths in it.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(found.insert(path.strip_prefix(folder).expect("below").to_owned())),
            }
        }
    }
    found
}

fn has_all() {
    let root = assembled();
    let bin = root.path().join("usr/local/bin");
    for name in PROGRAMS {
        let link = std::fs::read_link(bin.join(name)).expect("the short name is a link");
        assert_eq!(link, Path::new(&format!("warmpath-{name}")));
        let said = succeeds(Command::new(bin.join(format!("warmpath-{name}"))).arg("--version"));
        assert!(said.starts_with(name), "{said}");
    }
    for folder in ["profiles", "workloads", "scenarios"] {
        let inside = files(&root.path().join("etc/warmpath").join(folder));
        assert_eq!(inside, files(&Path::new(DEPLOY).join(folder)), "{folder}");
        assert!(inside.len() > 5, "{folder}: {inside:?}");
    }
}

/// The libraries of a program and where they are, as `ldd` finds them.
fn libraries(program: &Path) -> BTreeSet<PathBuf> {
    let said = succeeds(Command::new("ldd").arg(program));
    let paths =
        said.lines().filter_map(|line| line.split_whitespace().find(|w| w.starts_with('/')));
    paths.map(PathBuf::from).collect()
}

fn needs_only_the_base() {
    for name in PROGRAMS {
        let needed = libraries(&binaries().join(name));
        assert!(!needed.is_empty(), "{name}");
        for path in needed {
            let library = path.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(LIBRARIES.contains(&library.as_str()), "{name} needs {library}");
        }
    }
}

fn run_alone() {
    let root = assembled();
    for path in PROGRAMS.iter().flat_map(|name| libraries(&binaries().join(name))) {
        let inside = root.path().join(path.strip_prefix("/").expect("absolute"));
        std::fs::create_dir_all(inside.parent().expect("a folder")).expect("made");
        std::fs::copy(&path, &inside).expect("copied");
    }
    let alone = |args: &[&str]| {
        let mut command = Command::new("chroot");
        command.arg(root.path()).args(args).env_clear();
        succeeds(command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("NO_COLOR", "1"))
    };
    for name in PROGRAMS {
        assert!(alone(&[&format!("/usr/local/bin/{name}"), "--version"]).starts_with(name));
    }
    // By the files in the image.
    let files = ["--workload", "/etc/warmpath/workloads/chat.toml", "--profile"];
    let rest = ["/etc/warmpath/profiles/lab-tp2.toml", "--workers", "2", "--duration", "30s"];
    let sim = ["/usr/local/bin/warmpath-loadgen", "sim", "--policies", "warmpath"];
    let said = alone(&[&sim[..], &files, &rest].concat());
    assert!(said.contains("warmpath") && said.contains("2 workers"), "{said}");
}
