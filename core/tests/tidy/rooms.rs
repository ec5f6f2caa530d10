//! No circles: what lies side by side in a folder, files and folders alike, has an order. A folder
//! of up to four files may tie its own files together.

use crate::files::{members, root, shown};
use crate::modules::{Arrow, Modules};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folders of up to this many files may have circles among these files.
const SMALL_FOLDER: usize = 4;

/// Where a file stands, from its crate's root file down: the face of a folder (`mod.rs`, or the file
/// that is called as the folder) ends in [`FACE`].
type Address = Vec<String>;

const FACE: &str = "(its face)";

/// Files and folders that use each other.
#[derive(Debug)]
struct Circle {
    /// The folder in which they lie.
    folder: String,
    /// Names of the files and folders.
    rooms: BTreeSet<String>,
    /// How they use each other.
    arrows: Vec<Arrow>,
}

/// All circles of the crate whose root file is `root_file`.
fn circles(root_file: &Path) -> Vec<Circle> {
    let modules = Modules::read(root_file);
    let source = root_file.parent().expect("a file lies in a folder");
    let addresses: BTreeMap<PathBuf, Address> =
        modules.files().into_iter().map(|file| (file.to_owned(), address(source, file))).collect();
    let arrows = modules.arrows();
    let mut folders: BTreeSet<Address> = BTreeSet::new();
    for address in addresses.values() {
        for depth in 0..address.len() {
            folders.insert(address[..depth].to_vec());
        }
    }
    folders.iter().flat_map(|folder| circles_in(folder, &addresses, &arrows)).collect()
}

fn circles_in(
    folder: &Address,
    addresses: &BTreeMap<PathBuf, Address>,
    arrows: &BTreeSet<Arrow>,
) -> Vec<Circle> {
    let room = |file: &PathBuf| {
        let address = &addresses[file];
        address.starts_with(folder).then(|| address[folder.len()].clone())
    };
    let mut files: BTreeMap<String, usize> = BTreeMap::new();
    for file in addresses.keys() {
        if let Some(room) = room(file) {
            *files.entry(room).or_default() += 1;
        }
    }
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for arrow in arrows {
        if let (Some(from), Some(to)) = (room(&arrow.from), room(&arrow.to))
            && from != to
        {
            uses.entry(from).or_default().insert(to);
        }
    }
    let is_file = |room: &String| {
        let inside: Address = folder.iter().cloned().chain([room.clone()]).collect();
        addresses.values().any(|address| *address == inside)
    };
    let is_small = files.keys().filter(|room| is_file(room)).count() <= SMALL_FOLDER;
    let tied = tied_together(&uses).into_iter();
    tied.filter(|rooms| !(is_small && rooms.iter().all(is_file)))
        .map(|rooms| {
            let among = |file: &PathBuf| room(file).filter(|room| rooms.contains(room));
            let inside = |arrow: &&Arrow| {
                let (from, to) = (among(&arrow.from), among(&arrow.to));
                from.is_some() && to.is_some() && from != to
            };
            let arrows = arrows.iter().filter(inside).cloned().collect();
            Circle { folder: folder.join("/"), rooms, arrows }
        })
        .collect()
}

/// `src/a/b.rs` is `[a, b]`; `src/a/mod.rs`, or `src/a.rs` beside a folder `src/a`, is `[a, FACE]`.
fn address(source: &Path, file: &Path) -> Address {
    let inside = file.strip_prefix(source).expect("a module lies below its crate's root file");
    let mut address: Address =
        inside.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let last = address.last().cloned().unwrap_or_default();
    if last == "mod" || address.len() == 1 && ["lib", "main"].contains(&last.as_str()) {
        address.pop();
        address.push(FACE.to_owned());
    } else if file.with_extension("").is_dir() {
        address.push(FACE.to_owned());
    }
    address
}

/// Groups of two and more rooms in which each can be reached from each.
fn tied_together(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = uses
        .keys()
        .map(|start| {
            let (mut seen, mut left) = (BTreeSet::new(), vec![start]);
            while let Some(room) = left.pop() {
                for next in uses.get(room).into_iter().flatten() {
                    if seen.insert(next) {
                        left.push(next);
                    }
                }
            }
            (start, seen)
        })
        .collect();
    let reaches = |a: &String, b: &String| reached.get(a).is_some_and(|seen| seen.contains(b));
    let mut groups: BTreeSet<BTreeSet<String>> = BTreeSet::new();
    for room in uses.keys().filter(|room| reaches(room, room)) {
        let tied = |other: &&String| reaches(room, other) && reaches(other, room);
        groups.insert(uses.keys().filter(tied).cloned().collect());
    }
    groups.into_iter().collect()
}

