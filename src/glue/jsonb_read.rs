//! Reads stored jsonb: what two row states differ in, and the ids of targets. Nothing here that every entry
//! passes is recursive: a value may be nested as deep as the stack allowed where it was made.

use std::cmp::Ordering;
use std::ffi::CStr;
use std::marker::PhantomData;

use audit_log_model::jsonb_object::{self, ContainerWriter, Fault};
use audit_log_model::{valid_text, AuditError};
use pgrx::pg_sys;
use pgrx::pg_sys::{jbvType, JsonbIteratorToken as token};

use super::jsonb::{raw_size, Builder};
use super::memory::Arena;
use super::value::{Value, Varlena};
use super::{jsonb, text, varlena};

/// A part of a jsonb that lives as long as `'a`.
#[derive(Clone, Copy)]
struct Item<'a>(pg_sys::JsonbValue, PhantomData<&'a [u8]>);

/// A key and its value.
type Member<'a> = (&'a [u8], Item<'a>);

/// What a redacted column has instead of its value.
const REDACTED: &[u8] = b"[redacted]";

impl<'a> Item<'a> {
    /// The bytes that are the value; with the type they are the same only if the texts are.
    fn bytes(&self) -> &'a [u8] {
        let value = &self.0;
        // SAFETY: the type says which of the union's members is there.
        unsafe {
            match value.type_ {
                jbvType::jbvString => {
                    std::slice::from_raw_parts(value.val.string.val.cast(), value.val.string.len as usize)
                }
                jbvType::jbvNumeric => Varlena::of(value.val.numeric.cast()).bytes(),
                jbvType::jbvBool if value.val.boolean => b"t",
                jbvType::jbvBinary => {
                    std::slice::from_raw_parts(value.val.binary.data.cast(), value.val.binary.len as usize)
                }
                _ => &[],
            }
        }
    }

    fn same(&self, other: &Item) -> bool {
        self.0.type_ == other.0.type_ && self.bytes() == other.bytes()
    }

    fn string(&self) -> Option<&'a [u8]> {
        (self.0.type_ == jbvType::jbvString).then(|| self.bytes())
    }

    /// The object or array that it is.
    fn container(&self) -> Option<Container<'a>> {
        match self.0.type_ {
            // SAFETY: the type says that it is there.
            jbvType::jbvBinary => Some(Container(unsafe { self.0.val.binary.data }, PhantomData)),
            _ => None,
        }
    }

    fn put(&self, out: &mut ContainerWriter) {
        match self.0.type_ {
            jbvType::jbvString => out.string(self.bytes()),
            jbvType::jbvNumeric => out.numeric(self.bytes()),
            // SAFETY: the type says that it is there.
            jbvType::jbvBool => out.boolean(unsafe { self.0.val.boolean }),
            jbvType::jbvBinary => out.jsonb(self.bytes()),
            _ => out.null(),
        }
    }

    /// As jsonb's output function writes it.
    fn to_text(self, memory: &Arena) -> Result<String, AuditError> {
        let mut array = ContainerWriter::array(1);
        self.put(&mut array);
        let text = jsonb::to_text(finished(array, memory))?;
        Ok(text.get(1..text.len() - 1).unwrap_or_default().to_string())
    }
}

/// What was written, as a value of a memory.
fn finished(writer: ContainerWriter, memory: &Arena) -> Value<'_> {
    varlena::copy_of_bytes(&finished_bytes(writer), memory)
}

/// What was written; PostgreSQL's errors where it cannot be.
fn finished_bytes(writer: ContainerWriter) -> Vec<u8> {
    match writer.finish() {
        Ok(bytes) => bytes,
        Err(fault) => {
            match fault {
                Fault::TooLarge => text::too_large("what is derived from an entry is too large for jsonb"),
                Fault::OutOfMemory => text::out_of_memory(),
            }
            unreachable!("an error does not come back")
        }
    }
}

/// An object or array within a jsonb that lives as long as `'a`.
#[derive(Clone, Copy)]
struct Container<'a>(*mut pg_sys::JsonbContainer, PhantomData<&'a [u8]>);

impl<'a> Container<'a> {
    /// A jsonb's root.
    ///
    /// # Safety
    /// The value is a jsonb.
    unsafe fn root(jsonb: Value<'a>, memory: &'a Arena) -> Self {
        // SAFETY: by contract.
        let root = unsafe { &raw mut (*jsonb.plain(memory).pointer().cast::<pg_sys::Jsonb>()).root };
        Container(root, PhantomData)
    }

