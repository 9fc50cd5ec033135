//! `#[operator]`: a function or an `impl` becomes an `Operator`; what was written stays callable.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, ImplItem, ImplItemFn, Item, ItemFn, ItemImpl, LitStr, Result, Type, parse_quote};

use crate::control::Control;
use crate::inputs;
use crate::params::Params;
use crate::text;

/// What stands in the parentheses of `#[operator(..)]`.
pub struct Args {
    pub key: Vec<String>,
    /// Key per input, where they differ.
    pub keys: Vec<(Ident, Vec<String>)>,
    pub keyed: bool,
    pub window: Option<Expr>,
    pub windowing: Windowing,
    pub processing_time: bool,
    /// Where it says `pattern`.
    pub pattern: Option<Span>,
}

/// What says more about a window.
#[derive(Default)]
pub struct Windowing {
    pub lateness: Option<LitStr>,
    pub offset: Option<LitStr>,
    pub zone: Option<LitStr>,
    pub emit: Option<Expr>,
    pub early: Option<LitStr>,
    pub purging: Option<Span>,
}

impl Windowing {
    /// Where the first of it stands.
    fn first(&self) -> Option<Span> {
        let texts = [&self.lateness, &self.offset, &self.zone, &self.early];
        let text = texts.into_iter().flatten().map(LitStr::span).next();
        text.or(self.emit.as_ref().map(Spanned::span)).or(self.purging)
    }
}

/// Expands `#[operator]`.
pub fn expand(args: TokenStream, item: Item) -> Result<TokenStream> {
    let args = Args::read(args)?;
    match item {
        Item::Fn(function) => on_fn(&args, &function),
        Item::Impl(block) => {
            if let Some((_, path, _)) = &block.trait_ {
                return Err(Error::new_spanned(path, "#[operator] goes on `impl Name { .. }`, not on the impl of a trait"));
            }
            match &args.window {
                Some(window) => crate::window::expand(&args, window, &block),
                None if args.pattern.is_some() => crate::pattern::expand(&args, &block),
                None => on_impl(&args, &block),
            }
        }
        other => Err(Error::new_spanned(
            other,
            "#[operator] goes on a function, or on an `impl` block where the operator also has timers: `impl Name { fn on_event(&self, ..) .. }`",
        )),
    }
}

