//! What PostgreSQL calls: the C functions of the install script, and the library's start.

use audit_log_model::event_id::unix_micros;
use audit_log_model::key_text;
use audit_log_model::page_request::PageRequest;
use audit_log_model::stored_id::stored_id;

use crate::glue::error::unwrap_or_raise;
use crate::glue::function::{background_main, nothing, pg_function};
use crate::glue::value::Value;
use crate::glue::{
    backend, background, board, callbacks, foreign_scan, foreign_table, hooks, jsonb, jsonb_read, nesting,
    partition, setting, utility,
};
use crate::store::signal::Fate;
use crate::{api, capture, store, worker};

pg_function!(audit_log_capture, pg_finfo_audit_log_capture, |call| {
    capture::row::capture(&call.trigger()?).map(nothing)
});

pg_function!(audit_log_capture_truncate, pg_finfo_audit_log_capture_truncate, |call| {
    capture::truncate::capture(&call.trigger()?).map(nothing)
});

pg_function!(audit_log_capture_moved, pg_finfo_audit_log_capture_moved, |call| {
    call.trigger()?;
    capture::row::statement_ended().map(nothing)
});

pg_function!(audit_log_refuse_change, pg_finfo_audit_log_refuse_change, |call| {
    let trigger = call.trigger()?;
    store::guard::refuse(trigger.operation())?;
    // What a row's BEFORE trigger gives back is what is done.
    Ok(Some(trigger.go_on()))
});

pg_function!(audit_log_follow_ddl, pg_finfo_audit_log_follow_ddl, |call| {
    capture::ddl::follow(&call.event_trigger()?).map(nothing)
});

pg_function!(audit_log_check_library, pg_finfo_audit_log_check_library, |call| {
    call.args();
    Ok(nothing(()))
});

pg_function!(audit_log_own_ddl, pg_finfo_audit_log_own_ddl, |call| {
    capture::ddl::own(call.args().get(0).unwrap_or(false));
    Ok(nothing(()))
});

pg_function!(audit_log_record_own, pg_finfo_audit_log_record_own, |call| {
    let args = call.args();
    let metadata = args.json(2, "metadata")?;
    api::configuration::record_own(&args.text(0).unwrap_or_default(), args.text(1), metadata).map(nothing)
});

pg_function!(audit_log_list, pg_finfo_audit_log_list, |call| {
    let (args, mut output) = (call.args(), call.output());
    let arguments = api::list::Arguments {
        cursor: args.text(0),
        limit: args.get(1),
        start: args.instant(2),
        end: args.instant(3),
        actor_ids: args.texts(4),
        target_ids: args.texts(5),
        target_types: args.texts(6),
        categories: args.texts(7),
        organization: args.text(8),
    };
    api::list::list(arguments, &mut output)?;
    Ok(None)
});

pg_function!(audit_log_readable_organizations, pg_finfo_audit_log_readable_organizations, |call| {
    api::organizations::readable(&mut call.output())?;
    Ok(None)
});

pg_function!(audit_log_current_binding, pg_finfo_audit_log_current_binding, |call| {
    api::organizations::bindings(&mut call.output())?;
    Ok(None)
});

pg_function!(audit_log_announce, pg_finfo_audit_log_announce, |call| {
    backend::invalidate(call.trigger()?.relation());
    Ok(nothing(()))
});

pg_function!(audit_log_invalidate, pg_finfo_audit_log_invalidate, |call| {
    if let Some(relation) = call.args().get(0) {
        backend::invalidate(relation);
    }
    Ok(nothing(()))
});

pg_function!(audit_log_list_json, pg_finfo_audit_log_list_json, |call| {
    let args = call.args();
    api::list_json::list_json(args.json(0, "request"), call.memory).map(Some)
});

pg_function!(audit_log_record, pg_finfo_audit_log_record, |call| {
    let args = call.args();
    let id = api::record::record(api::record::Arguments {
        category: args.text(0),
        target_id: args.text(1),
        target_name: args.text(2),
        targets: args.json(3, "targets")?,
        metadata: args.json(4, "metadata")?,
        before: args.row_state(5)?,
        after: args.row_state(6)?,
        occurred_at: args.instant(7),
        organization: args.text(8),
        idempotency_key: args.text(9),
    })?;
    Ok(call.give_uuid(id))
});

pg_function!(audit_log_import_event, pg_finfo_audit_log_import_event, |call| {
    let args = call.args();
    let record = args.json(0, "record")?.unwrap_or_default();
    let id = api::import::import_event(&record, &args.text(1).unwrap_or_default())?;
    Ok(call.give_uuid(id))
});

pg_function!(audit_log_set_context, pg_finfo_audit_log_set_context, |call| {
    let args = call.args();
    let context = args.json(0, "context")?;
    api::context::set_context(context, args.get(1).unwrap_or(true)).map(nothing)
});

