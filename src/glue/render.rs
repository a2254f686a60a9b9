//! Column values as jsonb and as text, the same in every session.

use audit_log_model::jsonb_object::{self, ContainerWriter};
use audit_log_model::{iso_time, json_exact, jsonb_strings, numeric_bytes, valid_text};
use pgrx::pg_sys;

use super::fixed_settings::FixedSettings;
use super::jsonb_read;
use super::memory::{with_current, Arena};
use super::text::{catalog_name, date_time, hex, money, output, output_by, terminate, too_large, uuid_text};
use super::tuple::RowType;
use super::value::{Value, Varlena};

/// The most elements of an array: building more takes over 1 GB, which PostgreSQL does not give.
const MAX_ELEMENTS: i32 = 1 << 24;
/// How a type is written as jsonb; found once a column.
pub enum Renderer {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    /// Text stored as it reads.
    Text,
    /// Text whose trailing blanks say nothing: they are no part of an id.
    BlankPadded,
    /// As under lc_monetary C, whatever it is.
    Money,
    Uuid,
    Bytea,
    Json,
    Jsonb,
    DateTime(pg_sys::Oid),
    Array {
        element: pg_sys::Oid,
        renderer: Box<Renderer>,
        length: i16,
        by_value: bool,
        align: i8,
    },
    Composite,
    /// A name in the catalog, always with its schema: regclass, regtype, regprocedure, regoperator.
    CatalogName(pg_sys::Oid),
    /// Anything else by its output function.
    Output(pg_sys::Oid),
}

impl Renderer {
    pub fn for_type(type_oid: pg_sys::Oid) -> Renderer {
        // SAFETY: catalog look-ups by the oid of an existing type.
        unsafe {
            let base = pg_sys::getBaseType(type_oid);
            match base {
                pg_sys::BOOLOID => return Renderer::Bool,
                pg_sys::INT2OID => return Renderer::Int2,
                pg_sys::INT4OID => return Renderer::Int4,
                pg_sys::INT8OID => return Renderer::Int8,
                pg_sys::FLOAT4OID => return Renderer::Float4,
                pg_sys::FLOAT8OID => return Renderer::Float8,
                pg_sys::NUMERICOID => return Renderer::Numeric,
                pg_sys::TEXTOID | pg_sys::VARCHAROID => return Renderer::Text,
                pg_sys::BPCHAROID => return Renderer::BlankPadded,
                pg_sys::MONEYOID => return Renderer::Money,
                pg_sys::UUIDOID => return Renderer::Uuid,
                pg_sys::BYTEAOID => return Renderer::Bytea,
                pg_sys::JSONOID => return Renderer::Json,
                pg_sys::JSONBOID => return Renderer::Jsonb,
                pg_sys::DATEOID
                | pg_sys::TIMEOID
                | pg_sys::TIMETZOID
                | pg_sys::TIMESTAMPOID
                | pg_sys::TIMESTAMPTZOID => return Renderer::DateTime(base),
                pg_sys::REGCLASSOID
                | pg_sys::REGTYPEOID
                | pg_sys::REGPROCEDUREOID
                | pg_sys::REGOPERATOROID => return Renderer::CatalogName(base),
                _ => {}
            }
            let element = pg_sys::get_element_type(base);
            if element != pg_sys::InvalidOid {
                let (mut length, mut by_value, mut align) = (0, false, 0);
                pg_sys::get_typlenbyvalalign(element, &mut length, &mut by_value, &mut align);
                let renderer = Box::new(Renderer::for_type(element));
                return Renderer::Array { element, renderer, length, by_value, align };
            }
            if pg_sys::type_is_rowtype(base) {
                return Renderer::Composite;
            }
            let (mut output, mut varlena) = (pg_sys::InvalidOid, false);
            pg_sys::getTypeOutputInfo(base, &mut output, &mut varlena);
            Renderer::Output(output)
        }
    }

    /// The value as text, as ids and names show it; where other functions than our own are called,
    /// the settings must be fixed.
    ///
    /// # Safety
    /// The value is of this renderer's type.
    unsafe fn text(&self, type_oid: pg_sys::Oid, value: Value) -> String {
        use Renderer::*;
        with_current(|memory| {
            // SAFETY: by contract.
            let bytes = unsafe {
                match self {
                    BlankPadded => without_trailing_blanks(self.output_bytes(value, memory)),
                    Text | Money | Uuid | Bytea | DateTime(_) | CatalogName(_) | Output(_) => {
                        self.output_bytes(value, memory)
                    }
                    _ => output(type_oid, value, memory),
                }
            };
            valid_text::clean(bytes).into_owned()
        })
    }

