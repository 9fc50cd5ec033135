//! `#[event]`: a decoder of positional fields, an encoder of a map, and what the manifest says of both.

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Error, Fields, LitStr, Result, Variant};

use crate::model::{self, Member, Struct};
use crate::text;

/// Expands `#[event]` or `#[event(tag = "..")]`.
pub fn expand(args: TokenStream, mut item: DeriveInput) -> Result<TokenStream> {
    let mut tag = None;
    let parser = syn::meta::parser(|meta| {
        if meta.path.is_ident("tag") {
            tag = Some(meta.value()?.parse::<LitStr>()?);
            Ok(())
        } else {
            Err(meta.error("#[event] takes nothing on a struct, and `tag = \"field\"` on an enum of several event types"))
        }
    });
    syn::parse::Parser::parse2(parser, args)?;
    match (&item.data, tag) {
        (Data::Enum(_), Some(tag)) => several(&tag, &mut item),
        (Data::Enum(_), None) => {
            Err(Error::new_spanned(&item.ident, "an enum of event types needs the field that tells them apart: #[event(tag = \"kind\")]"))
        }
        (_, Some(tag)) => Err(Error::new_spanned(tag, "a tag tells the variants of an enum apart; a struct has none")),
        (_, None) => single(&mut item),
    }
}

/// A field and where it is in the event.
struct Placed {
    member: Member,
    path: String,
}