/// The root files of a crate: its library and its programs.
fn roots(member: &str) -> Vec<PathBuf> {
    let source = root().join(member).join("src");
    let mut roots: Vec<PathBuf> =
        ["lib.rs", "main.rs"].iter().map(|name| source.join(name)).collect();
    if let Ok(programs) = std::fs::read_dir(source.join("bin")) {
        for program in programs {
            let path = program.unwrap().path();
            roots.push(if path.is_dir() { path.join("main.rs") } else { path });
        }
    }
    roots.retain(|path| path.exists());
    assert!(!roots.is_empty(), "{member} has neither lib.rs nor main.rs");
    roots
}

fn told(circles: &[Circle], of: &Path) -> String {
    let mut text = String::new();
    for Circle { folder, rooms, arrows } in circles {
        let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
        text += &format!("\n{}, in \"{folder}\": {}\n", shown(of), rooms.join(", "));
        let mut last = None;
        for Arrow { from, to, name } in arrows {
            if last.replace((from, to)) != Some((from, to)) {
                text += &format!("    {} -> {}: {name}\n", shown(from), shown(to));
            }
        }
    }
    text
}

#[test]
fn no_folder_has_a_circle_of_files() {
    let mut text = String::new();
    for member in members() {
        for root_file in roots(&member) {
            text += &told(&circles(&root_file), &root_file);
        }
    }
    assert!(text.is_empty(), "circles:\n{text}");
}

/// Writes files below a new folder and returns the circles as `folder: rooms`.
fn planted(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let shown = |circle: Circle| {
        let rooms: Vec<String> = circle.rooms.into_iter().collect();
        format!("{}: {}", circle.folder, rooms.join(" "))
    };
    circles(&folder.path().join("lib.rs")).into_iter().map(shown).collect()
}

#[test]
fn a_planted_circle_is_found() {
    let five = "mod a; mod b; mod c; mod d;";
    let circle = [
        ("lib.rs", five),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "pub struct B; fn f() { super::a::g() }"),
        ("c.rs", ""),
        ("d.rs", ""),
    ];
    assert_eq!(planted(&circle), [": a b"]);
    // One file fewer, and the folder is small.
    assert!(
        planted(&[("lib.rs", "mod a; mod b; mod c;"), circle[1], circle[2], circle[3]]).is_empty()
    );
    // The same between two folders, however small they are; in a macro call; through a re-export.
    let folders = |b: &'static str| {
        [
            ("lib.rs", "mod a; mod b; pub use a::A;"),
            ("a/mod.rs", "mod x; pub use x::A;"),
            ("a/x.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", b),
        ]
    };
    assert_eq!(planted(&folders("pub struct B; use crate::a::A;")), [": a b"]);
    assert_eq!(
        planted(&folders("pub struct B; fn f() { print!(\"{}\", crate::A::new()) }")),
        [": a b"]
    );
    assert!(planted(&folders("pub struct B;")).is_empty());
    // Tests may use what they like.
    let in_tests = "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }";
    assert!(planted(&folders(in_tests)).is_empty());
}

#[test]
fn a_folder_and_its_face_are_a_circle_only_if_the_face_uses_what_uses_it() {
    let files = |face: &'static str| {
        [
            ("lib.rs", "mod a;"),
            ("a/mod.rs", face),
            ("a/b.rs", "use super::Shape; pub struct B(Shape);"),
            ("a/c.rs", ""),
            ("a/d.rs", ""),
            ("a/shape.rs", "pub struct Shape;"),
        ]
    };
    // `Shape` is handed on by the face and defined beside `b`.
    let through = "mod b; mod c; mod d; mod shape; pub use b::B; pub use shape::Shape;";
    assert!(planted(&files(through)).is_empty());
    let own = "mod b; mod c; mod d; mod shape; pub use b::B; pub struct Shape;";
    assert_eq!(planted(&files(own)), ["a: (its face) b"]);
}
