// SPDX-License-Identifier: GPL-2.0

//! The attributes that make a function a test of the suite.
//!
//! The name of a test is the path of its function; its claim is the first sentence of the
//! function's doc comment. The arguments of the attribute are the methods of `suite::test::Test`:
//!
//! ```text
//! /// CPUs that `maxcpus=` kept offline get a thread at their first online.
//! #[vm_test(machine = Config::smp(4).maxcpus(2), leaves = Leaves::Used)]
//! fn first_online(vm: &Vm) -> Result<()> {
//! ```

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Expr, ExprLit, Ident, ItemFn, Lit, Meta, Result, Token};

/// Makes a `fn(&Vm) -> Result<()>` a test in a VM.
#[proc_macro_attribute]
pub fn vm_test(
    arguments: proc_macro::TokenStream,
    function: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    test("new", arguments.into(), function.into()).unwrap_or_else(Error::into_compile_error).into()
}

/// Makes a `fn(&Program) -> Result<()>` a test of the program `run`.
#[proc_macro_attribute]
pub fn program_test(
    arguments: proc_macro::TokenStream,
    function: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    test("of_program", arguments.into(), function.into())
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

/// `name` or `name = value`: a method of `Test`.
struct Argument {
    name: Ident,
    value: Option<Expr>,
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Argument> {
        let name = input.parse()?;
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        Ok(Argument { name, value })
    }
}

fn test(constructor: &str, arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let arguments = Punctuated::<Argument, Token![,]>::parse_terminated.parse2(arguments)?;
    let function: ItemFn = syn::parse2(function)?;
    let constructor = Ident::new(constructor, Span::call_site());
    let name = &function.sig.ident;
    let text = name.to_string();
    let claim = claim(&function.attrs)
        .ok_or_else(|| Error::new(name.span(), "this test has no sentence of what it proves"))?;
    let methods = arguments.iter().map(|Argument { name, value }| quote!(.#name(#value)));
    Ok(quote! {
        #function

        const _: () = {
            #[::linkme::distributed_slice(crate::test::TESTS)]
            static TEST: crate::test::Test = crate::test::Test::#constructor(
                ::core::concat!(::core::module_path!(), "::", #text), #claim, #name,
            )#(#methods)*;
        };
    })
}

/// The first sentence of the doc comment, without its full stop.
fn claim(attributes: &[Attribute]) -> Option<String> {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    let paragraph: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let paragraph = paragraph.join(" ");
    let sentence = paragraph.split(". ").next()?.trim_end_matches('.');
    (!sentence.is_empty()).then(|| sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: &str = "fn wakes(vm: &Vm) -> Result<()> { Ok(()) }";

    fn expanded(arguments: &str, doc: &str) -> Result<String> {
        let function = format!("{doc}\n{FUNCTION}").parse().unwrap();
        Ok(test("new", arguments.parse().unwrap(), function)?.to_string().replace(' ', ""))
    }

    #[test]
    fn the_claim_is_the_first_sentence() {
        let one = expanded("", "/// A wake is\n/// a run.\n///\n/// Not so.").unwrap();
        assert!(one.contains(r#""Awakeisarun",wakes,);"#), "{one}");
        let one = expanded("", "/// A wake is a run. Another is another.").unwrap();
        assert!(one.contains(r#""Awakeisarun",wakes,);"#), "{one}");
    }

    #[test]
    fn arguments_are_methods() {
        let one = expanded("long, needs = &[KASAN], times = 3", "/// It runs.").unwrap();
        assert!(one.contains(".long().needs(&[KASAN]).times(3);"), "{one}");
    }

    #[test]
    fn a_test_without_a_sentence_is_refused() {
        for doc in ["", "// Not a doc comment.", "///", "/// ."] {
            let error = expanded("", doc).unwrap_err().to_string();
            assert_eq!(error, "this test has no sentence of what it proves", "{doc:?}");
        }
    }
}
