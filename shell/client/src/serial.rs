//! Keys and values of types as bytes, and back. Functions of this form do, so that a schema registry's needs no more.

use crate::consumer::Consumer;
use crate::error::Error;
use crate::producer::{Producer, Sending};
use bytes::Bytes;
use client::{ConsumedRecord, Offset, ProducerRecord, Spot, Uuid};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// Makes the bytes of a key or value for a topic; none is a null. What has to be fetched for that, as a schema, is to be
/// at hand before.
pub trait Serializer<T: ?Sized>: Fn(&str, &T) -> Result<Option<Bytes>, Error> + Send + Sync {}
impl<T: ?Sized, F: Fn(&str, &T) -> Result<Option<Bytes>, Error> + Send + Sync> Serializer<T> for F {}

/// Makes a key or value of a topic's bytes; none is a null.
pub trait Deserializer<T>: Fn(&str, Option<&Bytes>) -> Result<T, Error> + Send + Sync {}
impl<T, F: Fn(&str, Option<&Bytes>) -> Result<T, Error> + Send + Sync> Deserializer<T> for F {}

fn bad(topic: &str, why: impl Display) -> Error {
    Error::Serialization(format!("topic `{topic}`: {why}"))
}

/// Bytes as they are, as Kafka's `ByteArraySerializer` leaves them.
pub fn bytes(_topic: &str, data: &Bytes) -> Result<Option<Bytes>, Error> {
    Ok(Some(data.clone()))
}

pub fn read_bytes(_topic: &str, data: Option<&Bytes>) -> Result<Option<Bytes>, Error> {
    Ok(data.cloned())
}

/// Text, as Kafka's `StringSerializer` writes it.
pub fn text<T: AsRef<str> + ?Sized>(_topic: &str, data: &T) -> Result<Option<Bytes>, Error> {
    Ok(Some(Bytes::copy_from_slice(data.as_ref().as_bytes())))
}

pub fn read_text(topic: &str, data: Option<&Bytes>) -> Result<Option<String>, Error> {
    data.map(|bytes| String::from_utf8(bytes.to_vec()).map_err(|error| bad(topic, error))).transpose()
}

/// JSON of whatever serde knows.
pub fn json<T: Serialize>(topic: &str, data: &T) -> Result<Option<Bytes>, Error> {
    Ok(Some(serde_json::to_vec(data).map_err(|error| bad(topic, error))?.into()))
}

/// A null is JSON's `null`.
pub fn read_json<T: DeserializeOwned>(topic: &str, data: Option<&Bytes>) -> Result<T, Error> {
    serde_json::from_slice(data.map_or(&b"null"[..], |bytes| bytes)).map_err(|error| bad(topic, error))
}

/// A UUID as text of 36 characters, as Kafka's `UUIDSerializer` writes it.
pub fn uuid(_topic: &str, data: &Uuid) -> Result<Option<Bytes>, Error> {
    let digits = format!("{:032x}", u128::from_be_bytes(data.0));
    Ok(Some([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-").into()))
}

pub fn read_uuid(topic: &str, data: Option<&Bytes>) -> Result<Option<Uuid>, Error> {
    let Some(text) = read_text(topic, data)? else { return Ok(None) };
    let read = u128::from_str_radix(&text.replace('-', ""), 16).ok().map(|number| Uuid(number.to_be_bytes()));
    let is_form = |id: &Uuid| uuid(topic, id).is_ok_and(|form| form == Some(text.to_lowercase().into()));
    read.filter(is_form).map(Some).ok_or_else(|| bad(topic, format!("`{text}` is no UUID")))
}

/// What Kafka's serializers of numbers write: `Short`, `Integer`, `Long`, `Float` and `Double`.
pub trait Number: Sized {
    fn to_bytes(&self) -> Bytes;
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Number for $number {
            fn to_bytes(&self) -> Bytes {
                Bytes::copy_from_slice(&self.to_be_bytes())
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(<$number>::from_be_bytes)
            }
        }
    )*};
}

numbers!(i16, i32, i64, f32, f64);

/// A number, the highest byte first.
pub fn number<N: Number>(_topic: &str, data: &N) -> Result<Option<Bytes>, Error> {
    Ok(Some(data.to_bytes()))
}

pub fn read_number<N: Number>(topic: &str, data: Option<&Bytes>) -> Result<Option<N>, Error> {
    let wrong =
        |bytes: &Bytes| bad(topic, format!("a number of {} bytes is expected, not {}", size_of::<N>(), bytes.len()));
    data.map(|bytes| N::from_bytes(bytes).ok_or_else(|| wrong(bytes))).transpose()
}

/// A producer of keys and values of certain types.
#[derive(Clone)]
pub struct TypedProducer<K, V> {
    pub producer: Producer,
    key: Arc<dyn Serializer<K>>,
    value: Arc<dyn Serializer<V>>,
}

impl<K, V> TypedProducer<K, V> {
    pub fn new(producer: Producer, key: impl Serializer<K> + 'static, value: impl Serializer<V> + 'static) -> Self {
        TypedProducer { producer, key: Arc::new(key), value: Arc::new(value) }
    }

    /// As [`Producer::send`], with this key and value in the record.
    ///
    /// # Errors
    /// [`Error::Serialization`], and those of `Producer::send`.
    pub async fn send(&self, mut record: ProducerRecord, key: Option<&K>, value: Option<&V>) -> Result<Sending, Error> {
        record.key = key.map(|key| (self.key)(&record.topic, key)).transpose()?.flatten();
        record.value = value.map(|value| (self.value)(&record.topic, value)).transpose()?.flatten();
        self.producer.send(record).await
    }
}

/// A record whose key and value have been made of its bytes. `record` has all the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedRecord<K, V> {
    pub spot: Spot,
    pub key: K,
    pub value: V,
    pub record: ConsumedRecord,
}

