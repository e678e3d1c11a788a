// SPDX-License-Identifier: GPL-2.0

//! The macros of the kernel crate that the simulated files use.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Returns the names of the functions of a trait or an implementation.
fn functions(body: TokenStream) -> Vec<String> {
    let mut found = vec![];
    let mut after_fn = false;
    for token in body {
        match token {
            TokenTree::Ident(name) if after_fn => {
                found.push(name.to_string());
                after_fn = false;
            }
            TokenTree::Ident(word) => after_fn = word.to_string() == "fn",
            _ => after_fn = false,
        }
    }
    found
}

/// Adds a `HAS_` constant for each function: false in the trait, true in an implementation that has
/// it.
#[proc_macro_attribute]
pub fn vtable(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut tokens: Vec<TokenTree> = item.into_iter().collect();
    let is_trait = tokens.iter().any(|token| token.to_string() == "trait");
    let Some(TokenTree::Group(body)) = tokens.pop() else {
        panic!("expected a trait or an implementation");
    };
    let mut constants = String::new();
    for name in functions(body.stream()) {
        let name = name.to_uppercase();
        constants += &format!("#[allow(missing_docs)] const HAS_{name}: bool = {};", !is_trait);
    }
    let mut all: TokenStream = constants.parse().unwrap();
    all.extend(body.stream());
    tokens.push(TokenTree::Group(Group::new(Delimiter::Brace, all)));
    tokens.into_iter().collect()
}

/// Adds `pin_data` of the crate `pin_init`, and `project()`, which the version for user space
/// lacks. Types with parameters get no `project()`.
#[proc_macro_attribute]
pub fn pin_data(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut all: TokenStream = format!("#[::pinned_init::pin_data({arguments})]").parse().unwrap();
    all.extend(item.clone());

    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let at = tokens.iter().position(|t| t.to_string() == "struct").unwrap();
    let name = tokens[at + 1].to_string();
    let TokenTree::Group(body) = &tokens[at + 2] else {
        return all;
    };

    let (mut fields, mut values) = (String::new(), String::new());
    let mut depth = 0;
    let mut field: Vec<TokenTree> = vec![];
    let comma: TokenStream = ",".parse().unwrap();
    for token in body.stream().into_iter().chain(comma) {
        match token.to_string().as_str() {
            "<" => depth += 1,
            ">" => depth -= 1,
            "," if depth == 0 => {
                let colon = field.iter().position(|t| t.to_string() == ":");
                let Some(colon) = colon else { continue };
                let pinned = field.iter().any(|t| t.to_string() == "[pin]");
                let kind: TokenStream = field[colon + 1..].iter().cloned().collect();
                let id = field[colon - 1].to_string();
                field.clear();
                if pinned {
                    fields += &format!("pub(super) {id}: ::core::pin::Pin<&'a mut {kind}>,");
                    values += &format!("{id}: ::core::pin::Pin::new_unchecked(&mut this.{id}),");
                } else {
                    fields += &format!("pub(super) {id}: &'a mut {kind},");
                    values += &format!("{id}: &mut this.{id},");
                }
                continue;
            }
            _ => {}
        }
        field.push(token);
    }
    let projection: TokenStream = format!(
        "#[allow(dead_code, private_interfaces)] pub(super) struct {name}Projection<'a> {{ {fields} }}
        #[allow(dead_code)] impl {name} {{
            pub(super) fn project(self: ::core::pin::Pin<&mut Self>) -> {name}Projection<'_> {{
                // SAFETY: Fields that are pinned are not moved.
                unsafe {{
                    let this = ::core::pin::Pin::into_inner_unchecked(self);
                    {name}Projection {{ {values} }}
                }}
            }}
        }}"
    )
    .parse()
    .unwrap();
    all.extend(projection);
    all
}
