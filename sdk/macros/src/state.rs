//! `#[state]`: positional encoding; a build that adds fields at the end reads the state of the one before.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, LitInt, LitStr, Path, Result};

use crate::model::{self, Struct};
use crate::text;
use crate::window::duration;

/// Expands `#[state]`, with what `#[state(..)]` says of its version and its life.
pub fn expand(args: TokenStream, mut item: DeriveInput) -> Result<TokenStream> {
    let args = Args::read(args)?;
    let version = args.version;
    let model = Struct::read(&mut item, "state", false)?;
    if let Some(attr) = model.fields.iter().flat_map(|field| &field.attrs).next() {
        return Err(Error::new_spanned(attr, "a field of a state takes no attribute: it is known by its position"));
    }
    if model.fields.len() > 255 {
        return Err(Error::new_spanned(&item.ident, "a state has at most 255 fields: put some into a #[state] struct of their own"));
    }
    let mut wanted = model::usual();
    wanted.push(("Default", quote!(Default)));
    let derives = model::derives(&item.attrs, &wanted);
    let name = &model.name;
    let title = text::plain(name);
    let idents: Vec<_> = model.fields.iter().map(|field| &field.ident).collect();
    let types: Vec<_> = model.fields.iter().map(|field| &field.ty).collect();
    let names: Vec<_> = idents.iter().map(|ident| text::plain(ident)).collect();
    let count = idents.len();
    let numbers: Vec<u8> = (0..count).map(|i| i as u8).collect();
    let make = if model.unit { quote!(#name) } else { quote!(#name { #(#idents),* }) };
    let migrates = if args.migrate.is_some() { "\"migrates\":true," } else { "" };
    let head = format!("{{\"name\":{},\"version\":{version},{migrates}\"fields\":[", text::json(&title));
    let ttl = args.ttl();
    let migrate = args.migrate.as_ref().map(|migrate| {
        quote! {
            fn migrate(version: u32, bytes: &[u8]) -> ::sangam_sdk::Result<Self> {
                #migrate(version, bytes)
            }
        }
    });
    let parts = names.iter().zip(&types).enumerate().map(|(i, (name, ty))| {
        let head = format!("{}{{\"name\":{},\"type\":\"", if i > 0 { "," } else { "" }, text::json(name));
        quote!(#head, <#ty as ::sangam_sdk::Field<'static>>::KIND, "\"}")
    });
    Ok(quote! {
        #derives
        #item

        impl<'a> ::sangam_sdk::Field<'a> for #name {
            const KIND: &'static str = "array";
            const CELLS: ::sangam_sdk::private::Cells =
                ::sangam_sdk::private::Cells::None #(.or(<#types as ::sangam_sdk::Field<'static>>::CELLS.inside()))*;
            #[inline]
            fn decode(reader: &mut ::sangam_sdk::private::Reader<'a>) -> ::core::result::Result<Self, ::sangam_sdk::Wrong> {
                #[allow(unused_mut)]
                let mut left = reader.array()?;
                #(let #idents = ::sangam_sdk::private::next_or_default(reader, &mut left, #names)?;)*
                ::sangam_sdk::private::rest(reader, left)?;
                Ok(#make)
            }
        }

        impl ::sangam_sdk::Encode for #name {
            #[inline]
            fn encode(&self, out: &mut ::std::vec::Vec<u8>) {
                ::sangam_sdk::private::write::array(out, #count);
                #(::sangam_sdk::Encode::encode(&self.#idents, out);)*
            }
        }

        #(const _: () = ::core::assert!(
            !::core::matches!(<#types as ::sangam_sdk::Field<'static>>::CELLS, ::sangam_sdk::private::Cells::Inside),
            "`Map` and `List` must stand directly in the operator's #[state] struct, not inside another value"
        );)*

        impl ::sangam_sdk::State for #name {
            const SCHEMA: &'static str = ::sangam_sdk::__join!(#head, #(#parts,)* "]}");
            const VERSION: u32 = #version;
            #ttl
            #migrate
            const HANDLES: bool = <#name as ::sangam_sdk::Field<'static>>::CELLS.any();
            fn bind_all(&mut self, slot: u32) {
                #(::sangam_sdk::Field::bind(&mut self.#idents, slot, #numbers);)*
            }
            fn settle_all(&mut self, slot: u32) -> ::sangam_sdk::Result<()> {
                #(::sangam_sdk::Field::settle(&mut self.#idents, slot, #numbers)?;)*
                Ok(())
            }
            fn own_all(&mut self, cells: &::std::collections::BTreeMap<::std::vec::Vec<u8>, ::std::vec::Vec<u8>>) {
                #(::sangam_sdk::Field::own(&mut self.#idents, #numbers, cells);)*
            }
        }
    })
}

/// What stands in the parentheses of `#[state(..)]`.
struct Args {
    version: u32,
    migrate: Option<Path>,
    ttl_ms: Option<i64>,
    from_read: bool,
    by_clock: bool,
}

impl Args {
    fn read(tokens: TokenStream) -> Result<Self> {
        let mut args = Args { version: 1, migrate: None, ttl_ms: None, from_read: false, by_clock: false };
        let mut from = None;
        let parser = syn::meta::parser(|meta| {
            if meta.path.is_ident("version") {
                let given: LitInt = meta.value()?.parse()?;
                args.version = given.base10_parse()?;
                if args.version == 0 {
                    return Err(Error::new_spanned(given, "schema versions count from 1"));
                }
            } else if meta.path.is_ident("migrate") {
                args.migrate = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("ttl") {
                let given: LitStr = meta.value()?.parse()?;
                let ttl = duration(&given)?;
                if ttl == 0 {
                    return Err(Error::new_spanned(
                        given,
                        "a state lives for some time: \"10m\", \"24h\"; without `ttl` it lives for ever",
                    ));
                }
                args.ttl_ms = Some(ttl);
            } else if meta.path.is_ident("ttl_from") {
                let given: LitStr = meta.value()?.parse()?;
                args.from_read = match given.value().as_str() {
                    "write" => false,
                    "read" => true,
                    _ => return Err(Error::new_spanned(given, "a life counts from the last `\"write\"`, or the last `\"read\"` or write")),
                };
                from = Some(given);
            } else if meta.path.is_ident("ttl_time") {
                let given: LitStr = meta.value()?.parse()?;
                args.by_clock = match given.value().as_str() {
                    "event" => false,
                    "processing" => true,
                    _ => return Err(Error::new_spanned(given, "a life counts `\"event\"` time, or `\"processing\"` time")),
                };
                from = Some(given);
            } else {
                return Err(meta.error(
                    "#[state] takes `version = 2`, the schema version, counted from 1; `migrate = from_old`, a function that reads earlier \
                     versions; `ttl = \"1h\"`, after which an unused state is gone; `ttl_from = \"read\"`, where looking is a use; and \
                     `ttl_time = \"processing\"`, where the host's clock counts",
                ));
            }
            Ok(())
        });
        syn::parse::Parser::parse2(parser, tokens)?;
        if let (Some(from), None) = (from, args.ttl_ms) {
            return Err(Error::new_spanned(from, "this says how a `ttl` counts: add `ttl = \"1h\"`"));
        }
        if let (Some(migrate), 1) = (&args.migrate, args.version) {
            return Err(Error::new_spanned(migrate, "there is nothing before version 1: add `version = 2`"));
        }
        Ok(args)
    }

    fn ttl(&self) -> Option<TokenStream> {
        let millis = self.ttl_ms?;
        let from = if self.from_read { quote!(Read) } else { quote!(Write) };
        let clock = if self.by_clock { quote!(Processing) } else { quote!(Event) };
        Some(quote! {
            const TTL: ::core::option::Option<::sangam_sdk::Ttl> =
                ::core::option::Option::Some(::sangam_sdk::Ttl {
                    millis: #millis,
                    from: ::sangam_sdk::TtlFrom::#from,
                    clock: ::sangam_sdk::TtlClock::#clock,
                });
        })
    }
}
