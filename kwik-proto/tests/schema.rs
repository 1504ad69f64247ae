//! The schema documents itself: every message, field and value, with unit, range, who sends it and when.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const FILES: [&str; 4] = [
    "kwik/v1/types.proto",
    "kwik/v1/control.proto",
    "kwik/v1/data.proto",
    "kwik/files/v1/files.proto",
];

/// Words in the names of fields that have a unit.
const WITH_UNIT: [&str; 10] =
    ["offset", "size", "length", "bytes", "start", "end", "window", "shift", "_ms", "_us"];

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Number,
    /// Text or bytes.
    Sized,
    Other,
}

struct Field {
    name: String,
    comment: String,
    shape: Shape,
    repeated: bool,
    in_oneof: bool,
    /// Full name of the message or enum that the field holds.
    of: String,
}

struct Enum {
    file: String,
    comment: String,
    /// Names and comments.
    values: Vec<(String, String)>,
}

#[derive(Default)]
struct Schema {
    /// Comment and fields, by `package.Message`.
    messages: BTreeMap<String, (String, Vec<Field>)>,
    /// By `package.Enum`.
    enums: BTreeMap<String, Enum>,
}

/// Numbers of `FieldDescriptorProto.Type` (descriptor.proto).
fn shape(kind: i32) -> Shape {
    match kind {
        3..=7 | 13 | 15..=18 => Shape::Number,
        9 | 12 => Shape::Sized,
        _ => Shape::Other,
    }
}

fn schema() -> Schema {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let mut schema = Schema::default();
    for file in protox::compile(FILES, [root]).unwrap().file {
        let comments: BTreeMap<Vec<i32>, String> = file
            .source_code_info
            .iter()
            .flat_map(|info| &info.location)
            .map(|at| (at.path.clone(), at.leading_comments.clone().unwrap_or_default()))
            .collect();
        let comment = |path: &[i32]| comments.get(path).cloned().unwrap_or_default();
        let full = |name: &str| format!("{}.{name}", file.package());
        for (index, message) in (0..).zip(&file.message_type) {
            assert!(message.nested_type.is_empty() && message.enum_type.is_empty());
            let fields = (0..).zip(&message.field).map(|(place, field)| Field {
                name: field.name().to_owned(),
                comment: comment(&[4, index, 2, place]),
                shape: shape(field.r#type.unwrap()),
                repeated: field.label == Some(3),
                in_oneof: field.oneof_index.is_some() && !field.proto3_optional(),
                of: field.type_name().trim_start_matches('.').to_owned(),
            });
            let entry = (comment(&[4, index]), fields.collect());
            schema.messages.insert(full(message.name()), entry);
        }
        for (index, kind) in (0..).zip(&file.enum_type) {
            let values = (0..).zip(&kind.value);
            let values = values
                .map(|(place, value)| (value.name().to_owned(), comment(&[5, index, 2, place])));
            let (file, comment, values) =
                (file.name().to_owned(), comment(&[5, index]), values.collect());
            let entry = Enum { file, comment, values };
            assert!(schema.enums.insert(full(kind.name()), entry).is_none(), "{}", kind.name());
        }
    }
    schema
}

/// What a comment lacks.
fn lacks(message: &str, field: &Field) -> Vec<String> {
    let name = format!("{message}.{}", field.name);
    let mut lacking = Vec::new();
    let mut want = |holds: bool, what: &str| {
        if !holds {
            lacking.push(format!("{name}: {what}"));
        }
    };
    // The message that a oneof's member holds is documented where it is defined.
    if field.in_oneof && field.shape == Shape::Other {
        return lacking;
    }
    want(!field.comment.trim().is_empty(), "undocumented");
    if field.shape == Shape::Number {
        want(field.comment.contains("Range:"), "no range");
        let with_unit = WITH_UNIT.iter().any(|word| field.name.contains(word));
        want(!with_unit || field.comment.contains("Unit:"), "no unit");
    }
    if field.shape == Shape::Sized {
        want(field.comment.contains("byte") && field.comment.contains(char::is_numeric), "no size");
    }
    want(!field.repeated || field.comment.contains("entries"), "no number of entries");
    lacking
}

#[test]
fn every_field_says_its_unit_and_range() {
    let schema = schema();
    let lacking: Vec<String> = schema
        .messages
        .iter()
        .flat_map(|(name, (_, fields))| fields.iter().flat_map(|field| lacks(name, field)))
        .collect();
    assert!(lacking.is_empty(), "{lacking:#?}");
}

#[test]
fn every_message_says_what_it_is_and_those_that_travel_alone_who_sends_them_and_when() {
    let schema = schema();
    let parts: BTreeSet<&str> = schema
        .messages
        .values()
        .flat_map(|(_, fields)| fields)
        .filter(|field| !field.in_oneof)
        .map(|field| &field.of[..])
        .collect();
    for (name, (comment, _)) in &schema.messages {
        assert!(!comment.trim().is_empty(), "{name} is undocumented");
        let alone = !parts.contains(&name[..]);
        let told = comment.contains("Sender:") && comment.contains("When:");
        assert!(!alone || told, "{name}: who sends it, and when?");
    }
}

#[test]
fn every_enum_is_defined_once_and_every_value_documented() {
    let schema = schema();
    let mut values = BTreeSet::new();
    let mut sets = BTreeSet::new();
    for (name, Enum { file, comment, values: listed }) in &schema.enums {
        assert!(!comment.trim().is_empty(), "{name} is undocumented");
        let shared = file == "kwik/v1/types.proto" || file == "kwik/files/v1/files.proto";
        assert!(shared, "{name} is defined in {file}");
        let plain = name.rsplit('.').next().unwrap();
        assert!(values.insert(plain.to_owned()), "{plain} is defined twice");
        for (value, comment) in listed {
            assert!(!comment.trim().is_empty(), "{value} is undocumented");
        }
        // Under another name it would be the same enum again.
        let prefix = listed[0].0.strip_suffix("UNSPECIFIED").unwrap();
        let stems: Vec<&str> =
            listed.iter().map(|(value, _)| value.strip_prefix(prefix).unwrap()).collect();
        assert!(sets.insert(stems.join(" ")), "{name} has the values of another enum");
    }
}
