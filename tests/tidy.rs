//! Holds the plan of the house (`docs/architecture.md`): which folder may use which, how long files and functions get, where
//! `unsafe` may stand. The last tests break each rule on purpose: a check that cannot fail holds nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "tidy/paths.rs"]
mod paths;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// What each folder under `src/` may use besides itself and the leaves.
const EDGES: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("mask", &[]),
    ("event", &[]),
    ("policy", &["mask"]),
    ("pipeline", &["wire", "mask", "policy", "event"]),
    ("ledger", &[]),
    ("tls", &[]),
    ("recorder", &["event", "wire", "ledger"]),
    ("upstream", &["wire", "tls"]),
    ("shard", &["pipeline", "recorder", "upstream", "wire", "policy", "event", "tls"]),
    ("control", &["policy", "recorder", "ledger", "upstream", "event", "tls"]),
    ("config", &["policy", "tls"]),
];

/// These see everything: commands, and the start and drain order.
const USES_ALL: &[&str] = &["cli", "boot", "main", "lib"];

/// What every folder may use: what stands for brokers, numbers with their reasons, and a mechanism that clients and
/// brokers are both met with. A leaf uses at most other leaves.
const LEAVES: &[&str] = &["addressing", "limits", "scram"];

/// The two seams where `unsafe` may stand: a file descriptor borrowed from the runtime, the journal's memory map.
const UNSAFE_SEAMS: &[&str] = &["src/shard/runtime", "src/recorder/journal"];

/// Where Rust stands that is ours; beside `fuzz/src` lies what fuzzing builds.
const EVERYWHERE: &[&str] = &["src", "tests", "benches", "fuzz/src", "fuzz/targets", "fuzz/fuzz_targets", "loadtest"];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 60;

/// Written in two halves, or this file would break its own rule.
const LEFT_UNDONE: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

/// One broken rule, where.
#[derive(Debug, PartialEq)]
struct Violation {
    file: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// One Rust file, its path relative to the repository.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn violation(&self, line: usize, rule: impl Into<String>) -> Violation {
        Violation { file: self.path.clone(), line, rule: rule.into() }
    }

    fn tokens(&self) -> TokenStream {
        self.text.parse().unwrap_or_else(|e| panic!("{}: {e}", self.path))
    }

    /// Where it stands below `src/` as a module: `src/wire/kafka/api.rs` is wire, kafka, api.
    fn module(&self) -> Vec<String> {
        let below = self.path.strip_prefix("src/").expect("a file below src/");
        let mut parts: Vec<String> = below.trim_end_matches(".rs").split('/').map(ToOwned::to_owned).collect();
        if parts.last().is_some_and(|last| last == "mod") {
            parts.pop();
        }
        parts
    }

    fn has_known_place(&self) -> bool {
        let module = self.module();
        let folder = module.first().map_or("", String::as_str);
        let in_folder = EDGES.iter().any(|(name, _)| *name == folder) || ["cli", "boot"].contains(&folder);
        let top_level = ["lib", "main", "boot"].contains(&folder) && module.len() == 1;
        top_level || LEAVES.contains(&folder) || (in_folder && self.path != format!("src/{folder}.rs"))
    }
}

fn may_use(folder: &str, other: &str) -> bool {
    folder == other
        || LEAVES.contains(&other)
        || USES_ALL.contains(&folder)
        || EDGES.iter().any(|(name, allowed)| *name == folder && allowed.contains(&other))
}

fn check_edges(source: &Source, found: &mut Vec<Violation>) {
    if !source.has_known_place() {
        found.push(source.violation(1, "stands in no folder of the plan"));
        return;
    }
    let folder = source.module().remove(0);
    for (other, line) in paths::folders_used(source.tokens(), source.module()) {
        let is_folder = EDGES.iter().any(|(name, _)| *name == other) || USES_ALL.contains(&other.as_str());
        if is_folder && !may_use(&folder, &other) {
            found.push(source.violation(line, format!("`{folder}` may not use `{other}`")));
        }
    }
}

