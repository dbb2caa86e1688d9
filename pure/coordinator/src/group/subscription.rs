//! The topics in a consumer's subscription (protocol type `consumer`): the part that all versions begin with.
//!
//! The bytes are a client's: a length is believed only as far as bytes remain.

use bytes::Bytes;
use types::Text;
use types::codec::{DecodeError, Reader};

pub(super) const PROTOCOL_TYPE: &str = "consumer";

/// The subscribed topics, in buffers of their own.
pub(super) fn topics(subscription: &Bytes) -> Result<Vec<Text>, DecodeError> {
    let mut reader = Reader::new(subscription.clone());
    let version = reader.i16()?;
    if version < 0 {
        return Err(DecodeError::UnknownVersion { version });
    }
    let count = reader.array(false)?;
    (0..count).map(|_| Ok(reader.text(false)?.detached())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_topics_of_any_version_and_refuses_garbage() {
        let any_version = b"\0\x03\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff later fields";
        assert_eq!(topics(&Bytes::from_static(any_version)), Ok(vec!["a".into(), "bc".into()]));
        assert!(topics(&Bytes::from_static(b"\0\0\x7f\xff\xff\xff")).is_err());
        assert!(topics(&Bytes::from_static(b"\xff\xff\0\0\0\0")).is_err());
        assert!(topics(&Bytes::new()).is_err());
    }
}
