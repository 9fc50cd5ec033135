//! `#[outputs]`: one variant per port.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Error, Fields, ItemEnum, LitStr, Result};

use crate::model;
use crate::text;

/// Expands `#[outputs]`.
pub fn expand(args: TokenStream, mut item: ItemEnum) -> Result<TokenStream> {
    if !args.is_empty() {
        return Err(Error::new_spanned(args, "#[outputs] takes nothing; a variant takes `#[outputs(rename = \"port\")]`"));
    }
    let (mut ports, mut idents) = (Vec::new(), Vec::new());
    for variant in &mut item.variants {
        let form = format!("an output port carries exactly one event: write `{}(Event)`", variant.ident);
        if !matches!(&variant.fields, Fields::Unnamed(fields) if fields.unnamed.len() == 1) {
            return Err(Error::new_spanned(&*variant, form));
        }
        let mut port = text::snake(&text::plain(&variant.ident));
        let (own, others): (Vec<Attribute>, _) =
            std::mem::take(&mut variant.attrs).into_iter().partition(|attr| attr.path().is_ident("outputs"));
        variant.attrs = others;
        for attr in own {
            attr.parse_nested_meta(|meta| {
                if !meta.path.is_ident("rename") {
                    return Err(meta.error("a variant takes `rename = \"port\"`"));
                }
                port = meta.value()?.parse::<LitStr>()?.value();
                Ok(())
            })?;
        }
        if ports.contains(&port) {
            return Err(Error::new_spanned(&variant.ident, format!("the output port `{port}` is there twice")));
        }
        ports.push(port);
        idents.push(variant.ident.clone());
    }
    if ports.is_empty() {
        return Err(Error::new_spanned(
            &item.ident,
            "an #[outputs] enum needs a variant per port; an operator that emits nothing returns ()",
        ));
    }
    let derives = model::derives(&item.attrs, &model::usual());
    let name = &item.ident;
    let (impl_generics, type_generics, _) = item.generics.split_for_impl();
    let json = format!("[{}]", ports.iter().map(|port| text::json(port)).collect::<Vec<_>>().join(","));
    let numbers = 0..ports.len() as u32;
    Ok(quote! {
        #derives
        #item

        impl #impl_generics ::sangam_sdk::Leave for #name #type_generics {
            const PORTS: &'static str = #json;
            #[inline]
            fn leave(self, out: &mut ::sangam_sdk::Emitter<'_>) -> ::sangam_sdk::Result<()> {
                match self {
                    #(#name::#idents(one) => ::sangam_sdk::Payload::leave_by(one, #numbers, out),)*
                }
            }
        }
    })
}