fn check_text(source: &Source, found: &mut Vec<Violation>) {
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        found.push(source.violation(lines, format!("{lines} lines, {FILE_LINES_MAX} are allowed")));
    }
    if !source.text.starts_with("//! ") {
        found.push(source.violation(1, "does not open with what it is for (`//! …`)"));
    }
    for (i, line) in source.text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric());
        if let Some(word) = words.find(|word| LEFT_UNDONE.contains(word)) {
            found.push(source.violation(i + 1, format!("{word}: do it, or write down in an issue what is left")));
        }
    }
}

fn check_unsafe(source: &Source, found: &mut Vec<Violation>) {
    if UNSAFE_SEAMS.iter().any(|seam| source.path.starts_with(seam)) {
        return;
    }
    if let Some(line) = unsafe_line(source.tokens()) {
        found.push(source.violation(line, "`unsafe` outside its two seams"));
    }
}

fn unsafe_line(tokens: TokenStream) -> Option<usize> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Group(group) => unsafe_line(group.stream()),
        TokenTree::Ident(ident) if ident == "unsafe" => Some(ident.span().start().line),
        _ => None,
    })
}

/// Finds functions that do not fit a screen; tests may be long.
struct FunctionLengths<'a> {
    source: &'a Source,
    found: &'a mut Vec<Violation>,
}

impl FunctionLengths<'_> {
    fn check(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let lines = block.span().end().line - first + 1;
        if lines > FUNCTION_LINES_MAX {
            let name = &signature.ident;
            let rule = format!("`{name}` has {lines} lines, {FUNCTION_LINES_MAX} are allowed");
            self.found.push(self.source.violation(first, rule));
        }
    }
}

impl<'ast> Visit<'ast> for FunctionLengths<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            self.check(&item.sig, &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.check(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.check(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

/// `#[test]` or `#[cfg(test)]`.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        syn::Meta::NameValue(_) => false,
    })
}

/// A file that is a test module of its own: `…/tests.rs` or something below `…/tests/`.
fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs"))
}

fn check_functions(source: &Source, found: &mut Vec<Violation>) {
    if is_test_file(&source.path) {
        return;
    }
    let file = syn::parse_file(&source.text).unwrap_or_else(|e| panic!("{}: {e}", source.path));
    FunctionLengths { source, found }.visit_file(&file);
}

/// All Rust files below `folder`, which may be missing.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pending: Vec<PathBuf> = vec![root.join(folder)];
    let mut sources = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "rs") {
            let relative = path.strip_prefix(root).unwrap().display().to_string();
            sources.push(Source { path: relative, text: fs::read_to_string(&path).unwrap() });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

type Check = fn(&Source, &mut Vec<Violation>);

fn hold(folders: &[&str], check: Check) {
    let mut found = Vec::new();
    let all: Vec<Source> = folders.iter().flat_map(|folder| sources(folder)).collect();
    assert!(!all.is_empty(), "nothing to check in {folders:?}");
    all.iter().for_each(|source| check(source, &mut found));
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "\n{}\n", shown.join("\n"));
}

#[test]
fn folders_use_only_what_the_plan_allows() {
    hold(&["src"], check_edges);
}

#[test]
fn files_are_short_say_what_they_are_for_and_leave_nothing_undone() {
    hold(EVERYWHERE, check_text);
}

#[test]
fn functions_fit_a_screen() {
    hold(&["src", "loadtest/src", "benches"], check_functions);
}

#[test]
fn unsafe_stands_in_two_seams_only() {
    hold(EVERYWHERE, check_unsafe);
    let with_unsafe = sources("src").into_iter().filter(|s| unsafe_line(s.tokens()).is_some()).map(|s| s.path);
    let with_unsafe: BTreeSet<String> = with_unsafe.collect();
    assert!(with_unsafe.len() <= UNSAFE_SEAMS.len(), "each seam is one file: {with_unsafe:?}");
}

#[cfg(test)]
mod the_checks_themselves {
    use super::*;

