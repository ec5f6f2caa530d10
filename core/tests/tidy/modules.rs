//! Which file of a crate uses which other, read from its syntax. A name is followed through
//! re-exports to the file that defines it. Code for tests is left out.

use crate::files::read;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};

/// A module's path from its root: `["engine", "store"]`.
type ModulePath = Vec<String>;

/// What a name means in a module.
#[derive(Clone, Debug)]
enum Meaning {
    /// The module's own file defines it.
    Here,
    /// A module below.
    Child(ModulePath),
    /// `use` brings it in from this path.
    Import(Vec<String>),
}

#[derive(Debug)]
struct Module {
    file: PathBuf,
    names: BTreeMap<String, Meaning>,
    globs: Vec<Vec<String>>,
    /// Paths that its code names, `use` declarations included.
    paths: BTreeSet<Vec<String>>,
}

/// The modules of one library or program.
#[derive(Debug, Default)]
pub struct Modules {
    modules: BTreeMap<ModulePath, Module>,
}

/// One file uses what another defines.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Arrow {
    pub from: PathBuf,
    pub to: PathBuf,
    /// The name that was used, as the code spells it.
    pub name: String,
}

impl Modules {
    /// Reads a crate from its root file, `lib.rs` or `main.rs`.
    pub fn read(root: &Path) -> Self {
        let mut modules = Self::default();
        let folder = root.parent().expect("a file lies in a folder");
        modules.add_file(Vec::new(), root, folder);
        modules
    }

    /// The files, each once.
    pub fn files(&self) -> BTreeSet<&Path> {
        self.modules.values().map(|module| module.file.as_path()).collect()
    }

    /// Which file uses which other, in order.
    pub fn arrows(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        for (path, module) in &self.modules {
            for used in &module.paths {
                if let Some(to) = self.file_of(path, used, 0)
                    && to != module.file
                {
                    let (from, name) = (module.file.clone(), used.join("::"));
                    arrows.insert(Arrow { from, to, name });
                }
            }
        }
        arrows
    }

    fn add_file(&mut self, path: ModulePath, file: &Path, children: &Path) {
        let parsed = syn::parse_file(&read(file))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.add_items(path, file, children, &parsed.items);
    }

    fn add_items(&mut self, path: ModulePath, file: &Path, children: &Path, items: &[syn::Item]) {
        let mut reader = Reader::default();
        for item in items {
            if !is_for_tests(attributes(item)) {
                reader.visit_item(item);
            }
        }
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            if let Some(name) = defined_name(item) {
                reader.names.insert(name, Meaning::Here);
            }
            let syn::Item::Mod(module) = item else { continue };
            let name = module.ident.to_string();
            let below: ModulePath = path.iter().cloned().chain([name.clone()]).collect();
            reader.names.insert(name.clone(), Meaning::Child(below.clone()));
            let inner = children.join(&name);
            match &module.content {
                Some((_, items)) => self.add_items(below, file, &inner, items),
                None => {
                    let beside = children.join(format!("{name}.rs"));
                    let file = if beside.exists() { beside } else { inner.join("mod.rs") };
                    self.add_file(below, &file, &inner);
                }
            }
        }
        let Reader { names, globs, paths } = reader;
        self.modules.insert(path, Module { file: file.to_owned(), names, globs, paths });
    }

    /// The file that defines what `path` names in the module `from`. None: another crate's, or a
    /// name that only the compiler knows.
    fn file_of(&self, from: &ModulePath, path: &[String], depth: usize) -> Option<PathBuf> {
        // Two re-exports may lead to each other.
        if depth > 16 {
            return None;
        }
        let mut at = from.clone();
        let mut begun = false;
        for (i, name) in path.iter().enumerate() {
            match name.as_str() {
                "crate" => at.clear(),
                "self" if i == 0 => {}
                "super" => {
                    at.pop()?;
                }
                // `use a::{self}` names the module itself.
                "self" => {}
                _ => {
                    let module = self.modules.get(&at)?;
                    match module.names.get(name) {
                        Some(Meaning::Child(below)) => at.clone_from(below),
                        Some(Meaning::Here) => return Some(module.file.clone()),
                        Some(Meaning::Import(import)) => {
                            let rest = path[i + 1..].iter().cloned();
                            let whole: Vec<String> = import.iter().cloned().chain(rest).collect();
                            // An import that begins with its own name is another crate's.
                            if import.first() == Some(name) && import.len() == 1 {
                                return None;
                            }
                            return self.file_of(&at, &whole, depth + 1);
                        }
                        None => {
                            let found = module.globs.iter().find_map(|glob| {
                                let rest = path[i..].iter().cloned();
                                let whole: Vec<String> = glob.iter().cloned().chain(rest).collect();
                                self.file_of(&at, &whole, depth + 1)
                            });
                            // A path that has entered this crate ends in this module, if nowhere
                            // else: a macro may have made the name.
                            return found.or_else(|| begun.then(|| module.file.clone()));
                        }
                    }
                }
            }
            begun = true;
        }
        self.modules.get(&at).map(|module| module.file.clone())
    }
}

/// Reads what the items of one module name.
#[derive(Default)]
struct Reader {
    names: BTreeMap<String, Meaning>,
    globs: Vec<Vec<String>>,
    paths: BTreeSet<Vec<String>>,
}

impl Reader {
    fn use_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let join = |name: &syn::Ident| -> Vec<String> {
            before.iter().cloned().chain([name.to_string()]).collect()
        };
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&join(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.import(name.ident.to_string(), join(&name.ident)),
            syn::UseTree::Rename(name) => self.import(name.rename.to_string(), join(&name.ident)),
            syn::UseTree::Glob(_) => {
                self.paths.insert(before.to_vec());
                self.globs.push(before.to_vec());
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.use_tree(before, tree));
            }
        }
    }

    fn import(&mut self, name: String, path: Vec<String>) {
        let name = match name.as_str() {
            "self" => path.iter().rev().find(|part| *part != "self").cloned().unwrap_or(name),
            _ => name,
        };
        self.names.insert(name, Meaning::Import(path.clone()));
        self.paths.insert(path);
    }

    /// Paths in the tokens of a macro call: names with `::` between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.named(core::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    // `crate::a::$b` and `crate::a::{..}` name more than what stands here, and
                    // `pub(in crate::a)` uses nothing of it.
                    let whole = core::mem::take(&mut path);
                    if colons != 2 {
                        self.named(whole);
                    }
                    colons = 0;
                    if let TokenTree::Group(group) = other
                        && !group.stream().to_string().starts_with("in crate")
                    {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.named(path);
    }

    /// A single name is local, or stands in a `use` declaration.
    fn named(&mut self, path: Vec<String>) {
        if path.len() > 1 {
            self.paths.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&[], &item.tree);
    }

    /// A module has a reader of its own.
    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}

    /// `pub(in path)` uses nothing of what it names.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.named(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        let is_cfg_test = || match &attribute.meta {
            syn::Meta::List(list) => list.tokens.to_string() == "test",
            _ => false,
        };
        path.is_ident("test") || path.is_ident("cfg") && is_cfg_test()
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    use syn::Item;
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn defined_name(item: &syn::Item) -> Option<String> {
    use syn::Item;
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        _ => return None,
    })
}
