//! [`contract!`](crate::contract!).

/// Makes a contract out of functions:
///
/// ```
/// proto::contract! {
///     /// Remembers one number.
///     pub mod memory, "memory", at most 64 bytes {
///         /// The number.
///         fn load() -> u64, idempotent;
///         /// Remembers another number; gives the old one.
///         fn swap(value: u64) -> u64;
///     }
/// }
///
/// struct Zero;
/// impl memory::Server for Zero {
///     async fn load(&self, _: proto::contract::Caller) -> u64 { 0 }
///     async fn swap(&self, _: proto::contract::Caller, _: u64) -> u64 { 0 }
/// }
/// ```
///
/// Arguments and results are owned types with serde's `Serialize` and `Deserialize`; arguments have a `Default`, from which
/// `dictionary` makes examples. The module holds `Server` (the trait), `AtOnce` (the part of it that needs no waiting, if there is
/// any), `Serve` (the [`Dispatch`](crate::contract::Dispatch) of the one and [`DispatchAtOnce`](crate::contract::DispatchAtOnce) of the other),
/// `Client`, `METHODS`, `NAME`, `MAX_BYTES` and `dictionary`.
#[macro_export]
macro_rules! contract {
    (
        $(#[doc = $doc:literal])*
        $visibility:vis mod $module:ident, $name:literal, at most $max:literal bytes {
            $(
                $(#[doc = $method_doc:literal])*
                fn $method:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty $(, $mark:ident)?;
            )+
        }
    ) => {
        $(#[doc = $doc])*
        $visibility mod $module {
            #[allow(unused_imports)]
            use super::*;
            use $crate::contract::{
                CallError, Caller, Dispatch, DispatchAtOnce, Method, Status, Transport, decode, encode,
                exchange,
            };

            /// The contract's name.
            pub const NAME: &str = $name;
            /// Longest message in bytes.
            pub const MAX_BYTES: usize = $max;
            /// The methods, in order of their numbers.
            pub const METHODS: &[Method] = &[$(Method {
                name: stringify!($method),
                idempotent: $crate::contract!(@idempotent $($mark)?),
            },)+];

            #[allow(non_camel_case_types, clippy::enum_variant_names)]
            #[repr(u8)]
            enum Number {
                $($method,)+
            }

            /// What a server does. Each method is told who calls.
            pub trait Server: Send + Sync {
                $(
                    $(#[doc = $method_doc])*
                    fn $method(
                        &self,
                        caller: Caller,
                        $($argument: $type,)*
                    ) -> impl ::core::future::Future<Output = $result> + Send;
                )+
            }

            /// What a server answers without waiting, for as long as a poll at most: `None` is "not now", and the
            /// method of [`Server`] is asked then, so nothing was done. What has no answer here is never answered so.
            #[allow(unused_variables)]
            pub trait AtOnce: Server {
                $(
                    $(#[doc = $method_doc])*
                    #[inline]
                    fn $method(&self, caller: Caller, $($argument: $type,)*) -> Option<$result> {
                        None
                    }
                )+
            }

            /// Answers requests with a [`Server`].
            #[derive(Clone, Copy, Debug)]
            pub struct Serve<S>(pub S);

            impl<S: Server> Dispatch for Serve<S> {
                const NAME: &'static str = NAME;
                const MAX_BYTES: usize = MAX_BYTES;
                const METHODS: &'static [Method] = METHODS;

                async fn dispatch(&self, caller: Caller, request: &[u8], answer: &mut [u8]) -> usize {
                    let status = match request.split_first() {
                        $(
                            Some((&number, arguments)) if number == Number::$method as u8 => {
                                match decode::<($($type,)*)>(arguments) {
                                    Some(($($argument,)*)) => {
                                        let result = self.0.$method(caller, $($argument,)*).await;
                                        match encode(Status::Done as u8, &result, answer) {
                                            Some(answer) => return answer.len(),
                                            None => Status::TooLong,
                                        }
                                    }
                                    None => Status::Malformed,
                                }
                            }
                        )+
                        Some(_) => Status::UnknownMethod,
                        None => Status::Malformed,
                    };
                    encode(status as u8, &(), answer).map_or(0, <[u8]>::len)
                }
            }

            impl<S: AtOnce> DispatchAtOnce for Serve<S> {
                #[inline(always)]
                fn dispatch_at_once(
                    &self,
                    caller: Caller,
                    request: &[u8],
                    answer: &mut [u8],
                ) -> Option<usize> {
                    let (&number, arguments) = request.split_first()?;
                    $(
                        if number == Number::$method as u8 {
                            let ($($argument,)*) = decode::<($($type,)*)>(arguments)?;
                            let result = AtOnce::$method(&self.0, caller, $($argument,)*)?;
                            return match encode(Status::Done as u8, &result, answer) {
                                Some(answer) => Some(answer.len()),
                                // It is done, and so not asked again.
                                None => encode(Status::TooLong as u8, &(), answer).map(<[u8]>::len),
                            };
                        }
                    )+
                    None
                }
            }

            /// Calls a server through a [`Transport`].
            #[derive(Clone, Copy, Debug)]
            pub struct Client<T>(pub T);

            impl<T: Transport> Client<T> {
                $(
                    $(#[doc = $method_doc])*
                    ///
                    /// # Errors
                    /// See [`CallError`].
                    pub async fn $method(&self, $($argument: $type,)*) -> Result<$result, CallError> {
                        let (mut request, mut answer) = ([0; MAX_BYTES], [0; MAX_BYTES]);
                        let number = Number::$method as u8;
                        let request = encode(number, &($(&$argument,)*), &mut request).ok_or(CallError::TooLong)?;
                        let method = METHODS.get(usize::from(number)).copied().ok_or(CallError::Malformed)?;
                        let result = exchange(&self.0, method, request, &mut answer).await?;
                        decode(result).ok_or(CallError::Malformed)
                    }
                )+
            }

            /// Calls `visit` with a request for each method, for fuzzing to begin with.
            pub fn dictionary(mut visit: impl FnMut(&[u8])) {
                let mut request = [0; MAX_BYTES];
                $(
                    let arguments: ($($type,)*) = Default::default();
                    if let Some(request) = encode(Number::$method as u8, &arguments, &mut request) {
                        visit(request);
                    }
                )+
            }
        }
    };
    (@idempotent) => { false };
    (@idempotent idempotent) => { true };
}