fn single(item: &mut DeriveInput) -> Result<TokenStream> {
    let mut model = Struct::read(item, "event", true)?;
    model::no_handles(&model.fields)?;
    let mut fields = Vec::new();
    for member in std::mem::take(&mut model.fields) {
        let path = path_of(&member)?;
        fields.push(Placed { member, path });
    }
    let derives = model::derives(&item.attrs, &model::usual());
    let name = &model.name;
    let this = model.with_lifetime("a");
    let any = if model.lifetime.is_some() { quote!(#name<'_>) } else { quote!(#name) };
    let title = text::plain(name);
    let fields_json = fields_json(&fields);
    let input_head = format!("{{\"name\":\"in\",\"types\":[{{\"name\":{},\"fields\":", text::json(&title));
    let count = fields.len();
    let idents: Vec<_> = fields.iter().map(|field| &field.member.ident).collect();
    let names: Vec<_> = fields.iter().map(|field| &field.path).collect();
    let make = if model.unit { quote!(#name) } else { quote!(#name { #(#idents),* }) };
    let tree = encode(&fields)?;
    Ok(quote! {
        #derives
        #item

        impl ::sangam_sdk::private::EventStruct for #any {
            const NAME: &'static str = #title;
            const FIELDS: &'static str = #fields_json;
        }

        impl<'a> ::sangam_sdk::Event<'a> for #this {
            const INPUT: &'static str = ::sangam_sdk::__join!(#input_head, #fields_json, "}]}");
            #[inline]
            fn read(_kind: u8, reader: &mut ::sangam_sdk::private::Reader<'a>) -> ::core::result::Result<Self, ::sangam_sdk::Wrong> {
                ::sangam_sdk::private::positions(reader, #count)?;
                #(let #idents = ::sangam_sdk::private::next(reader, #names)?;)*
                Ok(#make)
            }
        }

        impl<'a> ::sangam_sdk::Field<'a> for #this {
            const KIND: &'static str = "object";
            fn decode(reader: &mut ::sangam_sdk::private::Reader<'a>) -> ::core::result::Result<Self, ::sangam_sdk::Wrong> {
                let [#(#idents),*] = ::sangam_sdk::private::locate(reader, &[#(#names),*])?;
                #(let #idents = ::sangam_sdk::private::located(#idents, #names)?;)*
                Ok(#make)
            }
        }

        impl ::sangam_sdk::Encode for #any {
            #[inline]
            fn encode(&self, out: &mut ::std::vec::Vec<u8>) {
                #tree
            }
            fn pack(&self, out: &mut ::std::vec::Vec<u8>) {
                ::sangam_sdk::private::write::array(out, #count);
                #(::sangam_sdk::Encode::encode(&self.#idents, out);)*
            }
        }

        impl ::sangam_sdk::Payload for #any {
            #[inline]
            fn leave_by(self, port: u32, out: &mut ::sangam_sdk::Emitter<'_>) -> ::sangam_sdk::Result<()> {
                out.value(port, |buffer| ::sangam_sdk::Encode::encode(&self, buffer));
                Ok(())
            }
        }
    })
}

/// The path of a field: its name, or what `rename` or `path` says.
fn path_of(member: &Member) -> Result<String> {
    let mut path = text::plain(&member.ident);
    for attr in &member.attrs {
        attr.parse_nested_meta(|meta| {
            let nested = meta.path.is_ident("path");
            if !nested && !meta.path.is_ident("rename") {
                return Err(
                    meta.error("a field takes `path = \"user.id\"` or `rename = \"x\"`; make its type an Option where it may be missing")
                );
            }
            let given: LitStr = meta.value()?.parse()?;
            let text = given.value();
            if text.is_empty() || text.split('.').any(str::is_empty) {
                return Err(Error::new_spanned(&given, "a path is names joined by dots: `user.id`"));
            }
            if !nested && text.contains('.') {
                return Err(Error::new_spanned(&given, "`rename` gives another name; for a nested field write `path = \"user.id\"`"));
            }
            path = text;
            Ok(())
        })?;
    }
    Ok(path)
}

/// The fields as the manifest lists them.
fn fields_json(fields: &[Placed]) -> TokenStream {
    let mut parts = Vec::new();
    for (i, field) in fields.iter().enumerate() {
        let head = format!("{}{{\"path\":{},\"type\":\"", if i > 0 { "," } else { "[" }, text::json(&field.path));
        let ty = text::with_lifetime(&text::name_references(&field.member.ty, "static"), "static");
        parts.push(quote! {
            #head, <#ty as ::sangam_sdk::Field<'static>>::KIND,
            "\",\"optional\":", ::sangam_sdk::manifest::boolean(<#ty as ::sangam_sdk::Field<'static>>::OPTIONAL), "}"
        });
    }
    if parts.is_empty() {
        return quote!("[]");
    }
    quote!(::sangam_sdk::__join!(#(#parts,)* "]"))
}

/// A map to write: names in order of their first appearance, each with a field or a map below it.
enum Node<'f> {
    Field(&'f Placed),
    Map(Vec<(String, Node<'f>)>),
}

/// Writes the event as a map. What does not change, heads and names, is copied as it stands.
fn encode(fields: &[Placed]) -> Result<TokenStream> {
    let mut root = Vec::new();
    for field in fields {
        insert(&mut root, &field.path, field)?;
    }
    let mut constant = Vec::new();
    let mut code = TokenStream::new();
    write_map(&root, &mut constant, &mut code);
    flush(&mut constant, &mut code);
    Ok(code)
}

fn insert<'f>(map: &mut Vec<(String, Node<'f>)>, path: &str, field: &'f Placed) -> Result<()> {
    let clash =
        || Error::new_spanned(&field.member.ident, format!("the field `{}` is there twice, or another field lies inside it", field.path));
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let place = map.iter_mut().find(|(known, _)| known == name).map(|(_, node)| node);
    match (place, rest) {
        (None, None) => map.push((name.to_owned(), Node::Field(field))),
        (None, Some(rest)) => {
            let mut below = Vec::new();
            insert(&mut below, rest, field)?;
            map.push((name.to_owned(), Node::Map(below)));
        }
        (Some(Node::Map(below)), Some(rest)) => insert(below, rest, field)?,
        (Some(_), _) => return Err(clash()),
    }
    Ok(())
}

fn write_map(map: &[(String, Node<'_>)], constant: &mut Vec<u8>, code: &mut TokenStream) {
    text::msgpack_map(map.len(), constant);
    for (name, node) in map {
        text::msgpack_str(name, constant);
        match node {
            Node::Map(below) => write_map(below, constant, code),
            Node::Field(field) => {
                flush(constant, code);
                let ident = &field.member.ident;
                code.extend(quote!(::sangam_sdk::Encode::encode(&self.#ident, out);));
            }
        }
    }
}

fn flush(constant: &mut Vec<u8>, code: &mut TokenStream) {
    if !constant.is_empty() {
        let bytes = Literal::byte_string(constant);
        code.extend(quote!(out.extend_from_slice(#bytes);));
        constant.clear();
    }
}

// === several types by a tag ===

fn several(tag: &LitStr, item: &mut DeriveInput) -> Result<TokenStream> {
    let lifetime = item.generics.lifetimes().next().is_some();
    if item.generics.params.len() > usize::from(lifetime) {
        return Err(Error::new_spanned(
            &item.generics,
            "an #[event] enum is not generic, except for one lifetime to borrow from the batch",
        ));
    }
    let name = item.ident.clone();
    let Data::Enum(data) = &mut item.data else { return Err(Error::new_spanned(&name, "expected an enum")) };
    let (mut tags, mut idents, mut types) = (Vec::new(), Vec::new(), Vec::new());
    for variant in &mut data.variants {
        tags.push(tag_of(variant)?);
        let ty = match &variant.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => fields.unnamed.first().map(|field| field.ty.clone()),
            _ => None,
        };
        let form = format!("a variant carries one event struct: write `{0}({0})`", variant.ident);
        types.push(ty.ok_or_else(|| Error::new_spanned(&*variant, form))?);
        idents.push(variant.ident.clone());
    }
    if idents.len() > 255 {
        return Err(Error::new_spanned(&name, "an operator takes at most 255 types of event"));
    }
    let derives = model::derives(&item.attrs, &model::usual());
    let (this, any) = if lifetime { (quote!(#name<'a>), quote!(#name<'_>)) } else { (quote!(#name), quote!(#name)) };
    let head = format!("{{\"name\":\"in\",\"tag\":{},\"types\":[", text::json(&tag.value()));
    let parts = tags.iter().zip(&types).enumerate().map(|(i, (tag, ty))| {
        let head = format!("{}{{\"name\":{},\"fields\":", if i > 0 { "," } else { "" }, text::json(tag));
        let ty = text::with_lifetime(ty, "static");
        quote!(#head, <#ty as ::sangam_sdk::private::EventStruct>::FIELDS, "}")
    });
    let count = idents.len() as u8;
    let kinds = 0..count;
    let events: Vec<_> = types.iter().map(|ty| text::with_lifetime(ty, "a")).collect();
    let tag = tag.value();
    Ok(quote! {
        #derives
        #item

        impl<'a> ::sangam_sdk::Event<'a> for #this {
            const INPUT: &'static str = ::sangam_sdk::__join!(#head, #(#parts,)* "]}");
            const KINDS: u8 = #count;
            #[inline]
            fn read(kind: u8, reader: &mut ::sangam_sdk::private::Reader<'a>) -> ::core::result::Result<Self, ::sangam_sdk::Wrong> {
                match kind {
                    #(#kinds => <#events as ::sangam_sdk::Event<'a>>::read(0, reader).map(#name::#idents),)*
                    _ => Err(::sangam_sdk::private::unknown_kind()),
                }
            }
        }

        impl<'a> ::sangam_sdk::Field<'a> for #this {
            const KIND: &'static str = "object";
            fn decode(reader: &mut ::sangam_sdk::private::Reader<'a>) -> ::core::result::Result<Self, ::sangam_sdk::Wrong> {
                match ::sangam_sdk::private::tag_of(reader, #tag)? {
                    #(#tags => <#events as ::sangam_sdk::Field<'a>>::decode(reader).map(#name::#idents),)*
                    _ => Err(::sangam_sdk::private::unknown_tag(#tag)),
                }
            }
        }

        impl ::sangam_sdk::Encode for #any {
            fn encode(&self, out: &mut ::std::vec::Vec<u8>) {
                match self {
                    #(#name::#idents(event) => ::sangam_sdk::private::tagged(#tag, #tags, event, out),)*
                }
            }
            fn pack(&self, out: &mut ::std::vec::Vec<u8>) {
                match self {
                    #(#name::#idents(event) => {
                        ::sangam_sdk::private::write::array(out, 2);
                        ::sangam_sdk::private::write::str(out, #tags);
                        ::sangam_sdk::Encode::pack(event, out);
                    })*
                }
            }
        }

        impl ::sangam_sdk::Payload for #any {
            fn leave_by(self, port: u32, out: &mut ::sangam_sdk::Emitter<'_>) -> ::sangam_sdk::Result<()> {
                out.value(port, |buffer| ::sangam_sdk::Encode::encode(&self, buffer));
                Ok(())
            }
        }
    })
}

/// The tag's value for a variant: its name in snake case, or what `rename` says.
fn tag_of(variant: &mut Variant) -> Result<String> {
    let mut tag = text::snake(&text::plain(&variant.ident));
    let (own, others): (Vec<Attribute>, _) = std::mem::take(&mut variant.attrs).into_iter().partition(|attr| attr.path().is_ident("event"));
    variant.attrs = others;
    for attr in own {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(meta.error("a variant takes `rename = \"the tag's value\"`"));
            }
            tag = meta.value()?.parse::<LitStr>()?.value();
            Ok(())
        })?;
    }
    Ok(tag)
}