    fn broken(path: &str, text: &str, check: Check) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        check(&Source { path: path.to_owned(), text: text.to_owned() }, &mut found);
        found.into_iter().map(|v| (v.line, v.rule)).collect()
    }

    fn edges(path: &str, text: &str) -> Vec<usize> {
        broken(path, text, check_edges).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn an_edge_is_found_however_it_is_written() {
        assert_eq!(edges("src/wire/kafka/api.rs", "use crate::event::Event;"), [1]);
        assert_eq!(edges("src/wire/kafka/api.rs", "use crate::{limits, wire::x,\n policy::{a, recorder}};"), [2]);
        assert_eq!(edges("src/wire/a.rs", "fn f() -> u8 {\n crate::config::N\n}"), [2]);
        assert_eq!(edges("src/wire/a.rs", "fn f() {\n debug!(\"{}\", crate::shard::N);\n}"), [2]);
        assert_eq!(edges("src/wire/a.rs", "use super::super::policy;"), [1]);
        assert_eq!(edges("src/wire/mod.rs", "use super::policy;"), [1]);
        assert_eq!(edges("src/wire/a.rs", "mod tests {\n use super::super::super::policy;\n}"), [2]);
        assert_eq!(edges("src/pipeline/request.rs", "pub use crate::shard::Shard;"), [1]);
        assert_eq!(edges("src/limits.rs", "use crate::wire::N;"), [1]);
        assert_eq!(edges("src/scram.rs", "use crate::policy::Token;"), [1]);
    }

    #[test]
    fn a_lawful_edge_passes() {
        assert!(edges("src/shard/connection.rs", "use crate::{event, limits, pipeline, wire::kafka};").is_empty());
        assert!(
            edges("src/wire/kafka/api.rs", "use super::super::bytes; use super::policy; use crate::wire::y;")
                .is_empty()
        );
        assert!(edges("src/wire/a.rs", "mod tests { use super::super::policy; }").is_empty());
        assert!(edges("src/scram.rs", "use crate::limits::N;").is_empty());
        assert!(edges("src/cli/mod.rs", "use crate::recorder::Store;").is_empty());
        assert!(edges("src/policy/a.rs", "// crate::shard in a comment\nconst A: &str = \"crate::shard\";").is_empty());
    }

    #[test]
    fn a_file_outside_the_plan_is_found() {
        for path in ["src/util/mod.rs", "src/helpers.rs", "src/wire.rs", "src/main/more.rs"] {
            assert_eq!(edges(path, ""), [1], "{path}");
        }
    }

    #[test]
    fn length_opening_and_unfinished_work_are_found() {
        let long = format!("//! x\n{}", "\n".repeat(FILE_LINES_MAX));
        assert_eq!(broken("src/boot.rs", &long, check_text)[0].0, FILE_LINES_MAX + 1);
        assert!(broken("src/boot.rs", &long[..long.len() - 1], check_text).is_empty());
        assert_eq!(broken("src/boot.rs", "use a;", check_text).len(), 1);
        let undone = format!("//! x\n// {}: later\nlet x = 1; // {}(me)", LEFT_UNDONE[0], LEFT_UNDONE[1]);
        let lines: Vec<usize> = broken("src/boot.rs", &undone, check_text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [2, 3]);
    }

    #[test]
    fn a_long_function_is_found_and_a_long_test_is_not() {
        let body = "    a();\n".repeat(FUNCTION_LINES_MAX - 1);
        let long = |before: &str, after: &str| {
            broken("src/boot.rs", &format!("{before}fn f() {{\n{body}}}\n{after}"), check_functions).len()
        };
        assert_eq!(long("", ""), 1);
        assert_eq!(long("impl A {\n", "}"), 1);
        assert_eq!(long("trait A {\n", "}"), 1);
        assert_eq!(long("#[cfg(unix)]\nmod a {\n", "}"), 1);
        assert_eq!(long("#[cfg(test)]\nmod a {\n", "}"), 0);
        assert_eq!(long("#[test]\n", ""), 0);
        let fits = format!("/// doc\n#[inline]\nfn f() {{\n{}}}", "    a();\n".repeat(FUNCTION_LINES_MAX - 2));
        assert!(broken("src/boot.rs", &fits, check_functions).is_empty());
    }

    #[test]
    fn unsafe_outside_its_seams_is_found() {
        let text = "//! unsafe in words\nfn f() {\n unsafe { g() }\n}";
        assert_eq!(broken("src/wire/a.rs", text, check_unsafe)[0].0, 3);
        assert!(broken("src/shard/runtime.rs", text, check_unsafe).is_empty());
    }
}
