//! The one error type: what was wrong, where, what to do, and the public code of it.

/// The public code of an error; each belongs to one SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// An argument, filter, context or record is not acceptable.
    InvalidInput,
    /// A cursor cannot be decoded, is damaged, or belongs to another listing.
    CursorInvalid,
    /// A sync cursor that cannot go on without leaving something out.
    CursorExpired,
    /// The organization's audit log is switched off.
    AuditLogsNotEnabled,
    /// The caller may not read (or do) this.
    MissingEndpointPermission,
    /// Somebody tried to change or remove entries.
    EntriesAreAppendOnly,
    /// A watched row does not fit into a jsonb value.
    RowImageTooLarge,
    /// The server has no memory for a copy of a row.
    OutOfMemory,
    /// What was asked needs a state of the database that is not there (a key, a watch).
    NotInPrerequisiteState,
    /// A table or server is none that the log can be read through.
    WrongObjectType,
    /// A fault of this extension or of its installation.
    Internal,
}

impl Code {
    /// The code as it stands in DETAIL and in `errorInfo.code`.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::InvalidInput => "invalid_input",
            Code::CursorInvalid => "cursor_invalid",
            Code::CursorExpired => "cursor_expired",
            Code::AuditLogsNotEnabled => "audit_logs_not_enabled",
            Code::MissingEndpointPermission => "missing_endpoint_permission",
            Code::EntriesAreAppendOnly => "entries_are_append_only",
            Code::RowImageTooLarge => "row_image_too_large",
            Code::OutOfMemory => "out_of_memory",
            Code::NotInPrerequisiteState => "not_in_prerequisite_state",
            Code::WrongObjectType => "wrong_object_type",
            Code::Internal => "internal",
        }
    }

    /// The HTTP status that `list_json` reports, where the code is one of its four.
    pub fn status(self) -> Option<u16> {
        match self {
            Code::InvalidInput | Code::CursorInvalid => Some(400),
            Code::AuditLogsNotEnabled | Code::MissingEndpointPermission => Some(403),
            _ => None,
        }
    }
}

/// An error for the person who made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AuditError {
    pub code: Code,
    pub message: String,
    pub hint: String,
    /// The argument or JSON path that is to blame.
    pub field: Option<String>,
}

impl AuditError {
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        AuditError { code, message: message.into(), hint: hint.into(), field: None }
    }

    /// A bad argument: `field` is named in the message's DETAIL and in `errorInfo.field`.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        AuditError { field: Some(field.into()), ..AuditError::new(Code::InvalidInput, message, hint) }
    }

    pub fn cursor(message: impl Into<String>) -> Self {
        AuditError {
            field: Some("cursor".into()),
            ..AuditError::new(
                Code::CursorInvalid,
                message,
                "Start again without a cursor, and pass each next_cursor back unchanged with the same filters.",
            )
        }
    }

    /// A sync cursor that cannot be read.
    pub fn sync_cursor(message: impl Into<String>) -> Self {
        let hint = "Begin with audit_log.sync_start(), and pass each cursor back unchanged.";
        AuditError { hint: hint.into(), ..AuditError::cursor(message) }
    }

    pub fn internal(message: impl Into<String>) -> Self {
        AuditError::new(
            Code::Internal,
            message,
            "This is a fault of the audit_log extension or of its installation; please report it.",
        )
    }

    /// DETAIL as it is raised: the code line, then the field.
    pub fn detail_text(&self) -> String {
        let mut text = format!("code: {}", self.code.as_str());
        if let Some(field) = &self.field {
            text.push_str("\nfield: ");
            text.push_str(field);
        }
        text
    }
}
