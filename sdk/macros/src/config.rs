//! `#[config]`: read field by field, so that an error names the field.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{DeriveInput, Error, Expr, GenericArgument, PathArguments, Result, Type};

use crate::model::{self, Member, Struct};
use crate::text;

/// Expands `#[config]`.
pub fn expand(args: TokenStream, mut item: DeriveInput) -> Result<TokenStream> {
    if !args.is_empty() {
        return Err(Error::new_spanned(args, "#[config] takes nothing; a field takes `#[config(default)]` or `#[config(default = 5)]`"));
    }
    let model = Struct::read(&mut item, "config", false)?;
    let name = &model.name;
    let derives = model::derives(
        &item.attrs,
        &[("Clone", quote!(Clone)), ("Debug", quote!(Debug)), ("Deserialize", quote!(::sangam_sdk::private::serde::Deserialize))],
    );
    let (mut known, mut reads, mut json, mut defaults) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, field) in model.fields.iter().enumerate() {
        let default = default_of(field)?;
        let title = text::plain(&field.ident);
        let (ident, ty) = (&field.ident, &field.ty);
        let (kind, option) = kind_of(ty);
        json.push(format!(
            "{{\"name\":{},\"type\":{},\"required\":{}}}",
            text::json(&title),
            text::json(&kind),
            default.is_none() && !option
        ));
        reads.push(match &default {
            Some(_) => {
                let function = format_ident!("__default_{}_{}", text::snake(&text::plain(name)), title);
                quote!(#ident: match table.optional(#title)? { Some(given) => given, None => #function() })
            }
            None if option => quote!(#ident: table.optional::<#ty>(#title)?.flatten()),
            None => quote!(#ident: table.required(#title)?),
        });
        if let Some(default) = default {
            let function = format_ident!("__default_{}_{}", text::snake(&text::plain(name)), title);
            defaults.push(quote!(#[doc(hidden)] fn #function() -> #ty { #default }));
            attach(&mut item, i, &function.to_string());
        }
        known.push(title);
    }
    let fields = format!("[{}]", json.join(","));
    let make = if model.unit { quote!(#name) } else { quote!(#name { #(#reads),* }) };
    Ok(quote! {
        #derives
        #[serde(crate = "::sangam_sdk::private::serde", deny_unknown_fields)]
        #item

        #(#defaults)*

        impl ::sangam_sdk::Config for #name {
            const FIELDS: &'static str = #fields;
            fn read(bytes: &[u8]) -> ::core::result::Result<Self, ::std::string::String> {
                #[allow(unused_variables)]
                let table = ::sangam_sdk::private::Table::read(bytes, &[#(#known),*])?;
                Ok(#make)
            }
        }
    })
}

/// A config inside another is read by serde, which needs to know the default too.
fn attach(item: &mut DeriveInput, index: usize, function: &str) {
    if let syn::Data::Struct(data) = &mut item.data
        && let Some(field) = data.fields.iter_mut().nth(index)
    {
        field.attrs.push(syn::parse_quote!(#[serde(default = #function)]));
    }
}

fn default_of(field: &Member) -> Result<Option<TokenStream>> {
    let mut default = None;
    for attr in &field.attrs {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("default") {
                return Err(meta.error("a field of a configuration takes `default` or `default = value`"));
            }
            default = Some(match meta.value() {
                Ok(value) => {
                    let value: Expr = value.parse()?;
                    quote!((#value).into())
                }
                Err(_) => quote!(::core::default::Default::default()),
            });
            Ok(())
        })?;
    }
    Ok(default)
}

/// The name of a type for people and tools, and whether it is an `Option`.
fn kind_of(ty: &Type) -> (String, bool) {
    if let Type::Path(path) = ty
        && let Some(last) = path.path.segments.last()
        && last.ident == "Option"
        && let PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(GenericArgument::Type(inner)) = arguments.args.first()
    {
        return (kind_of(inner).0, true);
    }
    let name = match text::last_name(ty).as_deref() {
        Some("String") => "str".to_owned(),
        Some("Millis") => "i64".to_owned(),
        Some("Vec" | "VecDeque" | "BTreeSet" | "HashSet") => "array".to_owned(),
        Some("BTreeMap" | "HashMap") => "object".to_owned(),
        Some(name) if name.starts_with(|c: char| c.is_lowercase()) => name.to_owned(),
        _ => "any".to_owned(),
    };
    (name, false)
}