    /// An object's members in jsonb's order, or none where it is something else.
    fn members(self, memory: &Arena) -> Vec<Member<'a>> {
        let mut members = Vec::new();
        // SAFETY: the container lives; the iterator goes with its memory.
        memory.run(|| unsafe {
            let mut iterator = pg_sys::JsonbIteratorInit(self.0);
            let mut value = pg_sys::JsonbValue::default();
            let mut key: Option<&'a [u8]> = None;
            if pg_sys::JsonbIteratorNext(&mut iterator, &mut value, false) != token::WJB_BEGIN_OBJECT {
                return;
            }
            loop {
                match (pg_sys::JsonbIteratorNext(&mut iterator, &mut value, true), key) {
                    (token::WJB_KEY, _) => {
                        let text = &value.val.string;
                        key = Some(std::slice::from_raw_parts(text.val.cast(), text.len as usize));
                    }
                    (token::WJB_VALUE, Some(name)) => members.push((name, Item(value, PhantomData))),
                    _ => break,
                }
            }
        });
        members
    }

    /// An array's element.
    fn item(self, i: u32, memory: &Arena) -> Option<Item<'a>> {
        // SAFETY: the container lives, and what is found is part of it.
        memory.run(|| unsafe {
            let value = pg_sys::getIthJsonbValueFromContainer(self.0, i);
            (!value.is_null()).then(|| Item(*value, PhantomData))
        })
    }

    /// An array's element, where it is an object or array.
    fn element(self, i: u32, memory: &Arena) -> Option<Container<'a>> {
        self.item(i, memory)?.container()
    }
}

/// What differs between two row states, `{"column": [old, new]}`; None where nothing does, or where
/// they have together more than `most` bytes.
pub fn changes<'a>(
    before: Option<Value<'a>>,
    after: Option<Value<'a>>,
    most: usize,
    memory: &'a Arena,
) -> Option<Value<'a>> {
    if raw_size(before) + raw_size(after) > most {
        return None;
    }
    // SAFETY: both are jsonb.
    let root = |state| unsafe { Container::root(state, memory) };
    let of = |state: Option<Value<'a>>| state.map_or(Vec::new(), |state| root(state).members(memory));
    let (before, after) = (of(before), of(after));
    let mut changes: Vec<(&[u8], [Option<Item>; 2])> = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < before.len() || j < after.len() {
        let (old, new) = (before.get(i), after.get(j));
        let order = match (old, new) {
            (Some((a, _)), Some((b, _))) => jsonb_object::key_order(a, b),
            (Some(_), None) => Ordering::Less,
            _ => Ordering::Greater,
        };
        let (old, new) = (old.filter(|_| order.is_le()), new.filter(|_| order.is_ge()));
        i += usize::from(old.is_some());
        j += usize::from(new.is_some());
        let Some((key, _)) = old.or(new) else { break };
        let same = matches!((old, new), (Some((_, a)), Some((_, b))) if a.same(b));
        // A redacted column is only there when it changed.
        let redacted = old.is_some_and(|(_, value)| value.string() == Some(REDACTED));
        if !same || redacted {
            changes.push((key, [old, new].map(|side| side.map(|(_, value)| *value))));
        }
    }
    if changes.is_empty() {
        return None;
    }
    let mut object = ContainerWriter::object(changes.iter().map(|(key, _)| *key));
    for (_, sides) in &changes {
        let mut pair = ContainerWriter::array(2);
        for side in sides {
            match side {
                Some(value) => value.put(&mut pair),
                None => pair.null(),
            }
        }
        object.container(pair.finish());
    }
    Some(finished(object, memory))
}

/// The columns of changes, each with its values before and after as JSON text, by their names.
pub fn changed_columns<'a>(
    changes: Value<'a>,
    memory: &'a Arena,
) -> Result<Vec<(String, String, String)>, AuditError> {
    // SAFETY: a jsonb.
    let members = unsafe { Container::root(changes, memory) }.members(memory);
    let columns = members.into_iter().map(|(name, pair)| {
        let side = |i| match pair.container().and_then(|pair| pair.item(i, memory)) {
            Some(value) => value.to_text(memory),
            None => Ok("null".to_string()),
        };
        Ok((valid_text::clean(name).into_owned(), side(0)?, side(1)?))
    });
    let mut columns = columns.collect::<Result<Vec<_>, AuditError>>()?;
    columns.sort_unstable();
    Ok(columns)
}

/// An object, as a varlena of its own, with other values for some of its keys: a jsonb, or null.
pub fn with_values<'a>(
    object: Value<'a>,
    values: &[(&str, Option<Value<'a>>)],
    memory: &'a Arena,
) -> Vec<u8> {
    // SAFETY: a jsonb.
    let members = unsafe { Container::root(object, memory) }.members(memory);
    let mut out = ContainerWriter::object(members.iter().map(|(key, _)| *key));
    for (key, value) in &members {
        match values.iter().find(|(name, _)| name.as_bytes() == *key) {
            None => value.put(&mut out),
            Some((_, None)) => out.null(),
            // SAFETY: a jsonb is a varlena.
            Some((_, Some(value))) => out.jsonb(unsafe { value.plain(memory) }.bytes()),
        }
    }
    finished_bytes(out)
}

/// A list of jsonb values.
pub fn array(values: Vec<Vec<u8>>, memory: &Arena) -> Value<'_> {
    let mut array = ContainerWriter::array(values.len());
    values.into_iter().for_each(|value| array.container(Ok(value)));
    finished(array, memory)
}

