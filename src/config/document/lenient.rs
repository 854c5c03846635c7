//! Values of a text in which a key may stand twice: the last one counts, as with PyYAML.
//!
//! Numbers are known by their values alone here, not as they are written.

use std::cell::RefCell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde_yaml::{Mapping, Value};

use super::{Spot, key_text};

/// The values of a text, and which keys stand in it twice.
pub(super) fn values(text: &str) -> Result<(Value, Vec<Spot>), serde_yaml::Error> {
    let twice = RefCell::default();
    let lenient = Lenient { spot: Spot::default(), twice: &twice };
    let root = lenient.deserialize(serde_yaml::Deserializer::from_str(text))?;
    Ok((root, twice.into_inner()))
}

/// Reads a value.
struct Lenient<'n> {
    spot: Spot,
    twice: &'n RefCell<Vec<Spot>>,
}

impl<'de> DeserializeSeed<'de> for Lenient<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Lenient<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut pairs = Mapping::new();
        while let Some(key) = map.next_key::<Value>()? {
            let spot = self.spot.key(&key_text(&key).unwrap_or_default());
            let value = map.next_value_seed(Lenient { spot: spot.clone(), twice: self.twice })?;
            if pairs.insert(key, value).is_some() {
                self.twice.borrow_mut().push(spot);
            }
        }
        Ok(Value::Mapping(pairs))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let item = Lenient { spot: self.spot.index(items.len()), twice: self.twice };
            match seq.next_element_seed(item)? {
                Some(item) => items.push(item),
                None => return Ok(Value::Sequence(items)),
            }
        }
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Value, A::Error> {
        let (_, content) = tagged.variant::<IgnoredAny>()?;
        content.newtype_variant_seed(self)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_keys_the_last_counts() {
        let (root, twice) = values("a: {b: 1, b: !t 2}\nc: [x, {d: true, d: ~}]\n").expect("it is YAML");
        assert_eq!(root, serde_yaml::from_str::<Value>("{a: {b: 2}, c: [x, {d: null}]}").expect("it is YAML"));
        let spot = Spot::default();
        assert_eq!(twice, [spot.key("a").key("b"), spot.key("c").index(1).key("d")]);
    }
}
