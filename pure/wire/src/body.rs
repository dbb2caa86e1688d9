//! What can stand behind a header: every request and every response, as one enum each. Must never know a frame.

use crate::generated::*;
use crate::{ApiKey, generated::for_each_key};
use types::codec::{DecodeError, Reader, Writer};

/// A request or a response that can be written behind its header.
pub trait Body {
    fn key(&self) -> ApiKey;
    /// How many bytes `encode` writes into the buffer: record batches that are elsewhere do not count.
    fn size(&self, version: i16) -> usize;
    /// A field that the version does not have is left out; a null that it does not allow is written as empty.
    fn encode(&self, w: &mut Writer, version: i16);
}

/// A request by its type, which names the type of its response.
pub trait Call: Body + Sized {
    const KEY: ApiKey;
    type Response: Body;
    fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError>;
    fn decode_response(r: &mut Reader, version: i16) -> Result<Self::Response, DecodeError>;
}

macro_rules! body {
    ($key:ident $name:ident) => {
        impl Body for $name {
            fn key(&self) -> ApiKey {
                ApiKey::$key
            }
            fn size(&self, version: i16) -> usize {
                $name::size(self, version)
            }
            fn encode(&self, w: &mut Writer, version: i16) {
                $name::encode(self, w, version);
            }
        }
    };
}

macro_rules! one_of {
    ($(#[$doc:meta])* $all:ident: $($key:ident $name:ident),*) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $all { $($key($name)),* }

        impl $all {
            pub fn decode(key: ApiKey, r: &mut Reader, version: i16) -> Result<$all, DecodeError> {
                Ok(match key {
                    $(ApiKey::$key => $all::$key($name::decode(r, version)?),)*
                })
            }

            fn body(&self) -> &dyn Body {
                match self {
                    $($all::$key(body) => body,)*
                }
            }
        }

        impl Body for $all {
            fn key(&self) -> ApiKey {
                self.body().key()
            }
            fn size(&self, version: i16) -> usize {
                self.body().size(version)
            }
            fn encode(&self, w: &mut Writer, version: i16) {
                self.body().encode(w, version);
            }
        }

        $(impl From<$name> for $all {
            fn from(body: $name) -> $all {
                $all::$key(body)
            }
        })*
    };
}

macro_rules! bodies {
    ($($key:ident $request:ident $response:ident = $($fact:expr),*;)*) => {
        $(body!($key $request);
        body!($key $response);
        impl Call for $request {
            const KEY: ApiKey = ApiKey::$key;
            type Response = $response;
            fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError> {
                $request::decode(r, version)
            }
            fn decode_response(r: &mut Reader, version: i16) -> Result<$response, DecodeError> {
                $response::decode(r, version)
            }
        })*
        one_of!(
            /// Any request.
            Request: $($key $request),*
        );
        one_of!(
            /// Any response.
            Response: $($key $response),*
        );
    };
}

for_each_key!(bodies);