    /// # Safety
    /// As `text`, for the types that are written as strings.
    unsafe fn output_bytes<'a>(&self, value: Value<'a>, memory: &'a Arena) -> &'a [u8] {
        // SAFETY: by contract.
        unsafe {
            match self {
                Renderer::Text | Renderer::BlankPadded | Renderer::Json => value.bytes(memory),
                Renderer::Money => money(value.number(), memory),
                Renderer::Uuid => uuid_text(value, memory),
                Renderer::Bytea => hex(value.bytes(memory), memory),
                Renderer::DateTime(type_oid) => date_time(*type_oid, value, memory),
                Renderer::CatalogName(type_oid) => catalog_name(*type_oid, value, memory),
                Renderer::Output(function) => output_by(*function, value, memory),
                _ => output(pg_sys::NUMERICOID, value, memory),
            }
        }
    }

    /// Whether functions of the type are called, which read settings or may refuse a value.
    pub fn calls_types(&self) -> bool {
        use Renderer::*;
        matches!(self, Bytea | Json | Array { .. } | Composite | CatalogName(_) | Output(_))
    }

    /// Whether trailing blanks say nothing.
    pub fn is_blank_padded(&self) -> bool {
        matches!(self, Renderer::BlankPadded)
    }

    /// A float's value.
    fn float(&self, value: Value) -> f64 {
        match self {
            Renderer::Float4 => f32::from_bits(value.number() as u32).into(),
            _ => f64::from_bits(value.number() as u64),
        }
    }

    /// A float as the numeric with the fewest digits that reads back as it; None for NaN and infinities.
    fn float_numeric<'a>(&self, value: Value, memory: &'a Arena) -> Option<Varlena<'a>> {
        let number = self.float(value);
        if !number.is_finite() {
            return None;
        }
        let shortest = match self {
            Renderer::Float4 => format!("{:e}", f32::from_bits(value.number() as u32)),
            _ => format!("{number:e}"),
        };
        let (text, no_oid) = (terminate(shortest.as_bytes(), memory), pg_sys::Datum::from(0));
        let args = [Some(text.datum()), Some(no_oid), Some(pg_sys::Datum::from(-1_i32))];
        // SAFETY: numeric_in takes a string, an oid and a typmod, and what it makes is in the memory.
        memory.run(|| unsafe {
            let made = pgrx::direct_function_call_as_datum(pg_sys::numeric_in, &args)?;
            Some(Varlena::of(made.cast_mut_ptr()))
        })
    }

    /// A json as jsonb; None for one that jsonb would alter.
    ///
    /// # Safety
    /// The value is a json.
    unsafe fn json<'a>(value: Value<'a>, memory: &'a Arena) -> Option<Varlena<'a>> {
        // SAFETY: by contract.
        let bytes = unsafe { value.bytes(memory) };
        if !std::str::from_utf8(bytes).is_ok_and(json_exact::fits_jsonb) {
            return None;
        }
        let text = terminate(bytes, memory).datum();
        // SAFETY: jsonb_in gets a terminated copy, and what it makes is in the memory.
        memory.run(|| unsafe {
            let made = pgrx::direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(text)])?;
            Some(Varlena::of(made.cast_mut_ptr()))
        })
    }

    /// # Safety
    /// The value is an array of this renderer's element type.
    unsafe fn array<'a>(&self, out: &mut ContainerWriter, value: Value<'a>, memory: &'a Arena) {
        let Renderer::Array { element, renderer, length, by_value, align } = self else { return };
        // SAFETY: by contract; deconstruct_array fills both vectors with `count` items, parts of the array.
        unsafe {
            let array: *mut pg_sys::ArrayType = value.plain(memory).pointer().cast();
            let dimensions = (*array).ndim as usize;
            let sizes = std::slice::from_raw_parts(array.add(1).cast::<i32>(), dimensions);
            let (mut items, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
            let (items_at, nulls_at) = (&raw mut items, &raw mut nulls);
            memory.run(|| {
                let (length, by_value, align) = ((*length).into(), *by_value, *align);
                pg_sys::deconstruct_array(
                    array, *element, length, by_value, align, items_at, nulls_at, &mut count,
                );
            });
            if count > MAX_ELEMENTS {
                too_large("an array has too many elements for jsonb");
            }
            let item = |i: usize| (!*nulls.add(i)).then(|| Value::of(*items.add(i)));
            let mut next = 0..count as usize;
            put_dimension(renderer, out, sizes, &mut || next.next().and_then(item), memory);
        }
    }
}

/// Writes one dimension of an array. `item` yields values of the renderer's type, as many as the sizes'
/// product.
fn put_dimension<'a>(
    renderer: &Renderer,
    out: &mut ContainerWriter,
    sizes: &[i32],
    item: &mut dyn FnMut() -> Option<Value<'a>>,
    memory: &'a Arena,
) {
    let size = sizes.first().map_or(0, |size| *size as usize);
    let mut array = ContainerWriter::array(size);
    for _ in 0..size {
        match &sizes[1..] {
            [] => put(renderer, &mut array, item(), memory),
            inner => put_dimension(renderer, &mut array, inner, item, memory),
        }
    }
    out.container(array.finish());
}

