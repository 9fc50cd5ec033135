//! Names and literals: how what the author wrote is spelt in JSON, in MessagePack and in the manifest.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::Ident;

/// `OrderPlaced` as `order_placed`.
pub fn snake(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// The name of a field or variant, without the `r#` of a raw identifier.
pub fn plain(ident: &Ident) -> String {
    let name = ident.to_string();
    name.strip_prefix("r#").map_or(name.clone(), str::to_owned)
}

/// Text as a JSON string.
pub fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Text as a MessagePack string.
pub fn msgpack_str(text: &str, out: &mut Vec<u8>) {
    match text.len() {
        len @ 0..=31 => out.push(0xa0 | len as u8),
        len @ 32..=0xff => out.extend([0xd9, len as u8]),
        len => {
            out.push(0xda);
            out.extend((len as u16).to_be_bytes());
        }
    }
    out.extend(text.as_bytes());
}

/// The head of a MessagePack map.
pub fn msgpack_map(len: usize, out: &mut Vec<u8>) {
    match len {
        0..=15 => out.push(0x80 | len as u8),
        _ => {
            out.push(0xde);
            out.extend((len as u16).to_be_bytes());
        }
    }
}

/// The same tokens with every lifetime but `'static` called `name`.
pub fn with_lifetime(tokens: &impl ToTokens, name: &str) -> TokenStream {
    relabel(tokens.to_token_stream(), name)
}

fn relabel(tokens: TokenStream, name: &str) -> TokenStream {
    let mut out = Vec::new();
    let mut lifetime = false;
    for token in tokens {
        out.push(match token {
            TokenTree::Group(group) => {
                let mut relabelled = Group::new(group.delimiter(), relabel(group.stream(), name));
                relabelled.set_span(group.span());
                TokenTree::Group(relabelled)
            }
            TokenTree::Ident(ident) if lifetime && ident != "static" => TokenTree::Ident(Ident::new(name, ident.span())),
            other => {
                lifetime = matches!(&other, TokenTree::Punct(punct) if punct.as_char() == '\'');
                out.push(other);
                continue;
            }
        });
        lifetime = false;
    }
    out.into_iter().collect()
}

/// Puts the lifetime `'name` before references that have none: `&str` becomes `&'name str`.
pub fn name_references(ty: &syn::Type, name: &str) -> syn::Type {
    let mut ty = ty.clone();
    fill(&mut ty, &syn::Lifetime::new(&format!("'{name}"), Span::call_site()));
    ty
}

fn fill(ty: &mut syn::Type, lifetime: &syn::Lifetime) {
    match ty {
        syn::Type::Reference(reference) => {
            reference.lifetime.get_or_insert_with(|| lifetime.clone());
            fill(&mut reference.elem, lifetime);
        }
        syn::Type::Path(path) => {
            for segment in &mut path.path.segments {
                if let syn::PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
                    for argument in &mut arguments.args {
                        if let syn::GenericArgument::Type(ty) = argument {
                            fill(ty, lifetime);
                        }
                    }
                }
            }
        }
        _ => {}
    }
}

/// The last name of a type's path: `Context` of `sangam_sdk::Context<'_>`.
pub fn last_name(ty: &syn::Type) -> Option<String> {
    match ty {
        syn::Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}
