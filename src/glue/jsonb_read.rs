//! Reads stored jsonb: what two row states differ in, and the ids of targets.

use std::cmp::Ordering;
use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::pg_sys::{jbvType, JsonbIteratorToken as token};

use super::jsonb::{raw_size, Builder};
use super::tuple::varlena_bytes;

/// A value within a detoasted jsonb, which outlives it.
#[derive(Clone, Copy)]
struct Value(pg_sys::JsonbValue);

/// A key and its value; the key lives as long as the jsonb.
type Member<'a> = (&'a [u8], Value);

/// What a redacted column has instead of its value.
const REDACTED: &[u8] = b"[redacted]";

impl Value {
    /// The bytes that are the value; with the type they are the same only if the texts are.
    fn bytes(&self) -> &[u8] {
        let value = &self.0;
        // SAFETY: the type says which of the union's members is there.
        unsafe {
            match value.type_ {
                jbvType::jbvString => {
                    std::slice::from_raw_parts(value.val.string.val.cast(), value.val.string.len as usize)
                }
                jbvType::jbvNumeric => varlena_bytes(value.val.numeric.cast()),
                jbvType::jbvBool if value.val.boolean => b"t",
                jbvType::jbvBinary => {
                    std::slice::from_raw_parts(value.val.binary.data.cast(), value.val.binary.len as usize)
                }
                _ => &[],
            }
        }
    }

    fn same(&self, other: &Value) -> bool {
        self.0.type_ == other.0.type_ && self.bytes() == other.bytes()
    }

    fn string(&self) -> Option<&[u8]> {
        (self.0.type_ == jbvType::jbvString).then(|| self.bytes())
    }
}

/// A detoasted jsonb's root.
///
/// # Safety
/// The datum is a jsonb.
unsafe fn root(jsonb: pg_sys::Datum) -> *mut pg_sys::JsonbContainer {
    // SAFETY: by contract.
    unsafe { &raw mut (*pg_sys::pg_detoast_datum(jsonb.cast_mut_ptr()).cast::<pg_sys::Jsonb>()).root }
}

/// An object's members in jsonb's order, or none where it is something else.
///
/// # Safety
/// The container is part of a jsonb that outlives the result.
unsafe fn members<'a>(container: *mut pg_sys::JsonbContainer) -> Vec<Member<'a>> {
    let mut members = Vec::new();
    // SAFETY: by contract; the iterator is freed by its memory context.
    unsafe {
        let mut iterator = pg_sys::JsonbIteratorInit(container);
        let mut value = pg_sys::JsonbValue::default();
        let mut key: Option<&[u8]> = None;
        if pg_sys::JsonbIteratorNext(&mut iterator, &mut value, false) != token::WJB_BEGIN_OBJECT {
            return members;
        }
        loop {
            match (pg_sys::JsonbIteratorNext(&mut iterator, &mut value, true), key) {
                (token::WJB_KEY, _) => {
                    let text = &value.val.string;
                    key = Some(std::slice::from_raw_parts(text.val.cast(), text.len as usize));
                }
                (token::WJB_VALUE, Some(name)) => members.push((name, Value(value))),
                _ => break,
            }
        }
    }
    members
}

/// What differs between two row states, `{"column": [old, new]}`; None where nothing does, or where
/// they have together more than `most` bytes.
pub fn changes(
    before: Option<pg_sys::Datum>,
    after: Option<pg_sys::Datum>,
    most: usize,
) -> Option<pg_sys::Datum> {
    if raw_size(before) + raw_size(after) > most {
        return None;
    }
    // SAFETY: both are jsonb, and detoasted copies stay until the result is finished.
    let of = |state: Option<pg_sys::Datum>| unsafe { state.map_or(Vec::new(), |s| members(root(s))) };
    let (before, after) = (of(before), of(after));
    let mut builder = Builder::new();
    builder.begin_object();
    let mut any = false;
    let (mut i, mut j) = (0, 0);
    while i < before.len() || j < after.len() {
        let (old, new) = (before.get(i), after.get(j));
        // jsonb orders keys by length, then by bytes.
        let order = match (old, new) {
            (Some((a, _)), Some((b, _))) => (a.len(), a).cmp(&(b.len(), b)),
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
        if same && !redacted {
            continue;
        }
        any = true;
        // SAFETY: key and values are parts of the two states, which stay until the end.
        unsafe {
            builder.key(key);
            builder.begin_array();
            for side in [old, new] {
                match side {
                    Some((_, value)) => builder.value(value.0),
                    None => builder.null(),
                }
            }
            builder.end_array();
        }
    }
    if !any {
        return None;
    }
    builder.end_object();
    Some(builder.finish())
}

/// One of an entry's targets, while the list is read.
pub struct Target(*mut pg_sys::JsonbContainer);

impl Target {
    /// A string by its key.
    pub fn text(&self, key: &CStr) -> Option<&[u8]> {
        let mut found = pg_sys::JsonbValue::default();
        let length = key.to_bytes().len() as i32;
        // SAFETY: the container is part of a jsonb that outlives this; what is found points into it.
        unsafe {
            let value = pg_sys::getKeyJsonValueFromContainer(self.0, key.as_ptr(), length, &mut found);
            let is_string = !value.is_null() && found.type_ == jbvType::jbvString;
            is_string.then(|| {
                std::slice::from_raw_parts(found.val.string.val.cast(), found.val.string.len as usize)
            })
        }
    }
}

/// Whether any of the targets in a stored list is wanted.
pub fn any_target(targets: pg_sys::Datum, wanted: &dyn Fn(&Target) -> bool) -> bool {
    // SAFETY: the datum is a jsonb; what is detoasted stays during the call.
    unsafe {
        let list = root(targets);
        let one = |i| pg_sys::getIthJsonbValueFromContainer(list, i);
        (0..)
            .map(one)
            .take_while(|value| !value.is_null() && (**value).type_ == jbvType::jbvBinary)
            .any(|value| wanted(&Target((*value).val.binary.data)))
    }
}

/// The list of an entry's targets where there is only the primary one.
pub fn primary_target(kind: &[u8], id: Option<&[u8]>, name: Option<&[u8]>) -> pg_sys::Datum {
    let mut builder = Builder::new();
    builder.begin_array();
    builder.begin_object();
    // SAFETY: the texts outlive the builder, and are in the database's encoding.
    unsafe {
        let text = |builder: &mut Builder, key: &[u8], value: Option<&[u8]>| {
            builder.key(key);
            match value {
                Some(value) => builder.string(value),
                None => builder.null(),
            }
        };
        text(&mut builder, b"type", Some(kind));
        text(&mut builder, b"id", id);
        text(&mut builder, b"relation", Some(b"primary"));
        if name.is_some() {
            text(&mut builder, b"name", name);
        }
    }
    builder.end_object();
    builder.end_array();
    builder.finish()
}