/// # Safety
/// The value is a composite.
unsafe fn composite<'a>(out: &mut ContainerWriter, value: Value<'a>, memory: &'a Arena) {
    // SAFETY: by contract; type and row are of one composite.
    let (row_type, tuple) = unsafe { RowType::of_composite(value, memory) };
    let values = row_type.of_record(tuple);
    let mut columns: Vec<_> = row_type.columns.iter().collect();
    columns.sort_by(|a, b| jsonb_object::key_order(a.name.as_bytes(), b.name.as_bytes()));
    let mut object = ContainerWriter::object(columns.iter().map(|column| column.name.as_bytes()));
    for column in columns {
        put(&Renderer::for_type(column.type_oid), &mut object, values.get(column.number), memory);
    }
    out.container(object.finish());
}

/// What char(n) is without the blanks that fill it up, as a cast to text has it.
fn without_trailing_blanks(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    &bytes[..end]
}

/// What jsonb shows, as a string, for a float that is no number.
fn float_name(number: f64) -> &'static [u8] {
    if number.is_nan() {
        b"NaN"
    } else if number > 0.0 {
        b"Infinity"
    } else {
        b"-Infinity"
    }
}

/// Writes a value into a row's image; where the renderer calls its type's functions, the settings
/// must be fixed. The value is of the renderer's type: both come from the same row type. Whatever the
/// value's bytes are, what is written can be read, dumped and restored.
pub fn put<'a>(
    renderer: &Renderer,
    object: &mut ContainerWriter,
    value: Option<Value<'a>>,
    memory: &'a Arena,
) {
    let string = |object: &mut ContainerWriter, bytes: &[u8]| {
        object.string(valid_text::clean(bytes).as_bytes());
    };
    let Some(value) = value else { return object.null() };
    // SAFETY: each arm reads the value as its type.
    unsafe {
        match renderer {
            Renderer::Bool => object.boolean(value.number() != 0),
            Renderer::Int2 => object.integer(i64::from(value.number() as i16)),
            Renderer::Int4 => object.integer(i64::from(value.number() as i32)),
            Renderer::Int8 => object.integer(value.number()),
            Renderer::Numeric => {
                let payload = value.bytes(memory);
                match numeric_bytes::is_special(payload) {
                    true => object.string(renderer.output_bytes(value, memory)),
                    false => object.numeric(payload),
                }
            }
            Renderer::Float4 | Renderer::Float8 => match renderer.float_numeric(value, memory) {
                Some(numeric) => object.numeric(numeric.bytes()),
                None => object.string(float_name(renderer.float(value))),
            },
            Renderer::DateTime(type_oid) => {
                if !object.string_by(iso_time::MOST, |out| iso(*type_oid, value, out)) {
                    object.string(date_time(*type_oid, value, memory));
                }
            }
            Renderer::Jsonb => {
                let bytes = value.plain(memory).bytes();
                match jsonb_strings::are_valid(bytes) {
                    true => object.jsonb(bytes),
                    false => object.jsonb(jsonb_read::clean(value, memory).plain(memory).bytes()),
                }
            }
            Renderer::Json => match Renderer::json(value, memory) {
                Some(jsonb) => object.jsonb(jsonb.bytes()),
                None => string(object, renderer.output_bytes(value, memory)),
            },
            Renderer::Array { .. } => renderer.array(object, value, memory),
            Renderer::Composite => composite(object, value, memory),
            Renderer::Uuid | Renderer::Bytea | Renderer::Money => {
                object.string(renderer.output_bytes(value, memory));
            }
            Renderer::Text | Renderer::BlankPadded | Renderer::CatalogName(_) | Renderer::Output(_) => {
                string(object, renderer.output_bytes(value, memory));
            }
        }
    }
}

/// Writes a date or timestamp, where the value is of such a type.
fn iso(type_oid: pg_sys::Oid, value: Value, out: &mut Vec<u8>) -> bool {
    match type_oid {
        pg_sys::DATEOID => iso_time::date(out, value.number() as i32),
        pg_sys::TIMESTAMPOID => iso_time::timestamp(out, value.number(), false),
        pg_sys::TIMESTAMPTZOID => iso_time::timestamp(out, value.number(), true),
        _ => false,
    }
}

/// A column's value as text, where it is not NULL.
pub fn column_text(renderer: &Renderer, type_oid: pg_sys::Oid, value: Option<Value>) -> Option<String> {
    let value = value?;
    match renderer {
        Renderer::Int2 => Some((value.number() as i16).to_string()),
        Renderer::Int4 => Some((value.number() as i32).to_string()),
        Renderer::Int8 => Some(value.number().to_string()),
        Renderer::Text | Renderer::BlankPadded | Renderer::Money | Renderer::Uuid | Renderer::DateTime(_) => {
            // SAFETY: as below; none of these reads a setting.
            Some(unsafe { renderer.text(type_oid, value) })
        }
        _ => {
            let _settings = FixedSettings::begin();
            // SAFETY: the value is of the renderer's type: both come from the same row type.
            Some(unsafe { renderer.text(type_oid, value) })
        }
    }
}
