//! Where a path leads in a tool's `inputSchema` (JSON Schema), as far as the schema says.
//!
//! Knows the keywords that tool schemas are written with. Whatever else it meets counts as "anything", so
//! that a warning is only given for what the schema certainly excludes, with one deliberate exception: a
//! member that `properties` does not list is taken for absent, although JSON Schema would let it pass.

use super::super::path::Step;
use serde_json::{Map, Value};

/// Schemas that are looked at for one path: references may lead in circles.
const MAX_SCHEMAS: usize = 10_000;
/// How deep schemas are followed into each other.
const MAX_DEPTH: usize = 64;

/// A set of JSON types, without null: a rule takes null for absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const STRING: Self = Self(1);
    pub(super) const NUMBER: Self = Self(2);
    pub(super) const BOOLEAN: Self = Self(4);
    pub(super) const ARRAY: Self = Self(8);
    pub(super) const OBJECT: Self = Self(16);
    const NAMES: [(&'static str, Self); 5] = [
        ("string", Self::STRING),
        ("number", Self::NUMBER),
        ("boolean", Self::BOOLEAN),
        ("array", Self::ARRAY),
        ("object", Self::OBJECT),
    ];

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn named(name: &str) -> Self {
        let name = if name == "integer" { "number" } else { name };
        Self::NAMES.iter().find(|(other, _)| *other == name).map_or(Self(0), |(_, types)| *types)
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self(0),
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(_) => Self::NUMBER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }
}

impl std::fmt::Display for Types {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = Self::NAMES.iter().filter(|(_, types)| self.meets(*types)).map(|(name, _)| *name);
        f.write_str(&names.collect::<Vec<_>>().join(" or "))
    }
}

/// What a schema says of the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Silent,
    /// There is no such place.
    Absent,
    /// There may be anything.
    Anything,
    /// It is one of these.
    Typed(Types),
}

impl Found {
    /// Both must hold: the more exact one tells.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Typed(types), _) | (_, Self::Typed(types)) => Self::Typed(types),
            (Self::Anything, _) | (_, Self::Anything) => Self::Anything,
            (Self::Absent, _) | (_, Self::Absent) => Self::Absent,
            (Self::Silent, Self::Silent) => Self::Silent,
        }
    }

    /// One must hold.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Typed(one), Self::Typed(other)) => Self::Typed(one.or(other)),
            (Self::Typed(types), Self::Absent) | (Self::Absent, Self::Typed(types)) => Self::Typed(types),
            (Self::Absent, Self::Absent) => Self::Absent,
            (Self::Silent, Self::Silent | Self::Absent) | (Self::Absent, Self::Silent) => Self::Silent,
            (Self::Anything, _) | (_, Self::Anything) | (Self::Silent, _) | (_, Self::Silent) => Self::Anything,
        }
    }
}

/// What `schema` says of the place that `steps` lead to.
pub(super) fn find(schema: &Value, steps: &[Step]) -> Found {
    Search { root: schema, left: MAX_SCHEMAS }.find(schema, steps, 0)
}

struct Search<'s> {
    root: &'s Value,
    left: usize,
}

impl<'s> Search<'s> {
    fn find(&mut self, schema: &'s Value, steps: &[Step], depth: usize) -> Found {
        let Value::Object(schema) = schema else {
            // `true` allows anything; `false` nothing.
            return if *schema == Value::Bool(false) { Found::Absent } else { Found::Anything };
        };
        if self.left == 0 || depth > MAX_DEPTH {
            return Found::Anything;
        }
        self.left -= 1;
        let mut found = match steps.split_first() {
            None => own_types(schema),
            Some((step, rest)) => self.step(schema, step, rest, depth),
        };
        if let Some(reference) = schema.get("$ref").or_else(|| schema.get("$dynamicRef")) {
            let target = reference.as_str().and_then(|text| text.strip_prefix('#'));
            found = match target.and_then(|pointer| self.root.pointer(pointer)) {
                Some(target) => found.and(self.find(target, steps, depth + 1)),
                None => found.and(Found::Anything),
            };
        }
        for all in list(schema, "allOf") {
            found = found.and(self.find(all, steps, depth + 1));
        }
        for word in ["anyOf", "oneOf"] {
            let any = list(schema, word).map(|one| self.find(one, steps, depth + 1)).reduce(Found::or);
            found = found.and(any.unwrap_or(Found::Silent));
        }
        found
    }