/// A jsonb whose strings are not all text, with their bytes shown instead (`valid_text`).
pub fn clean<'a>(jsonb: Value<'a>, memory: &'a Arena) -> Value<'a> {
    let mut builder = Builder::new(memory);
    // SAFETY: a jsonb.
    let root = unsafe { Container::root(jsonb, memory) };
    // SAFETY: the container lives; the iterator is of the memory, as all that is kept for the builder.
    let is_scalar = memory.run(|| unsafe {
        let mut iterator = pg_sys::JsonbIteratorInit(root.0);
        let mut value = pg_sys::JsonbValue::default();
        loop {
            let what = pg_sys::JsonbIteratorNext(&mut iterator, &mut value, false);
            let mut string = Item(value, PhantomData);
            // Only what these come with is a value; else it is left from before.
            let has_value = matches!(what, token::WJB_KEY | token::WJB_VALUE | token::WJB_ELEM);
            if let Some(bytes) = string.string().filter(|_| has_value) {
                let bytes = memory.keep(valid_text::clean(bytes).as_bytes());
                string.0.val.string.val = bytes.as_ptr().cast_mut().cast();
                string.0.val.string.len = bytes.len() as i32;
            }
            match what {
                token::WJB_BEGIN_OBJECT => builder.begin_object(),
                token::WJB_END_OBJECT => builder.end_object(),
                token::WJB_BEGIN_ARRAY => builder.begin_array(),
                token::WJB_END_ARRAY => builder.end_array(),
                token::WJB_KEY => builder.key(string.string().unwrap_or_default()),
                token::WJB_VALUE | token::WJB_ELEM => builder.value(string.0),
                _ => break,
            }
        }
        (*root.0).header & pg_sys::JB_FSCALAR != 0
    });
    let list = builder.finish();
    if !is_scalar {
        return list;
    }
    // SAFETY: what was just made is a jsonb, an array of one; the scalar is made in the memory.
    unsafe {
        let list = Container::root(list, memory);
        memory.run(|| {
            let scalar = pg_sys::getIthJsonbValueFromContainer(list.0, 0);
            Value::of(pg_sys::Datum::from(pg_sys::JsonbValueToJsonb(scalar)))
        })
    }
}

/// One of an entry's targets, while the list is read.
pub struct Target<'a> {
    target: Container<'a>,
    memory: &'a Arena,
}

impl<'a> Target<'a> {
    /// A string by its key.
    pub fn text(&self, key: &CStr) -> Option<&'a [u8]> {
        let mut found = pg_sys::JsonbValue::default();
        let length = key.to_bytes().len() as i32;
        // SAFETY: the container lives; what is found points into it.
        self.memory.run(|| unsafe {
            let value = pg_sys::getKeyJsonValueFromContainer(self.target.0, key.as_ptr(), length, &mut found);
            if value.is_null() {
                return None;
            }
            Item(found, PhantomData).string()
        })
    }
}

/// Whether any of the targets in a stored list is wanted.
pub fn any_target(targets: Value, memory: &Arena, wanted: &dyn Fn(&Target) -> bool) -> bool {
    // SAFETY: the value is a jsonb.
    let list = unsafe { Container::root(targets, memory) };
    (0..).map_while(|i| list.element(i, memory)).any(|target| wanted(&Target { target, memory }))
}

/// Gives the ids of the targets in a stored list that stand behind the first; none where it is no list of targets.
pub fn each_other_target_id(targets: Value, memory: &Arena, mut each: impl FnMut(&[u8])) {
    // SAFETY: the value is a jsonb.
    let list = unsafe { Container::root(targets, memory) };
    let others = (1..).map_while(|i| list.element(i, memory)).map(|target| Target { target, memory });
    others.for_each(|other| other.text(c"id").into_iter().for_each(&mut each));
}

/// The list of an entry's targets where there is only the primary one.
pub fn primary_target<'a>(
    kind: &'a [u8],
    id: Option<&'a [u8]>,
    name: Option<&'a [u8]>,
    memory: &'a Arena,
) -> Value<'a> {
    let mut builder = Builder::new(memory);
    builder.begin_array();
    builder.begin_object();
    let mut text = |key: &'static [u8], value: Option<&'a [u8]>| {
        builder.key(key);
        match value {
            Some(value) => builder.string(value),
            None => builder.null(),
        }
    };
    text(b"type", Some(kind));
    text(b"id", id);
    text(b"relation", Some(b"primary"));
    if name.is_some() {
        text(b"name", name);
    }
    builder.end_object();
    builder.end_array();
    builder.finish()
}