/// A consumer of keys and values of certain types.
pub struct TypedConsumer<K, V> {
    pub consumer: Consumer,
    key: Box<dyn Deserializer<K>>,
    value: Box<dyn Deserializer<V>>,
}

impl<K, V> TypedConsumer<K, V> {
    pub fn new(consumer: Consumer, key: impl Deserializer<K> + 'static, value: impl Deserializer<V> + 'static) -> Self {
        TypedConsumer { consumer, key: Box::new(key), value: Box::new(value) }
    }

    /// As [`Consumer::poll`].
    ///
    /// # Errors
    /// Those of `Consumer::poll`. [`Error::Serialization`] where the first record that comes cannot be read as these
    /// types; it names its place, and comes again until somebody seeks beyond it. One that follows others comes with the
    /// next poll.
    pub async fn poll(&self, patience: Duration) -> Result<Vec<TypedRecord<K, V>>, Error> {
        let mut typed = Vec::new();
        let mut polled = self.consumer.poll(patience).await?.into_iter();
        let mut problem = None;
        for consumed in polled.by_ref() {
            let Err((offset, error)) = self.read(&consumed.spot, consumed.records, &mut typed) else { continue };
            self.consumer.seek(consumed.spot.clone(), offset).await?;
            problem = Some(error);
            break;
        }
        // What comes after it has not been handed over.
        for rest in polled {
            if let Some(first) = rest.records.first() {
                self.consumer.seek(rest.spot.clone(), first.offset).await?;
            }
        }
        problem.filter(|_| typed.is_empty()).map_or(Ok(typed), Err)
    }

    /// Reads records up to one that cannot be read: its offset, and why.
    fn read(
        &self,
        spot: &Spot,
        records: Vec<ConsumedRecord>,
        typed: &mut Vec<TypedRecord<K, V>>,
    ) -> Result<(), (Offset, Error)> {
        for record in records {
            let failed = |error: Error| (record.offset, bad_at(spot, record.offset, &error));
            let key = (self.key)(&spot.0, record.key.as_ref()).map_err(failed)?;
            let value = (self.value)(&spot.0, record.value.as_ref()).map_err(failed)?;
            typed.push(TypedRecord { spot: spot.clone(), key, value, record });
        }
        Ok(())
    }
}

fn bad_at(spot: &Spot, offset: Offset, error: &Error) -> Error {
    Error::Serialization(format!("partition {}, offset {offset}: {error}; seek beyond it to go on", spot.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_kafka_writes_and_reads_back() {
        let written = |bytes: Result<Option<Bytes>, Error>| bytes.expect("it is right").expect("it is no null");
        assert_eq!(written(number("t", &1_i32))[..], [0, 0, 0, 1]);
        assert_eq!(written(number("t", &1.5_f64))[..], [0x3f, 0xf8, 0, 0, 0, 0, 0, 0]);
        let long = written(number("t", &-2_i64));
        assert_eq!(read_number("t", Some(&long)), Ok(Some(-2_i64)));
        let short = read_number::<i32>("t", Some(&long)).expect_err("it is longer");
        assert_eq!(short.to_string(), "topic `t`: a number of 4 bytes is expected, not 8");
        let id = Uuid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes());
        let form = written(uuid("t", &id));
        assert_eq!(form, "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(read_uuid("t", Some(&form)), Ok(Some(id)));
        for wrong in ["01234567-89ab-cdef-0123+456789abcdef", "+1234567-89ab-cdef-0123-456789abcdef", "", "0-1"] {
            assert!(read_uuid("t", Some(&wrong.into())).is_err(), "{wrong}");
        }
        assert_eq!(read_text("t", Some(&written(text("t", "Praha")))), Ok(Some("Praha".to_owned())));
        assert!(read_text("t", Some(&Bytes::from_static(&[0xff]))).is_err());
        let list = written(json("t", &vec![("a", 1)]));
        assert_eq!(list, r#"[["a",1]]"#);
        assert_eq!(read_json("t", Some(&list)), Ok(vec![("a".to_owned(), 1)]));
        assert_eq!(read_json("t", None), Ok(None::<u8>));
    }
}