    fn step(&mut self, schema: &'s Map<String, Value>, step: &Step, rest: &[Step], depth: usize) -> Found {
        let needed = match step {
            Step::Member(_) => Types::OBJECT,
            Step::Index(_) | Step::Every => Types::ARRAY,
        };
        if matches!(own_types(schema), Found::Typed(types) if !types.meets(needed)) {
            return Found::Absent;
        }
        let next = match step {
            Step::Member(name) => {
                let properties = schema.get("properties").and_then(Value::as_object);
                match (properties.and_then(|properties| properties.get(name)), schema.get("additionalProperties")) {
                    (Some(schema), _) => schema,
                    _ if schema.contains_key("patternProperties") => return Found::Anything,
                    (None, Some(Value::Bool(false))) => return Found::Absent,
                    (None, Some(others)) => others,
                    (None, None) if properties.is_some() => return Found::Absent,
                    (None, None) => return Found::Silent,
                }
            }
            Step::Index(_) | Step::Every => match schema.get("items") {
                Some(items @ (Value::Object(_) | Value::Bool(_))) if !schema.contains_key("prefixItems") => items,
                None if !schema.contains_key("prefixItems") => return Found::Silent,
                _ => return Found::Anything,
            },
        };
        self.find(next, rest, depth + 1)
    }
}

fn list<'s>(schema: &'s Map<String, Value>, name: &str) -> impl Iterator<Item = &'s Value> + use<'s> {
    schema.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// What the schema itself says of the value's type.
fn own_types(schema: &Map<String, Value>) -> Found {
    let union = |types: &mut dyn Iterator<Item = Types>| Found::Typed(types.fold(Types(0), Types::or));
    match (schema.get("type"), schema.get("enum"), schema.get("const")) {
        (Some(Value::String(name)), ..) => Found::Typed(Types::named(name)),
        (Some(Value::Array(names)), ..) => union(&mut names.iter().filter_map(Value::as_str).map(Types::named)),
        (None, Some(Value::Array(values)), _) => union(&mut values.iter().map(Types::of)),
        (None, None, Some(value)) => Found::Typed(Types::of(value)),
        _ => Found::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::path::Path;
    use super::*;

    #[test]
    fn paths_end_where_the_schema_says() {
        let schema = serde_json::json!({
            "type": "object",
            "properties": {
                "amount": { "type": ["integer", "null"] },
                "unit": { "enum": ["a", 1] },
                "fixed": { "const": true },
                "free": {},
                "bag": { "type": "object" },
                "map": { "type": "object", "additionalProperties": { "type": "number" } },
                "closed": { "type": "object", "additionalProperties": false },
                "names": { "type": "object", "properties": {}, "patternProperties": { "^x": {} } },
                "items": { "type": "array", "items": { "$ref": "#/$defs/item" } },
                "pair": { "type": "array", "prefixItems": [{}], "items": { "type": "string" } },
                "either": { "anyOf": [{ "type": "string" }, { "$ref": "#/$defs/item" }] },
                "both": { "properties": { "a": { "type": "string" } }, "allOf": [{ "required": ["a"] },
                    { "properties": { "b": { "type": "number" } } }] },
                "far": { "$ref": "https://example.com/schema" }
            },
            "anyOf": [{ "required": ["amount"] }, { "required": ["unit"] }],
            "$defs": { "item": { "type": "object", "properties": {
                "x": { "type": "string" }, "next": { "$ref": "#/$defs/item" } } },
                "loop": { "anyOf": [{ "$ref": "#/$defs/loop" }, { "$ref": "#/$defs/loop" }] } }
        });
        for (path, expected) in [
            ("args.amount", Found::Typed(Types::NUMBER)),
            ("args.Amount", Found::Absent),
            ("args.amount.x", Found::Absent),
            ("args.amount[*]", Found::Absent),
            ("args.unit", Found::Typed(Types::STRING.or(Types::NUMBER))),
            ("args.fixed", Found::Typed(Types::BOOLEAN)),
            ("args.free", Found::Silent),
            ("args.free.x", Found::Silent),
            ("args.bag.x", Found::Silent),
            ("args.map.x", Found::Typed(Types::NUMBER)),
            ("args.closed.x", Found::Absent),
            ("args.names.x", Found::Anything),
            ("args.items[*].x", Found::Typed(Types::STRING)),
            ("args.items[0].next.next.x", Found::Typed(Types::STRING)),
            ("args.items.x", Found::Absent),
            ("args.items[*].y", Found::Absent),
            ("args.pair[0]", Found::Anything),
            ("args.either", Found::Typed(Types::STRING.or(Types::OBJECT))),
            ("args.either.x", Found::Typed(Types::STRING)),
            ("args.either.z", Found::Absent),
            ("args.both.a", Found::Typed(Types::STRING)),
            ("args.both.b", Found::Typed(Types::NUMBER)),
            ("args.both.c", Found::Absent),
            ("args.far", Found::Anything),
        ] {
            let Ok(Path::Args(steps)) = Path::parse(path) else { panic!("{path}") };
            assert_eq!(find(&schema, &steps), expected, "{path}");
        }
        let circle = serde_json::json!({ "$ref": "#/$defs/loop", "$defs": schema["$defs"] });
        assert_eq!(find(&circle, &[]), Found::Anything);
    }
}
