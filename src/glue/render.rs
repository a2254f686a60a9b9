//! Column values as jsonb and as text, the same in every session.

use audit_log_model::jsonb_object::ObjectWriter;
use audit_log_model::{iso_time, json_exact, numeric_bytes};
use pgrx::pg_sys;

use super::fixed_settings::FixedSettings;
use super::jsonb::Builder;
use super::text::{catalog_name, date_time, hex, keep, output, terminate, terminated, too_large, uuid_text};
use super::tuple::{varlena_bytes, RowType};

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
                pg_sys::TEXTOID | pg_sys::VARCHAROID | pg_sys::BPCHAROID => return Renderer::Text,
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

    /// Writes a value; the settings must be fixed.
    ///
    /// # Safety
    /// The value is of this renderer's type, and lives until the builder finishes.
    pub unsafe fn write(&self, builder: &mut Builder, value: Option<pg_sys::Datum>) {
        let Some(value) = value else { return builder.null() };
        // SAFETY: each arm reads the value as its type; palloc'd copies outlive the builder.
        unsafe {
            match self {
                Renderer::Bool => builder.boolean(value.value() != 0),
                Renderer::Int2 => integer(builder, i64::from(value.value() as i16)),
                Renderer::Int4 => integer(builder, i64::from(value.value() as i32)),
                Renderer::Int8 => integer(builder, value.value() as i64),
                Renderer::Float4 | Renderer::Float8 => match self.float_numeric(value) {
                    Some(numeric) => builder.numeric(numeric.cast_mut_ptr()),
                    None => builder.string(float_name(self.float(value))),
                },
                Renderer::Numeric => {
                    let number: pg_sys::Numeric = pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast();
                    if pg_sys::numeric_is_nan(number) || pg_sys::numeric_is_inf(number) {
                        builder.string(self.output_bytes(value));
                    } else {
                        builder.numeric(number);
                    }
                }
                Renderer::Json => match self.container(value) {
                    Some(jsonb) => builder.embed(jsonb.cast_mut_ptr()),
                    None => builder.string(self.output_bytes(value)),
                },
                Renderer::Jsonb => builder.embed(pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast()),
                Renderer::Array { .. } => self.array(builder, value),
                Renderer::Composite => composite(builder, value),
                Renderer::Text
                | Renderer::Uuid
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
                | Renderer::Uuid
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
                Renderer::Text | Renderer::Json => {
                    varlena_bytes(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr()))
                }
                Renderer::Uuid => uuid_text(value),
                Renderer::Bytea => hex(varlena_bytes(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr()))),
                Renderer::DateTime(type_oid) => date_time(*type_oid, value),
                Renderer::CatalogName(type_oid) => catalog_name(*type_oid, value),
                Renderer::Output(function) => terminated(pg_sys::OidOutputFunctionCall(*function, value)),
                _ => output(pg_sys::NUMERICOID, value),
            }
        }
    }

    /// Whether functions of the type are called, which read settings or may refuse a value.
    pub fn calls_types(&self) -> bool {
        use Renderer::*;
        matches!(self, Bytea | Json | Array { .. } | Composite | CatalogName(_) | Output(_))
    }

    /// A float's value.
    fn float(&self, value: pg_sys::Datum) -> f64 {
        match self {
            Renderer::Float4 => f32::from_bits(value.value() as u32).into(),
            _ => f64::from_bits(value.value() as u64),
        }
    }

    /// A float as the numeric with the fewest digits that reads back as it; None for NaN and infinities.
    fn float_numeric(&self, value: pg_sys::Datum) -> Option<pg_sys::Datum> {
        let number = self.float(value);
        if !number.is_finite() {
            return None;
        }
        let shortest = match self {
            Renderer::Float4 => format!("{:e}", f32::from_bits(value.value() as u32)),
            _ => format!("{number:e}"),
        };
        let (text, no_oid) = (terminate(shortest.as_bytes()), pg_sys::Datum::from(0));
        let args = [Some(pg_sys::Datum::from(text)), Some(no_oid), Some(pg_sys::Datum::from(-1_i32))];
        // SAFETY: numeric_in takes a string, an oid and a typmod.
        unsafe { pgrx::direct_function_call_as_datum(pg_sys::numeric_in, &args) }
    }

    /// A json, array or composite as jsonb; None for a json that jsonb would alter.
    ///
    /// # Safety
    /// The value is of this renderer's type.
    unsafe fn container(&self, value: pg_sys::Datum) -> Option<pg_sys::Datum> {
        let mut builder = Builder::new();
        // SAFETY: by contract; jsonb_in gets a terminated copy.
        unsafe {
            match self {
                Renderer::Array { .. } => self.array(&mut builder, value),
                Renderer::Composite => composite(&mut builder, value),
                _ => {
                    let bytes = varlena_bytes(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr()));
                    let fits = std::str::from_utf8(bytes).is_ok_and(json_exact::fits_jsonb);
                    let text = fits.then(|| pg_sys::Datum::from(terminate(bytes)))?;
                    return pgrx::direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(text)]);
                }
            }
        }
        Some(builder.finish())
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
/// must be fixed. The value is of the renderer's type: both come from the same row type.
pub fn put(renderer: &Renderer, object: &mut ObjectWriter, value: Option<pg_sys::Datum>) {
    let Some(value) = value else { return object.null() };
    // SAFETY: each arm reads the value as its type.
    unsafe {
        match renderer {
            Renderer::Bool => object.boolean(value.value() != 0),
            Renderer::Int2 => object.integer(i64::from(value.value() as i16)),
            Renderer::Int4 => object.integer(i64::from(value.value() as i32)),
            Renderer::Int8 => object.integer(value.value() as i64),
            Renderer::Numeric => {
                let payload = varlena_bytes(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr()));
                match numeric_bytes::is_special(payload) {
                    true => object.string(renderer.output_bytes(value)),
                    false => object.numeric(payload),
                }
            }
            Renderer::Float4 | Renderer::Float8 => match renderer.float_numeric(value) {
                Some(numeric) => object.numeric(varlena_bytes(numeric.cast_mut_ptr())),
                None => object.string(float_name(renderer.float(value))),
            },
            Renderer::DateTime(type_oid) => {
                if !object.string_by(iso_time::MOST, |out| iso(*type_oid, value, out)) {
                    object.string(date_time(*type_oid, value));
                }
            }
            Renderer::Jsonb => {
                object.jsonb(varlena_bytes(pg_sys::pg_detoast_datum(value.cast_mut_ptr())));
            }
            Renderer::Json | Renderer::Array { .. } | Renderer::Composite => {
                match renderer.container(value) {
                    Some(jsonb) => object.jsonb(varlena_bytes(jsonb.cast_mut_ptr())),
                    None => {
                        object.string(varlena_bytes(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr())))
                    }
                }
            }
            Renderer::Text
            | Renderer::Uuid
            | Renderer::Bytea
            | Renderer::CatalogName(_)
            | Renderer::Output(_) => object.string(renderer.output_bytes(value)),
        }
    }
}

/// # Safety
/// The value is of the named date/time type.
unsafe fn iso(type_oid: pg_sys::Oid, value: pg_sys::Datum, out: &mut Vec<u8>) -> bool {
    match type_oid {
        pg_sys::DATEOID => iso_time::date(out, value.value() as i32),
        pg_sys::TIMESTAMPOID => iso_time::timestamp(out, value.value() as i64, false),
        pg_sys::TIMESTAMPTZOID => iso_time::timestamp(out, value.value() as i64, true),
        _ => false,
    }
}

/// A column's value as text, where it is not NULL.
pub fn column_text(
    renderer: &Renderer,
    type_oid: pg_sys::Oid,
    value: Option<pg_sys::Datum>,
) -> Option<String> {
    let value = value?;
    match renderer {
        Renderer::Int2 => Some((value.value() as i16).to_string()),
        Renderer::Int4 => Some((value.value() as i32).to_string()),
        Renderer::Int8 => Some((value.value() as i64).to_string()),
        Renderer::Text | Renderer::Uuid | Renderer::DateTime(_) => {
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
