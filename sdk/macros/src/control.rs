//! `on_broadcast`: the method of an impl that takes the events of broadcast inputs.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ImplItemFn, Result, Type};

use crate::operator::{Args, needs_self};
use crate::params::Params;
use crate::text;

/// What `on_broadcast` declares.
pub struct Control {
    /// What it takes.
    pub event: Type,
    /// What it keeps.
    state: Type,
    output: TokenStream,
    call: Vec<TokenStream>,
}

impl Control {
    /// Reads the method.
    pub fn read(args: &Args, method: &ImplItemFn) -> Result<Self> {
        needs_self(method)?;
        if !args.keyed {
            return Err(Error::new_spanned(
                &method.sig,
                "a broadcast state stands beside that of keys: name the key, #[operator(key = \"field\")], or #[operator(keyed)]",
            ));
        }
        let params = Params::read(&method.sig, "event")?;
        if let Some(config) = &params.config {
            return Err(Error::new_spanned(config, "on_broadcast changes the broadcast state: take it by `&mut`"));
        }
        let form = "write `fn on_broadcast(&self, rule: Rule, rules: &mut Rules)`";
        let Some(event) = params.event else {
            return Err(Error::new_spanned(&method.sig, format!("on_broadcast takes its event by value: {form}")));
        };
        let Some(state) = params.state else {
            return Err(Error::new_spanned(&method.sig, format!("on_broadcast keeps what it takes in a #[state] struct: {form}")));
        };
        if text::last_name(&event).as_deref() == Some("Row") {
            return Err(Error::new_spanned(event, "on_broadcast takes an #[event], an #[inputs] enum of them, or `Raw<'_>` for the bytes"));
        }
        Ok(Control { event, state, output: params.output, call: params.call })
    }

    /// The types that it gives the operator.
    pub fn types(&self) -> TokenStream {
        let (event, state) = (text::with_lifetime(&self.event, "a"), &self.state);
        quote!(type Control<'a> = #event; type Broadcast = #state;)
    }

    /// What the types must be, and the macro cannot see.
    pub fn checks(&self) -> TokenStream {
        let Control { state, output, .. } = self;
        quote! {
            const _: () = ::core::assert!(
                ::sangam_sdk::manifest::emits_nothing(<#output as ::sangam_sdk::Emit>::PORTS),
                "on_broadcast happens in every task, so it emits nothing: return () or Result<()>"
            );
            const _: () = ::core::assert!(
                !<#state as ::sangam_sdk::State>::HANDLES && <#state as ::sangam_sdk::State>::TTL.is_none(),
                "a broadcast state is kept whole and for ever: without Map, List and ttl"
            );
        }
    }

    /// The operator's `on_broadcast`.
    pub fn method(&self) -> TokenStream {
        let Control { output, call, .. } = self;
        quote! {
            const BROADCAST: bool = true;
            const BROADCAST_FALLIBLE: bool = <#output as ::sangam_sdk::Emit>::FALLIBLE;
            #[allow(unused_variables)]
            fn on_broadcast(
                config: &Self::Config,
                event: Self::Control<'_>,
                state: &mut Self::Broadcast,
                ctx: &mut ::sangam_sdk::Context<'_>,
                out: &mut ::sangam_sdk::Emitter<'_>,
            ) -> ::sangam_sdk::Result<()> {
                ::sangam_sdk::Emit::emit(config.on_broadcast(#(#call),*), out)
            }
        }
    }
}
