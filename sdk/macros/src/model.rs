//! What the struct attributes have in common: named fields, the author's own attributes, added derives.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, GenericParam, Ident, Lifetime, Result, Type};

use crate::text;

/// A struct with named fields, or without any.
pub struct Struct {
    pub name: Ident,
    pub lifetime: Option<Lifetime>,
    pub fields: Vec<Member>,
    pub unit: bool,
}

/// A named field.
pub struct Member {
    pub ident: Ident,
    pub ty: Type,
    pub attrs: Vec<Attribute>,
}

impl Struct {
    /// Reads the struct and takes the attributes called `own` off its fields.
    pub fn read(item: &mut DeriveInput, own: &str, borrows: bool) -> Result<Self> {
        let lifetime = generics(item, own, borrows)?;
        let Data::Struct(data) = &mut item.data else {
            return Err(Error::new_spanned(&item.ident, format!("#[{own}] goes on a struct with named fields")));
        };
        let unit = matches!(data.fields, Fields::Unit);
        let fields = match &mut data.fields {
            Fields::Named(fields) => {
                fields.named.iter_mut().map(|field| member(field, own)).collect::<Option<Vec<_>>>().unwrap_or_default()
            }
            Fields::Unit => Vec::new(),
            Fields::Unnamed(fields) => {
                return Err(Error::new_spanned(
                    fields,
                    format!("#[{own}] needs field names, they are the names in the data: write `struct {} {{ name: Type }}`", item.ident),
                ));
            }
        };
        Ok(Struct { name: item.ident.clone(), lifetime, fields, unit })
    }

    /// The name with its lifetime called `name`.
    pub fn with_lifetime(&self, name: &str) -> TokenStream {
        let ident = &self.name;
        match &self.lifetime {
            Some(_) => {
                let lifetime = Lifetime::new(&format!("'{name}"), proc_macro2::Span::call_site());
                quote!(#ident<#lifetime>)
            }
            None => quote!(#ident),
        }
    }
}

fn generics(item: &DeriveInput, own: &str, borrows: bool) -> Result<Option<Lifetime>> {
    let mut lifetime = None;
    for param in &item.generics.params {
        match param {
            GenericParam::Lifetime(param) if borrows && lifetime.is_none() => lifetime = Some(param.lifetime.clone()),
            GenericParam::Lifetime(_) if borrows => {
                return Err(Error::new_spanned(param, "one lifetime is enough: everything is borrowed from the same batch"));
            }
            GenericParam::Lifetime(_) => {
                return Err(Error::new_spanned(param, format!("a #[{own}] outlives the batch, so it cannot borrow: use String for &str")));
            }
            _ => {
                return Err(Error::new_spanned(
                    param,
                    format!("a #[{own}] is not generic: its fields stand in the manifest, so write one struct per type"),
                ));
            }
        }
    }
    Ok(lifetime)
}

fn member(field: &mut Field, own: &str) -> Option<Member> {
    let (attrs, others) = std::mem::take(&mut field.attrs).into_iter().partition(|attr: &Attribute| attr.path().is_ident(own));
    field.attrs = others;
    Some(Member { ident: field.ident.clone()?, ty: field.ty.clone(), attrs })
}

/// `#[derive(..)]` of those names that the author has not derived.
pub fn derives(attrs: &[Attribute], names: &[(&str, TokenStream)]) -> TokenStream {
    let mut own = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("derive")) {
        let _ = attr.parse_nested_meta(|meta| {
            own.extend(meta.path.segments.last().map(|segment| segment.ident.to_string()));
            Ok(())
        });
    }
    let missing = names.iter().filter(|(name, _)| !own.iter().any(|own| own == name)).map(|(_, path)| path);
    quote!(#[derive(#(#missing),*)])
}

/// Clone, Debug and PartialEq.
pub fn usual() -> Vec<(&'static str, TokenStream)> {
    vec![("Clone", quote!(Clone)), ("Debug", quote!(Debug)), ("PartialEq", quote!(PartialEq))]
}

/// Refuses `Map` and `List` where they cannot be.
pub fn no_handles(fields: &[Member]) -> Result<()> {
    for field in fields {
        if matches!(text::last_name(&field.ty).as_deref(), Some("Map" | "List")) {
            return Err(Error::new_spanned(
                &field.ty,
                "`Map` and `List` are handles to the state of a key and cannot travel in an event: use BTreeMap or Vec",
            ));
        }
    }
    Ok(())
}
