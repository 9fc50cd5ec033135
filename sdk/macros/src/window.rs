//! `#[operator(window = "..")]`: an impl with `add` and `close` becomes an aggregate that the library's windows run.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ImplItemFn, ItemImpl, LitStr, Result, Type, parse_quote};

use crate::operator::{Args, method};
use crate::params::Params;
use crate::text;

/// Expands the window form.
pub fn expand(args: &Args, size: &LitStr, block: &ItemImpl) -> Result<TokenStream> {
    let this = &block.self_ty;
    let missing = |what: &str| Error::new_spanned(this, format!("a window needs `{what}`"));
    let add = method(block, "add").ok_or_else(|| missing("fn add(&mut self, event: Sale)"))?;
    let close = method(block, "close").ok_or_else(|| missing("fn close(self, w: Window) -> Minute"))?;
    let (added, closed) = (Params::read(&add.sig, "event")?, Params::read(&close.sig, "Window")?);
    changes_self(add)?;
    let Some(receiver) = close.sig.receiver() else {
        return Err(Error::new_spanned(&close.sig, "take `self`, what the window has gathered: `fn close(self, w: Window) -> Minute`"));
    };
    if receiver.reference.is_some() && receiver.mutability.is_some() {
        return Err(Error::new_spanned(receiver, "closing changes nothing: take `self` or `&self`"));
    }
    if let Some(state) = added.state.as_ref().or(closed.state.as_ref()) {
        return Err(Error::new_spanned(state, "`self` is the state of the window here: take no other by `&mut`"));
    }
    let event = added
        .event
        .as_ref()
        .ok_or_else(|| Error::new_spanned(&add.sig, "`add` takes its event by value: `fn add(&mut self, event: Sale)`"))?;
    let config: Type = added.config.clone().or(closed.config.clone()).unwrap_or(parse_quote!(()));
    let size_ms = duration(size)?;
    if size_ms == 0 {
        return Err(Error::new_spanned(size, "a window has some length: \"10s\", \"5m\", \"1h\""));
    }
    let lateness_ms = args.lateness.as_ref().map_or(Ok(0), duration)?;
    let fixed = text::with_lifetime(event, "static");
    let open = text::with_lifetime(event, "a");
    let (added_output, closed_output) = (&added.output, &closed.output);
    let (add_call, close_call) = (&added.call, &closed.call);
    let (finish, peek) = match closed.by_value {
        true => (quote!(self), quote!(::core::clone::Clone::clone(self))),
        false => (quote!(&self), quote!(self)),
    };
    let schema = quote!(
        "{\"name\":\"", <#this as ::sangam_sdk::window::Aggregate>::NAME,
        "\",\"version\":1,\"fields\":[{\"name\":\"windows\",\"type\":\"array\"}]}"
    );
    let manifest = args.manifest(&fixed, &quote!(<#closed_output as ::sangam_sdk::Emit>::PORTS), &config, Some(&schema));
    let (keyed, processing_time) = (args.keyed, args.processing_time);
    let name = text::last_name(this).unwrap_or_default();
    Ok(quote! {
        #block

        const _: () = ::core::assert!(
            !<#this as ::sangam_sdk::Field<'static>>::CELLS.any(),
            "a window cannot hold a Map or List: use BTreeMap or Vec"
        );

        impl ::sangam_sdk::window::Aggregate for #this {
            type Config = #config;
            type Event<'a> = #open;
            const NAME: &'static str = #name;
            const SIZE: ::sangam_sdk::Millis = #size_ms;
            const LATENESS: ::sangam_sdk::Millis = #lateness_ms;
            #[inline]
            #[allow(unused_variables)]
            fn gather(
                &mut self,
                config: &Self::Config,
                event: Self::Event<'_>,
                ctx: &mut ::sangam_sdk::Context<'_>,
                out: &mut ::sangam_sdk::Emitter<'_>,
            ) -> ::sangam_sdk::Result<()> {
                ::sangam_sdk::window::Added::result(<#this>::add(self, #(#add_call),*))
            }
            #[allow(unused_variables)]
            fn finish(
                self,
                config: &Self::Config,
                event: ::sangam_sdk::Window,
                ctx: &mut ::sangam_sdk::Context<'_>,
                out: &mut ::sangam_sdk::Emitter<'_>,
            ) -> ::sangam_sdk::Result<()> {
                ::sangam_sdk::Emit::emit(<#this>::close(#finish, #(#close_call),*), out)
            }
            #[allow(unused_variables)]
            fn peek(
                &self,
                config: &Self::Config,
                event: ::sangam_sdk::Window,
                ctx: &mut ::sangam_sdk::Context<'_>,
                out: &mut ::sangam_sdk::Emitter<'_>,
            ) -> ::sangam_sdk::Result<()> {
                ::sangam_sdk::Emit::emit(<#this>::close(#peek, #(#close_call),*), out)
            }
        }

        impl ::sangam_sdk::Operator for #this {
            type Config = #config;
            type Event<'a> = #open;
            type State = ::sangam_sdk::window::Windows<#this>;
            const MANIFEST: &'static str = #manifest;
            const KEYED: bool = #keyed;
            const TIMERS: bool = true;
            const PROCESSING_TIME: bool = #processing_time;
            const FALLIBLE: bool = <#added_output as ::sangam_sdk::Emit>::FALLIBLE || <#closed_output as ::sangam_sdk::Emit>::FALLIBLE;
            #[inline]
            fn on_event(
                config: &Self::Config,
                event: Self::Event<'_>,
                state: &mut Self::State,
                ctx: &mut ::sangam_sdk::Context<'_>,
                out: &mut ::sangam_sdk::Emitter<'_>,
            ) -> ::sangam_sdk::Result<()> {
                ::sangam_sdk::window::on_event::<#this>(config, event, state, ctx, out)
            }
            fn on_timer(
                config: &Self::Config,
                timer: ::sangam_sdk::Timer<'_>,
                state: &mut Self::State,
                ctx: &mut ::sangam_sdk::Context<'_>,
                out: &mut ::sangam_sdk::Emitter<'_>,
            ) -> ::sangam_sdk::Result<()> {
                ::sangam_sdk::window::on_timer::<#this>(config, timer, state, ctx, out)
            }
        }

        ::sangam_sdk::__export!(#this);
    })
}

fn changes_self(add: &ImplItemFn) -> Result<()> {
    match add.sig.receiver() {
        Some(receiver) if receiver.reference.is_some() && receiver.mutability.is_some() => Ok(()),
        _ => Err(Error::new_spanned(&add.sig, "`add` puts the event into the window: take `&mut self`")),
    }
}

/// A duration in milliseconds.
fn duration(text: &LitStr) -> Result<i64> {
    let wrong = || Error::new_spanned(text, "a duration is a number and a unit: \"500ms\", \"10s\", \"5m\", \"1h\", \"1d\"");
    let value = text.value();
    let (number, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len()));
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let unit = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}
