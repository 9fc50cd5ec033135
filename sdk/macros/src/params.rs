//! A method's parameters: the signature is the declaration.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, FnArg, Result, ReturnType, Signature, Type, TypeReference};

use crate::text;

/// What a function takes, in the order of its parameters.
pub struct Params {
    /// The type of what it takes by value.
    pub event: Option<Type>,
    /// The type of its `&mut` parameter.
    pub state: Option<Type>,
    /// The type of its `&` parameter.
    pub config: Option<Type>,
    /// Whether it takes `self` by value.
    pub by_value: bool,
    /// The arguments to call it with, of the names that generated code gives them.
    pub call: Vec<TokenStream>,
    /// What it returns; `()` where it says nothing.
    pub output: TokenStream,
}

impl Params {
    /// Reads a signature. `what` is what it takes by value, for errors.
    pub fn read(sig: &Signature, what: &str) -> Result<Self> {
        if let Some(token) = &sig.asyncness {
            return Err(Error::new_spanned(
                token,
                "an operator is a plain function: it has nothing to wait for, as it sees only its event, state and config",
            ));
        }
        if let Some(param) = sig.generics.type_params().next() {
            return Err(Error::new_spanned(param, "an operator is not generic: its event, state and config stand in the manifest"));
        }
        let output = match &sig.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, ty) => text::with_lifetime(&text::name_references(ty, "static"), "static"),
        };
        let mut params = Params { event: None, state: None, config: None, by_value: false, call: Vec::new(), output };
        for input in &sig.inputs {
            match input {
                FnArg::Receiver(receiver) => params.by_value = receiver.reference.is_none(),
                FnArg::Typed(param) => params.take(&param.ty, what)?,
            }
        }
        Ok(params)
    }

    /// Reads the signature of a method of an impl, whose `self` is the configuration. What it takes by `&` is the broadcast state, where
    /// `shared` says that there is one.
    pub fn read_method(sig: &Signature, what: &str, shared: bool) -> Result<Self> {
        let mut params = Params::read(sig, what)?;
        let Some(taken) = &params.config else { return Ok(params) };
        if !shared {
            return Err(Error::new_spanned(
                taken,
                "`self` is the configuration here: take no other by `&`. A broadcast state is taken by `&` where there is `fn on_broadcast(&self, rule: Rule, rules: &mut Rules)`",
            ));
        }
        for argument in &mut params.call {
            if argument.to_string() == "config" {
                *argument = quote!(broadcast);
            }
        }
        Ok(params)
    }

    fn take(&mut self, ty: &Type, what: &str) -> Result<()> {
        match ty {
            Type::Reference(reference) => self.reference(reference),
            ty if text::last_name(ty).as_deref() == Some("Context") => {
                Err(Error::new_spanned(ty, "take the context by reference: `ctx: &Context`, or `ctx: &mut Context` to set timers"))
            }
            ty => {
                if self.event.is_some() {
                    return Err(Error::new_spanned(
                        ty,
                        format!("it takes one {what} by value; take the state by `&mut`, the configuration by `&`"),
                    ));
                }
                self.event = Some(ty.clone());
                self.call.push(quote!(event));
                Ok(())
            }
        }
    }

    fn reference(&mut self, reference: &TypeReference) -> Result<()> {
        let is_context = text::last_name(&reference.elem).as_deref() == Some("Context");
        let twice = |what| Err(Error::new_spanned(reference, what));
        match (is_context, reference.mutability.is_some()) {
            (true, true) => self.call.push(quote!(ctx)),
            (true, false) => self.call.push(quote!(&*ctx)),
            (false, true) => {
                if self.state.replace((*reference.elem).clone()).is_some() {
                    return twice("an operator has one state: put what it remembers into one #[state] struct and take that by `&mut`");
                }
                self.call.push(quote!(state));
            }
            (false, false) => {
                if matches!(&*reference.elem, Type::Slice(_)) || text::last_name(&reference.elem).as_deref() == Some("str") {
                    return twice("an operator takes an event by value; for the event's bytes take `Raw<'_>`");
                }
                if self.config.replace((*reference.elem).clone()).is_some() {
                    return twice("an operator has one configuration: put it into one #[config] struct and take that by `&`");
                }
                self.call.push(quote!(config));
            }
        }
        Ok(())
    }
}