pg_function!(audit_log_record_configuration, pg_finfo_audit_log_record_configuration, |call| {
    let args = call.args();
    let category = args.text(0).unwrap_or_default();
    let (organization, target_id) = (args.text(1), args.text(2));
    let metadata = args.json(3, "metadata")?;
    api::configuration::record(&category, organization.as_deref(), target_id.as_deref(), metadata)
        .map(nothing)
});

pg_function!(audit_log_check_metadata_schema, pg_finfo_audit_log_check_metadata_schema, |call| {
    let args = call.args();
    api::vocabulary::check_metadata_schema(args.json(0, "metadata_schema")?).map(nothing)
});

pg_function!(audit_log_state_bytes, pg_finfo_audit_log_state_bytes, |call| {
    let args = call.args();
    Ok(Some(Value::from((args.jsonb_size(0) + args.jsonb_size(1)) as i64)))
});

pg_function!(audit_log_changes, pg_finfo_audit_log_changes, |call| {
    let args = call.args();
    Ok(jsonb_read::changes(args.value(0), args.value(1), store::entry::MOST_COMPARED, call.memory))
});

pg_function!(audit_log_primary_target, pg_finfo_audit_log_primary_target, |call| {
    let args = call.args();
    let kind = args.bytes(0).unwrap_or_default();
    Ok(Some(jsonb_read::primary_target(kind, args.bytes(1), args.bytes(2), call.memory)))
});

pg_function!(audit_log_key_text, pg_finfo_audit_log_key_text, |call| {
    let parts = call.args().texts(0);
    Ok(key_text::join(parts.iter().map(Option::as_deref)).and_then(|key| call.give(key)))
});

pg_function!(audit_log_stored_id, pg_finfo_audit_log_stored_id, |call| {
    Ok(call.args().text(0).and_then(|id| call.give(stored_id(&id).into_owned())))
});

pg_function!(audit_log_stored_ids, pg_finfo_audit_log_stored_ids, |call| {
    let ids = call.args().texts(0).into_iter();
    Ok(call.give(ids.map(|id| id.map(|id| stored_id(&id).into_owned())).collect::<Vec<_>>()))
});

// What an argument is taken for.
pg_function!(audit_log_valid_text, pg_finfo_audit_log_valid_text, |call| {
    Ok(call.args().text(0).and_then(|text| call.give(text)))
});

pg_function!(audit_log_partition_start, pg_finfo_audit_log_partition_start, |call| {
    let partition = call.args().get(0);
    Ok(partition.and_then(store::tables::partition_start).map(Value::from))
});

pg_function!(audit_log_partition_of, pg_finfo_audit_log_partition_of, |call| {
    let args = call.args();
    let day = args.get::<pgrx::datum::Date>(1).map(|day| i64::from(day.to_pg_epoch_days()));
    let found = args.get(0).zip(day).and_then(|(parent, day)| partition::for_key(parent, day));
    Ok(found.map(Value::from))
});

pg_function!(audit_log_committed_snapshot, pg_finfo_audit_log_committed_snapshot, |call| {
    call.args();
    let (next, running) = backend::active_snapshot();
    let first = running.first().unwrap_or(&next);
    let list: Vec<String> = running.iter().map(u64::to_string).collect();
    Ok(call.give(format!("{first}:{next}:{}", list.join(","))))
});

pg_function!(audit_log_contains, pg_finfo_audit_log_contains, |call| {
    let args = call.args();
    let (text, part) = (args.bytes(0).unwrap_or_default(), args.bytes(1).unwrap_or_default());
    Ok(Some(Value::from(api::page::contains(text, part))))
});

pg_function!(audit_log_page, pg_finfo_audit_log_page, |call| {
    let (args, mut output) = (call.args(), call.output());
    let request = PageRequest {
        page: args.get::<i32>(0).unwrap_or(1).into(),
        size: args.get::<i32>(1).unwrap_or(50).into(),
        tab: args.text(2),
        search: args.text(3),
        action: args.text(4),
        actor: args.text(5),
        candidate: args.text(6),
        organization: args.text(9),
    };
    api::page::page(request, args.instant(7), args.instant(8), &mut output)?;
    Ok(None)
});

pg_function!(audit_log_sync_start, pg_finfo_audit_log_sync_start, |call| {
    Ok(call.give(api::sync::start(call.args().instant(0))?))
});

pg_function!(audit_log_sync, pg_finfo_audit_log_sync, |call| {
    let (args, mut output) = (call.args(), call.output());
    let arguments = api::sync::Arguments {
        cursor: args.text(0),
        limit: args.get::<i32>(1).map(i64::from),
        organization: args.text(2),
    };
    api::sync::sync(&arguments, &mut output)?;
    Ok(None)
});

pg_function!(audit_log_sync_json, pg_finfo_audit_log_sync_json, |call| {
    api::sync::sync_json(call.args().json(0, "request"), call.memory).map(Some)
});

pg_function!(audit_log_settled_below, pg_finfo_audit_log_settled_below, |call| {
    call.args();
    let snapshot = store::sync::now()?;
    Ok(Some(Value::from(snapshot.next_unseen(0))))
});

