//! `#[operator(pattern)]`: an impl with `pattern` and `on_match` becomes an operator that the library's patterns run.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, GenericArgument, ImplItemFn, ItemImpl, PathArguments, Result, ReturnType, Type};

use crate::operator::{Args, library_calls, method, needs_self};
use crate::params::Params;
use crate::text;

/// Expands the pattern form.
pub fn expand(args: &Args, block: &ItemImpl) -> Result<TokenStream> {
    let this = &block.self_ty;
    let missing = |what: &str| Error::new_spanned(this, format!("a pattern needs `{what}`"));
    if let Some(on_event) = method(block, "on_event") {
        return Err(Error::new_spanned(
            &on_event.sig.ident,
            "with `pattern` the library takes the events; to do more with them leave `pattern` out and call Pattern::process yourself",
        ));
    }
    let pattern = method(block, "pattern").ok_or_else(|| missing("fn pattern(&self) -> Pattern<Payment>"))?;
    needs_self(pattern)?;
    let event = event_of(pattern)?;
    let on_match = method(block, "on_match").ok_or_else(|| missing("fn on_match(&self, m: Match<Payment>) -> Alert"))?;
    let matched = found(on_match)?;
    let timed_out = method(block, "on_timeout").map(found).transpose()?;
    let wants = timed_out.is_some();
    let (output, call) = (&matched.output, &matched.call);
    let mut ports = quote!(<#output as ::sangam_sdk::Emit>::PORTS);
    let mut agree = TokenStream::new();
    let mut on_timeout = quote!(Ok(()));
    if let Some(Params { output: late, call, .. }) = &timed_out {
        agree = quote! {
            const _: () = ::core::assert!(
                ::sangam_sdk::manifest::same_ports(<#output as ::sangam_sdk::Emit>::PORTS, <#late as ::sangam_sdk::Emit>::PORTS),
                "on_match and on_timeout leave by different ports: return the same event type, or the same #[outputs] enum, from both"
            );
        };
        ports = quote!(::sangam_sdk::manifest::ports(#ports, <#late as ::sangam_sdk::Emit>::PORTS));
        on_timeout = quote!(::sangam_sdk::Emit::emit(<#this>::on_timeout(self, #(#call),*), out));
    }
    let config: Type = (**this).clone();
    let schema = quote!(<::sangam_sdk::pattern::Matches<#event> as ::sangam_sdk::State>::SCHEMA);
    let manifest = args.manifest(&quote!(#event), None, &ports, &config, Some(&schema));
    let check_keys = args.check_keys(&quote!(#event));
    let keyed = args.keyed;
    let calls = library_calls(this, &quote!(::sangam_sdk::pattern::detect));
    Ok(quote! {
        #block

        #check_keys
        #agree

        impl ::sangam_sdk::pattern::Detect for #this {
            type Event = #event;
            const TIMED_OUT: bool = #wants;
            fn look_for(&self) -> ::sangam_sdk::pattern::Pattern<Self::Event> {
                <#this>::pattern(self)
            }
            #[allow(unused_variables)]
            fn matched(
                &self,
                event: ::sangam_sdk::pattern::Match<Self::Event>,
                ctx: &mut ::sangam_sdk::Context<'_>,
                out: &mut ::sangam_sdk::Emitter<'_>,
            ) -> ::sangam_sdk::Result<()> {
                ::sangam_sdk::Emit::emit(<#this>::on_match(self, #(#call),*), out)
            }
            #[allow(unused_variables)]
            fn timed_out(
                &self,
                event: ::sangam_sdk::pattern::Match<Self::Event>,
                ctx: &mut ::sangam_sdk::Context<'_>,
                out: &mut ::sangam_sdk::Emitter<'_>,
            ) -> ::sangam_sdk::Result<()> {
                #on_timeout
            }
        }

        impl ::sangam_sdk::Operator for #this {
            type Config = ::sangam_sdk::pattern::Detector<#this>;
            type Event<'a> = #event;
            type State = ::sangam_sdk::pattern::Matches<#event>;
            const MANIFEST: &'static str = #manifest;
            const KEYED: bool = #keyed;
            const TIMERS: bool = true;
            // An event that is refused is refused before anything has changed.
            const FALLIBLE: bool = false;
            #calls
        }

        ::sangam_sdk::__export!(#this);
    })
}

/// Reads `on_match` or `on_timeout`.
fn found(method: &ImplItemFn) -> Result<Params> {
    needs_self(method)?;
    let params = Params::read(&method.sig, "match")?;
    if let Some(config) = &params.config {
        return Err(Error::new_spanned(config, "`self` is the configuration here: take no other by `&`"));
    }
    if let Some(state) = &params.state {
        return Err(Error::new_spanned(
            state,
            "the open matches are the state here; to remember more leave `pattern` out and put a `Matches<..>` into a #[state] struct",
        ));
    }
    match &params.event {
        Some(_) => Ok(params),
        None => Err(Error::new_spanned(&method.sig, "take the match by value: `m: Match<Payment>`")),
    }
}

/// The event of `fn pattern(&self) -> Pattern<Payment>`.
fn event_of(pattern: &ImplItemFn) -> Result<Type> {
    if let ReturnType::Type(_, ty) = &pattern.sig.output
        && let Type::Path(path) = &**ty
        && let Some(last) = path.path.segments.last()
        && last.ident == "Pattern"
        && let PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(GenericArgument::Type(event)) = arguments.args.first()
    {
        if text::last_name(event).as_deref() == Some("Row") || text::last_name(event).as_deref() == Some("Raw") {
            return Err(Error::new_spanned(
                event,
                "a pattern keeps its events, and this one borrows from the batch: use an #[event] struct, or leave `pattern` out and keep a `Value`",
            ));
        }
        return Ok(event.clone());
    }
    Err(Error::new_spanned(&pattern.sig, "`pattern` says what it looks for: `fn pattern(&self) -> Pattern<Payment>`"))
}
