//! What a file names by `crate::` or by enough `super::` to leave its folder.
//!
//! Read from the tokens, not from the syntax tree: a path inside a macro's arguments is an edge as well.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};

/// Every first part of a path from the crate's root that a file names, with its line; `module` is where the file stands.
pub fn folders_used(file: TokenStream, mut module: Vec<String>) -> Vec<(String, usize)> {
    let mut used = Vec::new();
    collect_used(file, &mut module, &mut used);
    used
}

fn collect_used(tokens: TokenStream, module: &mut Vec<String>, used: &mut Vec<(String, usize)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (i, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => {
                let inline = inline_module(&tokens[..i], group.delimiter());
                let deeper = inline.is_some();
                module.extend(inline);
                collect_used(group.stream(), module, used);
                if deeper {
                    module.pop();
                }
            }
            TokenTree::Ident(ident) if *ident == "crate" => named_after(&tokens[i + 1..], used),
            TokenTree::Ident(ident) if *ident == "super" && starts_path(&tokens[..i]) => {
                let (supers, rest) = count_supers(&tokens[i..]);
                if supers >= module.len() {
                    named_after(rest, used);
                }
            }
            _ => {}
        }
    }
}

/// The name in `mod name { … }`, when these are the tokens before the brace.
fn inline_module(before: &[TokenTree], delimiter: Delimiter) -> Option<String> {
    match before {
        [.., TokenTree::Ident(keyword), TokenTree::Ident(name)]
            if *keyword == "mod" && delimiter == Delimiter::Brace =>
        {
            Some(name.to_string())
        }
        _ => None,
    }
}

fn starts_path(before: &[TokenTree]) -> bool {
    !matches!(before.last(), Some(TokenTree::Punct(p)) if p.as_char() == ':')
}

/// How many `super::` in a row, and what follows the last `super`.
fn count_supers(tokens: &[TokenTree]) -> (usize, &[TokenTree]) {
    match tokens {
        [TokenTree::Ident(i), TokenTree::Punct(_), TokenTree::Punct(_), rest @ ..]
            if *i == "super" && is_super(rest) =>
        {
            let (more, rest) = count_supers(rest);
            (more + 1, rest)
        }
        [_, rest @ ..] => (1, rest),
        [] => (0, tokens),
    }
}

fn is_super(tokens: &[TokenTree]) -> bool {
    matches!(tokens.first(), Some(TokenTree::Ident(i)) if *i == "super")
}

/// The folders in `::name…` or `::{name…, name…}`.
fn named_after(tokens: &[TokenTree], used: &mut Vec<(String, usize)>) {
    let mut add = |ident: &Ident| used.push((ident.to_string(), ident.span().start().line));
    match tokens {
        [TokenTree::Punct(a), TokenTree::Punct(b), TokenTree::Ident(name), ..]
            if a.as_char() == ':' && b.as_char() == ':' =>
        {
            add(name);
        }
        [TokenTree::Punct(_), TokenTree::Punct(_), TokenTree::Group(group), ..] => {
            let mut first = true;
            for token in group.stream() {
                match token {
                    TokenTree::Ident(name) if first => {
                        add(&name);
                        first = false;
                    }
                    TokenTree::Punct(p) if p.as_char() == ',' => first = true,
                    _ => {}
                }
            }
        }
        _ => {}
    }
}
