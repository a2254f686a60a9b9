//! Column values as jsonb and as text, the same in every session.

use std::ffi::CStr;

use audit_log_model::json_exact;
use pgrx::pg_sys;

use super::jsonb::Builder;
use super::tuple::{varlena_bytes, RowType};

/// The most elements of an array: building more takes over 1 GB, which PostgreSQL does not give.
const MAX_ELEMENTS: i32 = 1 << 24;
/// The longest string a jsonb value holds, in bytes.
const MAX_STRING: usize = 0x0FFF_FFFF;

extern "C" {
    /// utils/bytea.h, which the bindings leave out.
    static mut bytea_output: i32;
}
const BYTEA_OUTPUT_HEX: i32 = 1;

/// Puts the settings that output functions read into a fixed state, and back when dropped.
pub struct FixedSettings {
    date_style: i32,
    date_order: i32,
    interval_style: i32,
    float_digits: i32,
    bytea_output: i32,
    quote_all: bool,
    time_zone: *mut pg_sys::pg_tz,
}

impl FixedSettings {
    pub fn begin() -> Self {
        // SAFETY: these are this process's own variables; the zone "GMT" always loads.
        unsafe {
            let saved = FixedSettings {
                date_style: pg_sys::DateStyle,
                date_order: pg_sys::DateOrder,
                interval_style: pg_sys::IntervalStyle,
                float_digits: pg_sys::extra_float_digits,
                bytea_output,
                quote_all: pg_sys::quote_all_identifiers,
                time_zone: pg_sys::session_timezone,
            };
            pg_sys::DateStyle = pg_sys::USE_ISO_DATES as i32;
            pg_sys::DateOrder = pg_sys::DATEORDER_YMD as i32;
            pg_sys::IntervalStyle = pg_sys::INTSTYLE_POSTGRES as i32;
            pg_sys::extra_float_digits = 1;
            bytea_output = BYTEA_OUTPUT_HEX;
            pg_sys::quote_all_identifiers = false;
            let utc = pg_sys::pg_tzset(c"UTC".as_ptr());
            if !utc.is_null() {
                pg_sys::session_timezone = utc;
            }
            saved
        }
    }
}

impl Drop for FixedSettings {
    fn drop(&mut self) {
        // SAFETY: as in `begin`; these values were in force then.
        unsafe {
            pg_sys::DateStyle = self.date_style;
            pg_sys::DateOrder = self.date_order;
            pg_sys::IntervalStyle = self.interval_style;
            pg_sys::extra_float_digits = self.float_digits;
            bytea_output = self.bytea_output;
            pg_sys::quote_all_identifiers = self.quote_all;
            pg_sys::session_timezone = self.time_zone;
        }
    }
}

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
                pg_sys::TEXTOID | pg_sys::VARCHAROID | pg_sys::BPCHAROID => return Renderer::Text,
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

    /// Writes a value; the settings must be fixed.
    ///
    /// # Safety
    /// The value is of this renderer's type, and lives until the builder finishes.
    pub unsafe fn write(&self, builder: &mut Builder, value: Option<pg_sys::Datum>) {
        let Some(value) = value else { return builder.null() };
        // SAFETY: each arm reads the value as its type; copies are palloc'd in the current context
        // and live until the builder finishes.
        unsafe {
            match self {
                Renderer::Bool => builder.boolean(value.value() != 0),
                Renderer::Int2 => integer(builder, i64::from(value.value() as i16)),
                Renderer::Int4 => integer(builder, i64::from(value.value() as i32)),
                Renderer::Int8 => integer(builder, value.value() as i64),
                Renderer::Float4 => {
                    let number = f32::from_bits(value.value() as u32);
                    float(builder, number.is_finite(), number.into(), &format!("{number:e}"));
                }
                Renderer::Float8 => {
                    let number = f64::from_bits(value.value() as u64);
                    float(builder, number.is_finite(), number, &format!("{number:e}"));
                }
                Renderer::Numeric => {
                    let number: pg_sys::Numeric = pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast();
                    if pg_sys::numeric_is_nan(number) || pg_sys::numeric_is_inf(number) {
                        builder.string(self.output_bytes(value));
                    } else {
                        builder.numeric(number);
                    }
                }
                Renderer::Json => json(builder, value),
                Renderer::Jsonb => builder.embed(pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast()),
                Renderer::Array { .. } => self.array(builder, value),
                Renderer::Composite => composite(builder, value),
                Renderer::Text
                | Renderer::Bytea
                | Renderer::DateTime(_)
                | Renderer::CatalogName(_)
                | Renderer::Output(_) => {
                    builder.string(self.output_bytes(value));
                }
            }
        }
    }

    /// The value as text, as ids and names show it.
    ///
    /// # Safety
    /// The value is of this renderer's type.
    pub unsafe fn text(&self, type_oid: pg_sys::Oid, value: pg_sys::Datum) -> String {
        // SAFETY: by contract.
        let bytes = unsafe {
            match self {
                Renderer::Text
                | Renderer::Bytea
                | Renderer::DateTime(_)
                | Renderer::CatalogName(_)
                | Renderer::Output(_) => self.output_bytes(value),
                _ => output(type_oid, value),
            }
        };
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// # Safety
    /// As `text`, for the types that are written as strings.
    unsafe fn output_bytes<'a>(&self, value: pg_sys::Datum) -> &'a [u8] {
        // SAFETY: by contract; results are palloc'd in the current context.
        unsafe {
            match self {
                Renderer::Text => varlena_bytes(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr())),
                Renderer::Bytea => hex(varlena_bytes(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr()))),
                Renderer::DateTime(type_oid) => date_time(*type_oid, value),
                Renderer::CatalogName(type_oid) => catalog_name(*type_oid, value),
                Renderer::Output(function) => terminated(pg_sys::OidOutputFunctionCall(*function, value)),
                _ => output(pg_sys::NUMERICOID, value),
            }
        }
    }

    /// # Safety
    /// The value is an array of this renderer's element type.
    unsafe fn array(&self, builder: &mut Builder, value: pg_sys::Datum) {
        let Renderer::Array { element, renderer, length, by_value, align } = self else { return };
        // SAFETY: by contract; deconstruct_array fills both vectors with `count` items.
        unsafe {
            let array: *mut pg_sys::ArrayType = pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast();
            let dimensions = (*array).ndim as usize;
            let sizes = std::slice::from_raw_parts(array.add(1).cast::<i32>(), dimensions);
            let (mut items, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
            pg_sys::deconstruct_array(
                array,
                *element,
                (*length).into(),
                *by_value,
                *align,
                &mut items,
                &mut nulls,
                &mut count,
            );
            if count > MAX_ELEMENTS {
                too_large("an array has too many elements for jsonb");
            }
            let item = |i: usize| (!*nulls.add(i)).then(|| *items.add(i));
            let mut next = 0..count as usize;
            write_dimension(builder, renderer, sizes, &mut || next.next().and_then(item));
        }
    }
}

