//! `#[inputs]`: one variant per input.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Error, Fields, ItemEnum, LitStr, Result, Type, Variant};

use crate::model;
use crate::text;

/// Expands `#[inputs]`.
pub fn expand(args: TokenStream, mut item: ItemEnum) -> Result<TokenStream> {
    if !args.is_empty() {
        return Err(Error::new_spanned(args, "#[inputs] takes nothing; a variant takes `#[inputs(rename = \"input\")]`"));
    }
    let lifetime = item.generics.lifetimes().next().is_some();
    if item.generics.params.len() > usize::from(lifetime) {
        return Err(Error::new_spanned(
            &item.generics,
            "an #[inputs] enum is not generic, except for one lifetime to borrow from the batch",
        ));
    }
    let (mut names, mut idents, mut types) = (Vec::new(), Vec::new(), Vec::new());
    for variant in &mut item.variants {
        let name = name_of(variant)?;
        if names.contains(&name) {
            return Err(Error::new_spanned(&variant.ident, format!("the input `{name}` is there twice")));
        }
        names.push(name);
        types.push(event_of(variant)?);
        idents.push(variant.ident.clone());
    }
    if names.is_empty() {
        return Err(Error::new_spanned(&item.ident, "an #[inputs] enum needs a variant per input"));
    }
    let derives = model::derives(&item.attrs, &model::usual());
    let name = &item.ident;
    let this = if lifetime { quote!(#name<'a>) } else { quote!(#name) };
    let heads = names.iter().enumerate().map(|(i, name)| format!("{}{}", if i > 0 { "," } else { "" }, head(name)));
    let broadcast_heads =
        names.iter().enumerate().map(|(i, name)| format!("{}{},\"broadcast\":true", if i > 0 { "," } else { "" }, head(name)));
    let fixed: Vec<_> = types.iter().map(|ty| text::with_lifetime(ty, "static")).collect();
    let events: Vec<_> = types.iter().map(|ty| text::with_lifetime(ty, "a")).collect();
    Ok(quote! {
        #derives
        #item

        impl<'a> ::sangam_sdk::Event<'a> for #this {
            const INPUT: &'static str = ::sangam_sdk::__join!(
                #(#heads, ::sangam_sdk::manifest::unnamed(<#fixed as ::sangam_sdk::Event<'static>>::INPUT)),*
            );
            const BROADCAST: &'static str = ::sangam_sdk::__join!(
                #(#broadcast_heads, ::sangam_sdk::manifest::unnamed(<#fixed as ::sangam_sdk::Event<'static>>::INPUT)),*
            );
            const KINDS: u8 = 0 #(+ <#events as ::sangam_sdk::Event<'a>>::KINDS)*;
            #[inline]
            fn read(kind: u8, reader: &mut ::sangam_sdk::private::Reader<'a>) -> ::core::result::Result<Self, ::sangam_sdk::Wrong> {
                // Types are numbered through all inputs.
                #(
                    if kind < <#events as ::sangam_sdk::Event<'a>>::KINDS {
                        return <#events as ::sangam_sdk::Event<'a>>::read(kind, reader).map(#name::#idents);
                    }
                    let kind = kind - <#events as ::sangam_sdk::Event<'a>>::KINDS;
                )*
                let _ = kind;
                Err(::sangam_sdk::private::unknown_kind())
            }
        }
    })
}

/// How the JSON of an input with this name begins.
pub fn head(name: &str) -> String {
    format!("{{\"name\":{}", text::json(name))
}

/// The input's name: the variant's in snake case, or what `rename` says.
fn name_of(variant: &mut Variant) -> Result<String> {
    let mut name = text::snake(&text::plain(&variant.ident));
    let (own, others): (Vec<Attribute>, _) =
        std::mem::take(&mut variant.attrs).into_iter().partition(|attr| attr.path().is_ident("inputs"));
    variant.attrs = others;
    for attr in own {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(meta.error("a variant takes `rename = \"input\"`"));
            }
            name = meta.value()?.parse::<LitStr>()?.value();
            Ok(())
        })?;
    }
    Ok(name)
}

/// What a variant carries.
fn event_of(variant: &Variant) -> Result<Type> {
    let ty = match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => fields.unnamed.first().map(|field| field.ty.clone()),
        _ => None,
    };
    let Some(ty) = ty else {
        return Err(Error::new_spanned(variant, format!("an input brings exactly one event: write `{}(Event)`", variant.ident)));
    };
    if text::last_name(&ty).as_deref() == Some("Row") {
        return Err(Error::new_spanned(
            ty,
            "a `Row` is for an operator with a single input: declare the fields in an #[event], or take `Raw` for the bytes",
        ));
    }
    Ok(ty)
}
