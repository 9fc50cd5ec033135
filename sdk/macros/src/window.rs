//! `#[operator(window = "..")]`: an impl with `add` and `close` becomes an aggregate that the library's windows run.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Expr, ExprLit, FnArg, ImplItemFn, ItemImpl, Lit, LitStr, Result, ReturnType, Type, parse_quote};

use crate::operator::{Args, Windowing, library_calls, method};
use crate::params::Params;
use crate::text;

/// What `window = ..` may be.
const KINDS: &str = "write window = \"1m\", hopping(\"1h\", \"5m\"), sliding(\"10s\"), session(\"30m\"), cumulate(\"1d\", \"1h\"), count(100, 10), \
                     batch(\"3s\", 1000), global, given, or configured";

/// Expands the window form.
pub fn expand(args: &Args, window: &Expr, block: &ItemImpl) -> Result<TokenStream> {
    let this = &block.self_ty;
    let missing = |what: &str| Error::new_spanned(this, format!("a window needs `{what}`"));
    let add = method(block, "add").ok_or_else(|| missing("fn add(&mut self, event: Sale)"))?;
    let close = method(block, "close").ok_or_else(|| missing("fn close(self, w: Window) -> Minute"))?;
    let (added, closed) = (Params::read(&add.sig, "event")?, Params::read(&close.sig, "Window")?);
    changes_self(add, "add")?;
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
    let merge = method(block, "merge").map(|merge| changes_self(merge, "merge").and(Params::read(&merge.sig, "aggregate"))).transpose()?;
    let merged_config = merge.as_ref().and_then(|merge| merge.config.clone());
    let config: Type = added.config.clone().or(closed.config.clone()).or(merged_config).unwrap_or(parse_quote!(()));
    let declared = declare(args, window, block)?;
    if declared.merges && merge.is_none() {
        return Err(Error::new_spanned(
            this,
            "windows of this kind overlap or join: add `fn merge(&mut self, later: Self)`, which takes in what a later part has gathered",
        ));
    }
    let (spec, any_kind, slices) = (&declared.spec, declared.configured, declared.slices);
    let merges = merge.is_some();
    let merge = merge.map(|merge| {
        let call = merge.call;
        quote!(<#this>::merge(self, #(#call),*))
    });
    let gap = declared.gap;
    let bounds = bounds(block)?;
    let early = method(block, "early").map(|early| early_of(early, this, &closed.output)).transpose()?;
    let is_row = text::last_name(event).as_deref() == Some("Row");
    let fields = match (method(block, "fields"), is_row) {
        (Some(_), true) => quote! {
            const DYNAMIC: bool = true;
            fn fields(config: &Self::Config) -> ::std::vec::Vec<::sangam_sdk::FieldPath> {
                <#this>::fields(config)
            }
        },
        (None, true) => return Err(missing("fn fields(config: &Settings) -> Vec<FieldPath>` for its `Row")),
        (Some(fields), false) => {
            return Err(Error::new_spanned(&fields.sig, "`fields` names the fields of a `Row`: take `row: Row<'_>` in add"));
        }
        (None, false) => TokenStream::new(),
    };
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
        "\",\"version\":2,\"fields\":[{\"name\":\"windows\",\"type\":\"array\"}]}"
    );
    let manifest = args.manifest(&fixed, None, &quote!(<#closed_output as ::sangam_sdk::Emit>::PORTS), &config, Some(&schema));
    let check_keys = args.check_keys(&fixed);
    let (keyed, processing_time) = (args.keyed, args.processing_time);
    let name = text::last_name(this).unwrap_or_default();
    let check = declared
        .check
        .map(|spec| quote!(static WINDOWS: ::sangam_sdk::window::WindowSpec = ::sangam_sdk::window::declared(#spec, #merges);));
    let calls = library_calls(this, &quote!(::sangam_sdk::window));
    Ok(quote! {
        #block

        #check_keys

        const _: () = ::core::assert!(
            !<#this as ::sangam_sdk::Field<'static>>::CELLS.any(),
            "a window cannot hold a Map or List: use BTreeMap or Vec"
        );

        impl ::sangam_sdk::window::Aggregate for #this {
            type Config = #config;
            type Event<'a> = #open;
            const NAME: &'static str = #name;
            const ANY_KIND: bool = #any_kind;
            const FALLIBLE: bool = <#added_output as ::sangam_sdk::window::Added>::FALLIBLE;
            const UNTOUCHED: bool = <#added_output as ::sangam_sdk::window::Added>::UNTOUCHED;
            const SLICES: bool = #slices;
            #[inline]
            #[allow(unused_variables)]
            fn spec(config: &Self::Config) -> ::sangam_sdk::Result<&::sangam_sdk::window::WindowSpec> {
                #check
                #spec
            }
            #gap
            #bounds
            #early
            #[allow(unused_variables)]
            fn merge(&mut self, config: &Self::Config, event: Self) {
                #merge
            }
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
            #fields
            // What `add` refuses, the windows take back themselves.
            const FALLIBLE: bool = <#closed_output as ::sangam_sdk::Emit>::FALLIBLE;
            #calls
        }

        ::sangam_sdk::__export!(#this);
    })
}

/// A definition of windows, as tokens.
struct Declared {
    /// The body of `Aggregate::spec`.
    spec: TokenStream,
    /// A constant to be checked while the operator is compiled.
    check: Option<TokenStream>,
    gap: Option<TokenStream>,
    configured: bool,
    merges: bool,
    /// Whether its windows may share slices, the older of which stand in a cell.
    slices: bool,
}

fn declare(args: &Args, window: &Expr, block: &ItemImpl) -> Result<Declared> {
    let gap = method(block, "gap").map(|gap| gap_of(gap, block)).transpose()?;
    let (name, numbers) = kind(window)?;
    if name == "configured" {
        let Some(_) = method(block, "window") else {
            return Err(Error::new_spanned(window, "a configured window is told by `fn window(config: &Settings) -> &WindowSpec`"));
        };
        let this = &block.self_ty;
        return Ok(Declared {
            spec: quote!(::core::result::Result::Ok(<#this>::window(config))),
            check: None,
            gap,
            configured: true,
            merges: true,
            slices: true,
        });
    }
    let numbers = match (name.as_str(), gap.is_some(), numbers.is_empty()) {
        ("session", true, true) => vec![quote!(1)],
        ("session", false, true) => {
            return Err(Error::new_spanned(
                window,
                "how long is the gap? session(\"30m\"), or `fn gap(event: &Click) -> Millis` for one that depends on the event",
            ));
        }
        ("session", true, false) => return Err(Error::new_spanned(window, "`fn gap` says how long the gap is: write `window = session`")),
        (_, true, _) => return Err(Error::new_spanned(window, "`fn gap` belongs to a session: write `window = session`")),
        _ => numbers,
    };
    let constructor = syn::Ident::new(&name, proc_macro2::Span::call_site());
    let Windowing { lateness, offset, zone, .. } = &args.windowing;
    let lateness = lateness.as_ref().map_or(Ok(0), duration)?;
    let offset = offset.as_ref().map_or(Ok(0), signed)?;
    let trigger = trigger(&args.windowing)?;
    let clock = args.processing_time.then(|| quote!(.processing_time()));
    let spec = quote!(
        ::sangam_sdk::window::WindowSpec::#constructor(#(#numbers),*).offset(#offset).lateness(#lateness).trigger(#trigger) #clock
    );
    let check = Some(spec.clone());
    let spec = match zone {
        None => quote!(::core::result::Result::Ok(&WINDOWS)),
        Some(zone) => quote! {
            static SPEC: ::std::sync::OnceLock<::core::result::Result<::sangam_sdk::window::WindowSpec, ::std::string::String>> =
                ::std::sync::OnceLock::new();
            let spec = SPEC.get_or_init(|| #spec.zone(#zone));
            spec.as_ref().map_err(|why| ::sangam_sdk::Error::Fault(::core::clone::Clone::clone(why)))
        },
    };
    if name == "given" && method(block, "bounds").is_none() {
        return Err(Error::new_spanned(window, "which window does an event name? `fn bounds(event: &Total) -> Window`"));
    }
    let merges = !matches!(name.as_str(), "tumbling" | "batch" | "global" | "given");
    let slices = matches!(name.as_str(), "hopping" | "cumulate");
    Ok(Declared { spec, check, gap, configured: false, merges, slices })
}

/// The name of a kind and the numbers that it takes.
fn kind(window: &Expr) -> Result<(String, Vec<TokenStream>)> {
    let wrong = || Error::new_spanned(window, KINDS);
    match window {
        Expr::Lit(ExprLit { lit: Lit::Str(size), .. }) => {
            let size = length(size)?;
            Ok(("tumbling".into(), vec![quote!(#size)]))
        }
        Expr::Path(path) => {
            let name = path.path.get_ident().map(ToString::to_string).ok_or_else(wrong)?;
            if ["session", "global", "given", "configured"].contains(&name.as_str()) { Ok((name, Vec::new())) } else { Err(wrong()) }
        }
        Expr::Call(call) => {
            let Expr::Path(path) = &*call.func else { return Err(wrong()) };
            let name = path.path.get_ident().map(ToString::to_string).ok_or_else(wrong)?;
            let wanted = match name.as_str() {
                "tumbling" | "sliding" | "session" => 1,
                "hopping" | "cumulate" | "count" | "batch" => 2,
                _ => return Err(wrong()),
            };
            if call.args.len() != wanted {
                return Err(wrong());
            }
            // Of a count window both are numbers of events, of a batch the second.
            let counts = |place: usize| name == "count" || (name == "batch" && place == 1);
            let numbers = call.args.iter().enumerate().map(|(place, number)| match number {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if !counts(place) => length(text).map(|ms| quote!(#ms)),
                Expr::Lit(ExprLit { lit: Lit::Int(int), .. }) if counts(place) => int.base10_parse::<u64>().map(|int| quote!(#int)),
                other => Err(Error::new_spanned(other, KINDS)),
            });
            Ok((name.clone(), numbers.collect::<Result<_>>()?))
        }
        _ => Err(wrong()),
    }
}

fn trigger(windowing: &Windowing) -> Result<TokenStream> {
    const MODES: &str = "emit = \"on_close\", \"on_update\", or count(4) for every four events";
    let mut trigger = match &windowing.emit {
        None => quote!(on_close()),
        Some(Expr::Lit(ExprLit { lit: Lit::Str(mode), .. })) if mode.value() == "on_close" => quote!(on_close()),
        Some(Expr::Lit(ExprLit { lit: Lit::Str(mode), .. })) if mode.value() == "on_update" => quote!(on_update()),
        Some(Expr::Call(call)) => match (&*call.func, call.args.first()) {
            (Expr::Path(path), Some(Expr::Lit(ExprLit { lit: Lit::Int(events), .. }))) if path.path.is_ident("count") => {
                let events: u64 = events.base10_parse()?;
                if events == 0 {
                    return Err(Error::new_spanned(call, MODES));
                }
                quote!(on_count(#events))
            }
            _ => return Err(Error::new_spanned(call, MODES)),
        },
        Some(other) => return Err(Error::new_spanned(other, MODES)),
    };
    if let Some(early) = &windowing.early {
        let early = length(early)?;
        trigger = quote!(#trigger.early(#early));
    }
    if windowing.purging.is_some() {
        trigger = quote!(#trigger.purging());
    }
    Ok(quote!(::sangam_sdk::window::Trigger::#trigger))
}

fn gap_of(gap: &ImplItemFn, block: &ItemImpl) -> Result<TokenStream> {
    let config = sees_event(gap, "`gap` sees the event, and the configuration if it likes: `fn gap(event: &Click) -> Millis`")?;
    let this = &block.self_ty;
    Ok(quote! {
        #[allow(unused_variables)]
        fn gap(config: &Self::Config, event: &Self::Event<'_>) -> ::core::option::Option<::sangam_sdk::Millis> {
            ::core::option::Option::Some(<#this>::gap(event #config))
        }
    })
}

/// What tells the window that an event names.
fn bounds(block: &ItemImpl) -> Result<Option<TokenStream>> {
    let Some(bounds) = method(block, "bounds") else { return Ok(None) };
    let config = sees_event(bounds, "`bounds` sees the event, and the configuration if it likes: `fn bounds(event: &Total) -> Window`")?;
    let this = &block.self_ty;
    // A plain window is a result that never fails.
    let fallible = matches!(&bounds.sig.output, ReturnType::Type(_, ty) if text::last_name(ty).as_deref() == Some("Result"));
    let call = quote!(<#this>::bounds(event #config));
    let call = if fallible { call } else { quote!(::core::result::Result::Ok(#call)) };
    Ok(Some(quote! {
        #[allow(unused_variables)]
        fn bounds(config: &Self::Config, event: &Self::Event<'_>) -> ::sangam_sdk::Result<::sangam_sdk::Window> {
            #call
        }
    }))
}

/// What a window emits that is still open.
fn early_of(early: &ImplItemFn, this: &Type, closed: &TokenStream) -> Result<TokenStream> {
    let params = Params::read(&early.sig, "Window")?;
    if early.sig.receiver().is_none_or(|receiver| receiver.reference.is_none()) {
        return Err(Error::new_spanned(&early.sig, "the window goes on: take `&self`, or `&mut self` to note what it has told"));
    }
    let (call, output) = (&params.call, &params.output);
    Ok(quote! {
        #[allow(unused_variables)]
        fn early(
            &mut self,
            config: &Self::Config,
            event: ::sangam_sdk::Window,
            ctx: &mut ::sangam_sdk::Context<'_>,
            out: &mut ::sangam_sdk::Emitter<'_>,
        ) -> ::sangam_sdk::Result<()> {
            const {
                ::core::assert!(
                    ::sangam_sdk::manifest::same_ports(<#closed as ::sangam_sdk::Emit>::PORTS, <#output as ::sangam_sdk::Emit>::PORTS),
                    "early and close must leave by the same ports: let both return the same #[outputs] enum, or one of them ()"
                )
            };
            ::sangam_sdk::Emit::emit(<#this>::early(self, #(#call),*), out)
        }
    })
}

/// The configuration behind the event, for a method that takes both by `&`.
fn sees_event(method: &ImplItemFn, wrong: &str) -> Result<TokenStream> {
    let wrong = || Error::new_spanned(&method.sig, wrong);
    if method.sig.inputs.iter().any(|input| !matches!(input, FnArg::Typed(param) if matches!(&*param.ty, Type::Reference(_)))) {
        return Err(wrong());
    }
    match method.sig.inputs.len() {
        1 => Ok(quote!()),
        2 => Ok(quote!(, config)),
        _ => Err(wrong()),
    }
}

fn changes_self(method: &ImplItemFn, name: &str) -> Result<()> {
    match method.sig.receiver() {
        Some(receiver) if receiver.reference.is_some() && receiver.mutability.is_some() => Ok(()),
        _ => Err(Error::new_spanned(&method.sig, format!("`{name}` puts what it is given into the window: take `&mut self`"))),
    }
}

/// A duration in milliseconds.
pub fn duration(text: &LitStr) -> Result<i64> {
    sangam_protocol::duration::parse(&text.value()).ok_or_else(|| {
        Error::new_spanned(text, "a duration is whole numbers with their units: \"500ms\", \"10s\", \"5m\", \"1h30m\", \"1d\"")
    })
}

/// A duration that is more than nothing.
fn length(text: &LitStr) -> Result<i64> {
    match duration(text)? {
        0 => Err(Error::new_spanned(text, "a window has some length: \"10s\", \"5m\", \"1h\"")),
        length => Ok(length),
    }
}

/// A duration with a sign.
fn signed(text: &LitStr) -> Result<i64> {
    match text.value().strip_prefix('-') {
        Some(rest) => duration(&LitStr::new(rest, text.span())).map(|length| -length),
        None => duration(text),
    }
}