impl Args {
    fn read(tokens: TokenStream) -> Result<Self> {
        let mut args = Args {
            key: Vec::new(),
            keys: Vec::new(),
            keyed: false,
            window: None,
            windowing: Windowing::default(),
            processing_time: false,
            pattern: None,
        };
        let parser = syn::meta::parser(|meta| {
            if meta.path.is_ident("keyed") {
                args.keyed = true;
            } else if meta.path.is_ident("processing_time") {
                args.processing_time = true;
            } else if meta.path.is_ident("key") && meta.input.peek(syn::token::Paren) {
                meta.parse_nested_meta(|input| {
                    let name = input.path.require_ident()?.clone();
                    args.keys.push((name, paths(&input)?));
                    Ok(())
                })?;
                if args.keys.is_empty() {
                    return Err(meta.error("name the key of each input: key(orders = \"user\", payments = \"payer.id\")"));
                }
                args.keyed = true;
            } else if meta.path.is_ident("key") {
                args.key = paths(&meta)?;
                args.keyed = true;
            } else if meta.path.is_ident("window") {
                args.window = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("lateness") {
                args.windowing.lateness = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("offset") {
                args.windowing.offset = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("zone") {
                args.windowing.zone = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("emit") {
                args.windowing.emit = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("early") {
                args.windowing.early = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("purging") {
                args.windowing.purging = Some(Spanned::span(&meta.path));
            } else if meta.path.is_ident("pattern") {
                args.pattern = Some(meta.path.span());
            } else {
                return Err(meta.error(
                    "#[operator] takes `key = \"field\"`, `keyed` (the pipeline names the key), `pattern`, `processing_time` (for `ctx.now()` and timers by the clock) and `window = \"1m\"`; with a window `lateness`, `offset`, `zone`, `emit`, `early` and `purging`",
                ));
            }
            Ok(())
        });
        syn::parse::Parser::parse2(parser, tokens)?;
        if let (Some(span), None) = (args.windowing.first(), &args.window) {
            return Err(Error::new(span, "this belongs to a window: add `window = \"1m\"`"));
        }
        if let (Some(window), false) = (&args.window, args.keyed) {
            return Err(Error::new_spanned(
                window,
                "a window is kept per key: add `key = \"field\"`, or `keyed` where the pipeline names it",
            ));
        }
        match (args.pattern, &args.window) {
            (Some(_), Some(window)) => return Err(Error::new_spanned(window, "an operator is a window or a pattern, not both")),
            (Some(span), None) if !args.keyed => {
                return Err(Error::new(
                    span,
                    "a pattern is looked for among the events of a key: add `key = \"field\"`, or `keyed` where the pipeline names it",
                ));
            }
            _ => {}
        }
        Ok(args)
    }

    /// The keys of single inputs as the manifest lists them, with a comma behind; nothing where all inputs have the same.
    fn keys_json(&self) -> String {
        if self.keys.is_empty() {
            return String::new();
        }
        let keys = self.keys.iter().map(|(name, paths)| {
            let paths: Vec<_> = paths.iter().map(|path| text::json(path)).collect();
            format!("{}:[{}]", text::json(&text::plain(name)), paths.join(","))
        });
        format!("\"keys\":{{{}}},", keys.collect::<Vec<_>>().join(","))
    }

    /// Stops the compiler where a key is named for an input that there is not, or where an input has none.
    pub fn check_keys(&self, event: &TokenStream) -> TokenStream {
        let checks = self.keys.iter().map(|(name, _)| {
            let head = inputs::head(&text::plain(name));
            let message = format!("there is no input `{name}`: `key(..)` names the inputs, which are the variants of the #[inputs] enum");
            quote_spanned! {name.span()=>
                const _: () = ::core::assert!(
                    ::sangam_sdk::manifest::has_input(<#event as ::sangam_sdk::Event<'static>>::INPUT, #head),
                    #message
                );
            }
        });
        quote!(#(#checks)*)
    }

    /// Refuses state without a key.
    fn check_state(&self, state: Option<&Type>) -> Result<()> {
        match state {
            Some(state) if !self.keyed => Err(Error::new_spanned(
                state,
                "state is kept per key, so name the key: #[operator(key = \"field\")], or #[operator(keyed)] where the pipeline names it",
            )),
            _ => Ok(()),
        }
    }

    /// The manifest, as one constant text.
    pub fn manifest(
        &self,
        event: &TokenStream,
        control: Option<&TokenStream>,
        ports: &TokenStream,
        config: &Type,
        state: Option<&TokenStream>,
    ) -> TokenStream {
        let kind = if self.keyed { "keyed" } else { "stateless" };
        let head = format!("\",\"kind\":\"{kind}\",\"inputs\":[");
        let keys: Vec<_> = self.key.iter().map(|key| text::json(key)).collect();
        let key = format!("],\"key\":[{}],{}\"outputs\":", keys.join(","), self.keys_json());
        let state = state.map(|state| quote!(",\"state\":", #state,));
        let clock = if self.processing_time { ",\"processing_time\":true}" } else { "}" };
        // A broadcast event without a name of its own comes by the input `broadcast`.
        let control = control.map(|control| {
            quote! {
                ",", ::sangam_sdk::manifest::either(
                    <#control as ::sangam_sdk::Event<'static>>::BROADCAST,
                    ::sangam_sdk::__join!(
                        "{\"name\":\"broadcast\",\"broadcast\":true",
                        ::sangam_sdk::manifest::unnamed_or_nothing(<#control as ::sangam_sdk::Event<'static>>::INPUT)
                    )
                ),
            }
        });
        quote! {
            ::sangam_sdk::__join!(
                "{\"abi\":1,\"name\":\"", ::core::env!("CARGO_PKG_NAME"), "\",\"version\":\"", ::core::env!("CARGO_PKG_VERSION"),
                #head, <#event as ::sangam_sdk::Event<'static>>::INPUT, #control #key, #ports,
                ",\"config\":", <#config as ::sangam_sdk::Config>::FIELDS, #state #clock
            )
        }
    }
}

/// The paths of `key = "city, category"`.
fn paths(meta: &ParseNestedMeta<'_>) -> Result<Vec<String>> {
    let key: LitStr = meta.value()?.parse()?;
    let paths: Vec<String> = key.value().split(',').map(|part| part.trim().to_owned()).collect();
    if paths.iter().any(String::is_empty) {
        return Err(Error::new_spanned(key, "a key is the path of a field, or several with commas: \"city, category\""));
    }
    Ok(paths)
}

fn on_fn(args: &Args, function: &ItemFn) -> Result<TokenStream> {
    if let Some(window) = &args.window {
        return Err(Error::new_spanned(
            window,
            "a window goes on an impl of its state: `impl Total { fn add(&mut self, event: Sale) {..} fn close(self, w: Window) -> Minute {..} }`",
        ));
    }
    if let Some(span) = args.pattern {
        return Err(Error::new(
            span,
            "a pattern goes on an impl of its configuration: `impl Fraud { fn pattern(&self) -> Pattern<Payment> {..} fn on_match(&self, m: Match<Payment>) -> Alert {..} }`",
        ));
    }
    let params = Params::read(&function.sig, "event")?;
    let Some(event) = &params.event else {
        return Err(Error::new_spanned(
            &function.sig,
            "an operator takes its event by value: `fn name(event: Order, ..)`; for the bytes as they came take `Raw<'_>`",
        ));
    };
    if text::last_name(event).as_deref() == Some("Row") {
        return Err(Error::new_spanned(
            event,
            "an operator over `Row` says which fields it wants: write an impl with `fn fields(&self) -> Vec<FieldPath>` and `fn on_event(&self, row: Row<'_>)`",
        ));
    }
    args.check_state(params.state.as_ref())?;
    let (name, vis, output, call) = (&function.sig.ident, &function.vis, &params.output, &params.call);
    let unit: Type = parse_quote!(());
    let config = params.config.as_ref().unwrap_or(&unit);
    let state = params.state.as_ref().unwrap_or(&unit);
    let fixed = text::with_lifetime(event, "static");
    let open = text::with_lifetime(event, "a");
    let schema = params.state.as_ref().map(|state| quote!(<#state as ::sangam_sdk::State>::SCHEMA));
    let manifest = args.manifest(&fixed, None, &quote!(<#output as ::sangam_sdk::Emit>::PORTS), config, schema.as_ref());
    let (keyed, processing_time) = (args.keyed, args.processing_time);
    let check_keys = args.check_keys(&fixed);
    let doc = format!("The operator that [`{name}()`] is: for `Harness::<{name}>`.");
    Ok(quote! {
        #function

        #check_keys

        #[doc = #doc]
        #[allow(non_camel_case_types, dead_code)]
        #vis struct #name {}

        impl ::sangam_sdk::Operator for #name {
            type Config = #config;
            type Event<'a> = #open;
            type State = #state;
            type Control<'a> = ();
            type Broadcast = ();
            const MANIFEST: &'static str = #manifest;
            const KEYED: bool = #keyed;
            const PROCESSING_TIME: bool = #processing_time;
            const FALLIBLE: bool = <#output as ::sangam_sdk::Emit>::FALLIBLE;
            #[inline]
            #[allow(unused_variables)]
            fn on_event(
                config: &Self::Config,
                event: Self::Event<'_>,
                state: &mut Self::State,
                broadcast: &Self::Broadcast,
                ctx: &mut ::sangam_sdk::Context<'_>,
                out: &mut ::sangam_sdk::Emitter<'_>,
            ) -> ::sangam_sdk::Result<()> {
                ::sangam_sdk::Emit::emit(#name(#(#call),*), out)
            }
        }

        ::sangam_sdk::__export!(#name);
    })
}

/// The method called `name`.
pub fn method<'i>(block: &'i ItemImpl, name: &str) -> Option<&'i ImplItemFn> {
    block.items.iter().find_map(|item| match item {
        ImplItem::Fn(method) if method.sig.ident == name => Some(method),
        _ => None,
    })
}

fn on_impl(args: &Args, block: &ItemImpl) -> Result<TokenStream> {
    let this = &block.self_ty;
    let Some(on_event) = method(block, "on_event") else {
        let hint = if method(block, "add").is_some() && method(block, "close").is_some() {
            "`add` and `close` make a window: say how long, #[operator(key = \"field\", window = \"1m\")]"
        } else if method(block, "pattern").is_some() && method(block, "on_match").is_some() {
            "`pattern` and `on_match` make a pattern: say so, #[operator(key = \"field\", pattern)]"
        } else {
            "an operator needs `fn on_event(&self, event: Order, ..)`"
        };
        return Err(Error::new_spanned(this, hint));
    };
    let control = method(block, "on_broadcast").map(|method| Control::read(args, method)).transpose()?;
    let shared = control.is_some();
    let params = Params::read_method(&on_event.sig, "event", shared)?;
    let event = params
        .event
        .as_ref()
        .ok_or_else(|| Error::new_spanned(&on_event.sig, "on_event takes its event by value: `fn on_event(&self, event: Order, ..)`"))?;
    needs_self(on_event)?;
    let timer =
        method(block, "on_timer").map(|method| needs_self(method).and(Params::read_method(&method.sig, "Timer", shared))).transpose()?;
    if timer.is_some() && !args.keyed {
        return Err(Error::new_spanned(this, "timers are kept per key: name it, #[operator(key = \"field\")], or #[operator(keyed)]"));
    }
    let batch_end = method(block, "on_batch_end")
        .map(|method| needs_self(method).and(Params::read_method(&method.sig, "value", shared)))
        .transpose()?;
    if let Some(end) = &batch_end {
        if let Some(event) = &end.event {
            return Err(Error::new_spanned(event, "on_batch_end has no event: take the state by `&mut`, and `ctx: &mut Context`"));
        }
        if !args.keyed {
            return Err(Error::new_spanned(
                this,
                "on_batch_end is called for each key of the batch, with what is remembered for it: name the key, #[operator(key = \"field\")], or #[operator(keyed)]",
            ));
        }
    }
    let of = |params: &Option<Params>| params.as_ref().and_then(|params| params.state.clone());
    let state = params.state.clone().or_else(|| of(&timer)).or_else(|| of(&batch_end));
    args.check_state(state.as_ref())?;
    let schema = state.as_ref().map(|state| quote!(<#state as ::sangam_sdk::State>::SCHEMA));
    let state = state.unwrap_or(parse_quote!(()));
    let is_row = text::last_name(event).as_deref() == Some("Row");
    let fields = match (method(block, "fields"), is_row) {
        (Some(_), true) => quote! {
            const DYNAMIC: bool = true;
            fn fields(config: &Self::Config) -> ::std::vec::Vec<::sangam_sdk::FieldPath> {
                config.fields()
            }
        },
        (None, true) => {
            return Err(Error::new_spanned(
                event,
                "an operator over `Row` says which fields it wants: add `fn fields(&self) -> Vec<FieldPath>`",
            ));
        }
        (Some(fields), false) => {
            return Err(Error::new_spanned(
                &fields.sig,
                "`fields` names the fields of a `Row`: take `row: Row<'_>` in on_event, or remove `fields` and declare them in an #[event]",
            ));
        }
        (None, false) => TokenStream::new(),
    };
    let (output, call) = (&params.output, &params.call);
    let fixed = text::with_lifetime(event, "static");
    let open = text::with_lifetime(event, "a");
    let mut ports = quote!(<#output as ::sangam_sdk::Emit>::PORTS);
    let mut agree = TokenStream::new();
    let on_timer = timer.map(|timer| {
        let (emitted, call) = (&timer.output, &timer.call);
        agree = quote! {
            const _: () = ::core::assert!(
                ::sangam_sdk::manifest::same_ports(<#output as ::sangam_sdk::Emit>::PORTS, <#emitted as ::sangam_sdk::Emit>::PORTS),
                "on_event and on_timer leave by different ports: return the same event type, or the same #[outputs] enum, from both"
            );
        };
        ports = quote!(::sangam_sdk::manifest::ports(#ports, <#emitted as ::sangam_sdk::Emit>::PORTS));
        quote! {
            const TIMERS: bool = true;
            #[allow(unused_variables)]
            fn on_timer(
                config: &Self::Config,
                event: ::sangam_sdk::Timer<'_>,
                state: &mut Self::State,
                broadcast: &Self::Broadcast,
                ctx: &mut ::sangam_sdk::Context<'_>,
                out: &mut ::sangam_sdk::Emitter<'_>,
            ) -> ::sangam_sdk::Result<()> {
                ::sangam_sdk::Emit::emit(config.on_timer(#(#call),*), out)
            }
        }
    });
    let on_batch_end = batch_end.map(|end| {
        let (emitted, call) = (&end.output, &end.call);
        agree = quote! {
            #agree
            const _: () = ::core::assert!(
                ::sangam_sdk::manifest::same_ports(#ports, <#emitted as ::sangam_sdk::Emit>::PORTS),
                "on_batch_end leaves by other ports than on_event: return the same event type, or the same #[outputs] enum, from both"
            );
        };
        ports = quote!(::sangam_sdk::manifest::ports(#ports, <#emitted as ::sangam_sdk::Emit>::PORTS));
        quote! {
            const BATCH_END: bool = true;
            #[allow(unused_variables)]
            fn on_batch_end(
                config: &Self::Config,
                state: &mut Self::State,
                broadcast: &Self::Broadcast,
                ctx: &mut ::sangam_sdk::Context<'_>,
                out: &mut ::sangam_sdk::Emitter<'_>,
            ) -> ::sangam_sdk::Result<()> {
                ::sangam_sdk::Emit::emit(config.on_batch_end(#(#call),*), out)
            }
        }
    });
    let control_event = control.as_ref().map(|control| text::with_lifetime(&control.event, "static"));
    let manifest = args.manifest(&fixed, control_event.as_ref(), &ports, this, schema.as_ref());
    let (control_types, on_broadcast) = match &control {
        Some(control) => (control.types(), control.method()),
        None => (
            quote!(
                type Control<'a> = ();
                type Broadcast = ();
            ),
            TokenStream::new(),
        ),
    };
    let check_keys = args.check_keys(&fixed);
    let check_control = control.as_ref().map(Control::checks);
    let (keyed, processing_time) = (args.keyed, args.processing_time);
    Ok(quote! {
        #block

        #agree
        #check_keys
        #check_control

        impl ::sangam_sdk::Operator for #this {
            type Config = #this;
            type Event<'a> = #open;
            type State = #state;
            #control_types
            const MANIFEST: &'static str = #manifest;
            const KEYED: bool = #keyed;
            const PROCESSING_TIME: bool = #processing_time;
            const FALLIBLE: bool = <#output as ::sangam_sdk::Emit>::FALLIBLE;
            #[inline]
            #[allow(unused_variables)]
            fn on_event(
                config: &Self::Config,
                event: Self::Event<'_>,
                state: &mut Self::State,
                broadcast: &Self::Broadcast,
                ctx: &mut ::sangam_sdk::Context<'_>,
                out: &mut ::sangam_sdk::Emitter<'_>,
            ) -> ::sangam_sdk::Result<()> {
                ::sangam_sdk::Emit::emit(config.on_event(#(#call),*), out)
            }
            #on_timer
            #on_broadcast
            #on_batch_end
            #fields
        }

        ::sangam_sdk::__export!(#this);
    })
}

pub fn needs_self(method: &ImplItemFn) -> Result<()> {
    match method.sig.receiver() {
        Some(receiver) if receiver.reference.is_some() && receiver.mutability.is_none() => Ok(()),
        Some(receiver) => Err(Error::new_spanned(
            receiver,
            "`&self` is the configuration and does not change; what changes per key is the state, taken by `&mut`",
        )),
        None => Err(Error::new_spanned(&method.sig, "take `&self`, the operator's configuration")),
    }
}

/// What an operator's impl has in common with others that a library of the SDK runs: it has no broadcast inputs, and its events and timers
/// go to `on_event` and `on_timer` of `library`.
pub fn library_calls(this: &Type, library: &TokenStream) -> TokenStream {
    quote! {
        type Control<'a> = ();
        type Broadcast = ();
        #[inline]
        fn on_event(
            config: &Self::Config,
            event: Self::Event<'_>,
            state: &mut Self::State,
            _broadcast: &Self::Broadcast,
            ctx: &mut ::sangam_sdk::Context<'_>,
            out: &mut ::sangam_sdk::Emitter<'_>,
        ) -> ::sangam_sdk::Result<()> {
            #library::on_event::<#this>(config, event, state, ctx, out)
        }
        fn on_timer(
            config: &Self::Config,
            timer: ::sangam_sdk::Timer<'_>,
            state: &mut Self::State,
            _broadcast: &Self::Broadcast,
            ctx: &mut ::sangam_sdk::Context<'_>,
            out: &mut ::sangam_sdk::Emitter<'_>,
        ) -> ::sangam_sdk::Result<()> {
            #library::on_timer::<#this>(config, timer, state, ctx, out)
        }
    }
}