pg_function!(audit_log_feed_now, pg_finfo_audit_log_feed_now, |call| {
    call.args();
    Ok(Some(Value::from(store::feed::number()?)))
});

pg_function!(audit_log_remove_expired, pg_finfo_audit_log_remove_expired, |call| {
    let (args, mut output) = (call.args(), call.output());
    if let (Some(partition), Some(clock), Some(since), Some(until)) =
        (args.get(0), args.instant(1), args.instant(2), args.instant(3))
    {
        store::retention::remove_expired(partition, clock, since, until, &mut output)?;
    }
    Ok(None)
});

pg_function!(audit_log_move_entries, pg_finfo_audit_log_move_entries, |call| {
    let args = call.args();
    match (args.get(0), args.instant(1), args.instant(2)) {
        (Some(target), Some(lower), Some(upper)) => {
            Ok(Some(Value::from(store::retention::move_entries(target, lower, upper)?)))
        }
        _ => Ok(None),
    }
});

pg_function!(audit_log_record_removal, pg_finfo_audit_log_record_removal, |call| {
    let args = call.args();
    let organization = args.text(0).unwrap_or_default();
    let metadata = args.json(2, "metadata")?;
    api::configuration::record_removal(&organization, args.text(1), metadata).map(nothing)
});

pg_function!(audit_log_feed_handler, pg_finfo_audit_log_feed_handler, |call| {
    Ok(Some(foreign_scan::handler(&api::feed::TABLE, call.memory)))
});

pg_function!(audit_log_feed_validator, pg_finfo_audit_log_feed_validator, |call| {
    let args = call.args();
    foreign_table::validate(&args.texts(0), args.get(1).unwrap_or_default()).map(nothing)
});

pg_function!(audit_log_id_instant, pg_finfo_audit_log_id_instant, |call| {
    let id = call.args().uuid(0);
    Ok(id.map(|id| backend::timestamptz(unix_micros(id))))
});

pg_function!(audit_log_begin_export, pg_finfo_audit_log_begin_export, |call| {
    let args = call.args();
    api::export::begin(api::list::Arguments {
        start: args.instant(0),
        end: args.instant(1),
        actor_ids: args.texts(2),
        target_ids: args.texts(3),
        target_types: args.texts(4),
        categories: args.texts(5),
        organization: args.text(6),
        ..Default::default()
    })?;
    Ok(Some(Value::from(true)))
});

pg_function!(audit_log_format_json, pg_finfo_audit_log_format_json, |call| {
    let args = call.args();
    let (entry, source) = (args.json_text(0)?, args.json_text(1)?);
    let answer = api::export::format(entry, source, &args.text(2).unwrap_or_default())?;
    jsonb::from_text(&answer, call.memory).map(Some)
});

pg_function!(audit_log_row_json, pg_finfo_audit_log_row_json, |call| {
    let Some((relation, row_type, row)) = call.relation_and_row() else { return Ok(None) };
    capture::image::of_row(relation, row_type, row, call.memory).map(Some)
});

pg_function!(audit_log_row_id, pg_finfo_audit_log_row_id, |call| {
    let Some((relation, row_type, row)) = call.relation_and_row() else { return Ok(None) };
    Ok(capture::row::id_of(relation, row_type, row)?.and_then(|id| call.give(id)))
});

background_main!(audit_log_launcher, |_| worker::launcher::run());

background_main!(audit_log_worker, worker::job::run);

#[pgrx::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    setting::define(store::context::check);
    if background::is_preloading() {
        board::request();
        background::register_launcher();
    }
    nesting::loaded(!background::is_preloading() && backend::in_transaction());
    hooks::install(hooks::Watchers {
        is_waiting: store::pending::is_waiting,
        is_written: store::tables::is_written,
        write: || unwrap_or_raise(store::pending::write()),
    });
    callbacks::listen(callbacks::Listeners {
        before_commit: || {
            unwrap_or_raise(capture::before_commit().and_then(|()| store::pending::write()));
        },
        ended: |committed| {
            capture::transaction_ended();
            store::transaction_went_on(Fate::Ended { committed });
            utility::transaction_ended(committed);
            nesting::transaction_ended(committed);
        },
        subtransaction_began: nesting::subtransaction_began,
        before_subtransaction_commits: |subtransaction, parent| {
            let may_wait = !nesting::is_outermost();
            unwrap_or_raise(store::pending::before_subtransaction_commits(subtransaction, parent, may_wait));
        },
        subtransaction_aborted: |subtransaction| {
            capture::subtransaction_aborted(subtransaction);
            store::transaction_went_on(Fate::SubtransactionAborted(subtransaction));
            nesting::subtransaction_aborted(subtransaction);
        },
        subtransaction_committed: |subtransaction, parent| {
            capture::subtransaction_committed(subtransaction, parent);
            store::transaction_went_on(Fate::SubtransactionCommitted { subtransaction, parent });
            nesting::subtransaction_committed(subtransaction);
        },
        relation_changed: |relation| {
            capture::relation_changed(relation);
            store::relation_changed(relation);
        },
    });
}
