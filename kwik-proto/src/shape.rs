//! Whether a message of the control plane is what its schema says, and if not, in which field and how far in.
//!
//! The generated decoder takes such a message or does not, and names no position. So its bytes are walked first.

use crate::error::DecodeError;
use crate::reader::{Extent, Form, LENGTH_DELIMITED, Reader, Stop, Tag};

/// A message of the schema.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
}

/// A field of the schema.
pub(crate) struct Field {
    pub(crate) number: u32,
    /// `Message.field`.
    pub(crate) name: &'static str,
    pub(crate) wire_type: u8,
    pub(crate) holds: Holds,
}

/// What is in a field.
pub(crate) enum Holds {
    /// A number, or bytes.
    Plain,
    /// UTF-8.
    Text,
    /// Numbers, one after the other in one field or each in a field of its own.
    Numbers,
    Message(&'static Shape),
}

/// Walks a whole message whose first byte stands at `at`. Values are not judged.
pub(crate) fn check(shape: &Shape, body: &[u8], at: u64) -> Result<(), Stop> {
    let mut reader = Reader::new(body, at, Extent::Whole, Form::Any);
    while !reader.is_empty() {
        let tag = reader.tag(shape.name)?;
        match shape.fields.iter().find(|field| field.number == tag.number) {
            Some(field) => check_field(field, tag, &mut reader)?,
            None => reader.skip(tag, shape.name)?,
        }
    }
    Ok(())
}

fn check_field(field: &Field, tag: Tag, reader: &mut Reader<'_>) -> Result<(), Stop> {
    let packed = matches!(field.holds, Holds::Numbers) && tag.wire_type == LENGTH_DELIMITED;
    if !packed {
        tag.expect(field.wire_type, field.name)?;
    }
    if tag.wire_type != LENGTH_DELIMITED {
        return reader.skip(tag, field.name);
    }
    let content = reader.delimited(field.name)?;
    let at = reader.at() - content.len() as u64;
    match field.holds {
        Holds::Plain => Ok(()),
        Holds::Text => check_text(field.name, content, at),
        Holds::Numbers => check_numbers(field.name, content, at),
        Holds::Message(shape) => check(shape, content, at),
    }
}

fn check_text(field: &'static str, content: &[u8], at: u64) -> Result<(), Stop> {
    match std::str::from_utf8(content) {
        Ok(_) => Ok(()),
        Err(error) => {
            let at = at + error.valid_up_to() as u64;
            Err(DecodeError::NotText { field, at }.into())
        }
    }
}

fn check_numbers(field: &'static str, content: &[u8], at: u64) -> Result<(), Stop> {
    let mut reader = Reader::new(content, at, Extent::Whole, Form::Any);
    while !reader.is_empty() {
        reader.varint(field)?;
    }
    Ok(())
}