/// # Safety
/// `item` yields values of the renderer's type, as many as the sizes' product.
unsafe fn write_dimension(
    builder: &mut Builder,
    renderer: &Renderer,
    sizes: &[i32],
    item: &mut dyn FnMut() -> Option<pg_sys::Datum>,
) {
    builder.begin_array();
    if let [size, inner @ ..] = sizes {
        for _ in 0..*size {
            // SAFETY: by contract.
            unsafe {
                match inner {
                    [] => renderer.write(builder, item()),
                    _ => write_dimension(builder, renderer, inner, item),
                }
            }
        }
    }
    builder.end_array();
}

/// # Safety
/// The value is a composite.
unsafe fn composite(builder: &mut Builder, value: pg_sys::Datum) {
    // SAFETY: by contract; the values live as long as the composite.
    unsafe {
        let (row, mut tuple) = RowType::of_composite(value);
        let values = row.deform(&mut tuple);
        builder.begin_object();
        for column in &row.columns {
            // The names must outlive this scope: the builder keeps pointers.
            builder.key(keep(column.name.as_bytes()));
            Renderer::for_type(column.type_oid).write(builder, values.get(column.number));
        }
        builder.end_object();
    }
}

fn integer(builder: &mut Builder, number: i64) {
    // SAFETY: the numeric is palloc'd in the current context.
    unsafe { builder.numeric(pg_sys::int64_to_numeric(number)) };
}

fn float(builder: &mut Builder, finite: bool, number: f64, shortest: &str) {
    // SAFETY: numeric_in takes a terminated string, an oid and a typmod; static and palloc'd bytes
    // outlive the builder.
    unsafe {
        if !finite {
            let name: &[u8] = if number.is_nan() {
                b"NaN"
            } else if number > 0.0 {
                b"Infinity"
            } else {
                b"-Infinity"
            };
            return builder.string(name);
        }
        let text = terminate(shortest.as_bytes());
        let numeric = pgrx::direct_function_call_as_datum(
            pg_sys::numeric_in,
            &[
                Some(pg_sys::Datum::from(text)),
                Some(pg_sys::Datum::from(0)),
                Some(pg_sys::Datum::from(-1_i32)),
            ],
        );
        match numeric {
            Some(numeric) => builder.numeric(numeric.cast_mut_ptr()),
            None => builder.null(),
        }
    }
}

/// A json value inside, or as a string of its text where jsonb would change it.
///
/// # Safety
/// The value is of type json.
unsafe fn json(builder: &mut Builder, value: pg_sys::Datum) {
    // SAFETY: by contract; jsonb_in gets a terminated copy.
    unsafe {
        let bytes = varlena_bytes(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr()));
        let fits = std::str::from_utf8(bytes).is_ok_and(json_exact::fits_jsonb);
        let parsed = if fits {
            pgrx::direct_function_call_as_datum(
                pg_sys::jsonb_in,
                &[Some(pg_sys::Datum::from(terminate(bytes)))],
            )
        } else {
            None
        };
        match parsed {
            Some(jsonb) => builder.embed(jsonb.cast_mut_ptr()),
            None => builder.string(bytes),
        }
    }
}

/// # Safety
/// The value is of the named date/time type.
unsafe fn date_time<'a>(type_oid: pg_sys::Oid, value: pg_sys::Datum) -> &'a [u8] {
    let utc = 0;
    // SAFETY: by contract; the buffer has the length PostgreSQL prescribes.
    unsafe {
        let buffer = pg_sys::palloc((pg_sys::MAXDATELEN + 1) as usize).cast();
        terminated(pg_sys::JsonEncodeDateTime(buffer, value, type_oid, &utc))
    }
}

/// # Safety
/// The value is of the named reg… type.
unsafe fn catalog_name<'a>(type_oid: pg_sys::Oid, value: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: by contract; each call returns a palloc'd string, or NULL for an oid of nothing.
    unsafe {
        let oid = pg_sys::Oid::from(value.value() as u32);
        if oid == pg_sys::InvalidOid {
            return b"-";
        }
        if type_oid == pg_sys::REGCLASSOID {
            return match super::backend::relation_label(oid) {
                Some(label) => keep(label.as_bytes()),
                None => keep(u32::from(oid).to_string().as_bytes()),
            };
        }
        let allow_invalid =
            pg_sys::FORMAT_TYPE_ALLOW_INVALID as u16 | pg_sys::FORMAT_TYPE_FORCE_QUALIFY as u16;
        terminated(match type_oid {
            pg_sys::REGTYPEOID => pg_sys::format_type_extended(oid, -1, allow_invalid),
            pg_sys::REGPROCEDUREOID => pg_sys::format_procedure_qualified(oid),
            _ => pg_sys::format_operator_qualified(oid),
        })
    }
}

/// # Safety
/// The value is of the type.
unsafe fn output<'a>(type_oid: pg_sys::Oid, value: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: by contract.
    unsafe {
        let (mut function, mut varlena) = (pg_sys::InvalidOid, false);
        pg_sys::getTypeOutputInfo(type_oid, &mut function, &mut varlena);
        terminated(pg_sys::OidOutputFunctionCall(function, value))
    }
}

/// `\x` and hexadecimal digits; too long for jsonb, PostgreSQL's error for that.
fn hex<'a>(bytes: &[u8]) -> &'a [u8] {
    if bytes.len() * 2 + 2 > MAX_STRING {
        too_large("a bytea value is too long for jsonb");
    }
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Vec::with_capacity(bytes.len() * 2 + 2);
    text.extend(b"\\x");
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    keep(&text)
}

/// PostgreSQL's own error for what jsonb cannot hold.
fn too_large(what: &'static str) {
    pgrx::ereport!(ERROR, pgrx::PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, what);
}

/// A palloc'd copy, which lives as long as the current context.
fn keep<'a>(bytes: &[u8]) -> &'a [u8] {
    // SAFETY: the copy has the length that was asked for.
    unsafe {
        let copy = pg_sys::palloc(bytes.len().max(1)).cast::<u8>();
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
        std::slice::from_raw_parts(copy, bytes.len())
    }
}

/// A palloc'd, NUL-terminated copy.
fn terminate(bytes: &[u8]) -> *mut std::ffi::c_char {
    // SAFETY: the copy has room for the terminator.
    unsafe { pg_sys::pnstrdup(bytes.as_ptr().cast(), bytes.len()) }
}

/// # Safety
/// `text` is NUL-terminated and outlives the result.
unsafe fn terminated<'a>(text: *const std::ffi::c_char) -> &'a [u8] {
    // SAFETY: by contract.
    unsafe { CStr::from_ptr(text).to_bytes() }
}

/// A column to be written into a row's image.
pub struct ColumnValue<'a> {
    pub name: &'a str,
    pub renderer: &'a Renderer,
    pub value: Option<pg_sys::Datum>,
    pub redacted: bool,
}

/// A row's image; the settings must be fixed. The values are of their renderers' types: both come
/// from the same row type.
pub fn object(columns: &[ColumnValue]) -> pg_sys::Datum {
    let mut builder = Builder::new();
    builder.begin_object();
    for column in columns {
        // SAFETY: names and values outlive the builder, which finishes here.
        unsafe {
            builder.key(column.name.as_bytes());
            match column.redacted {
                true => builder.string(b"[redacted]"),
                false => column.renderer.write(&mut builder, column.value),
            }
        }
    }
    builder.end_object();
    builder.finish()
}

/// A column's value as text, where it is not NULL; the settings must be fixed.
pub fn column_text(
    renderer: &Renderer,
    type_oid: pg_sys::Oid,
    value: Option<pg_sys::Datum>,
) -> Option<String> {
    // SAFETY: the value is of the renderer's type: both come from the same row type.
    value.map(|value| unsafe { renderer.text(type_oid, value) })
}
