"""The text of a guard's function, put together from the table's shape.

One road for the common case, in the fewest statements: what changed, the stream's upsert, the advertisement's check,
the event. Everything rare (a row without a stream, a stream that was closed, a key change, a snapshot) branches off it.

What is no statement is an expression that PL/pgSQL can evaluate by itself: one with a query in it (an EXISTS behind an
AND, a PERFORM) costs as much as a statement, 2–4 µs, in a transaction of one row ten times that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from lithair_sqla.codec.values import ColumnValue
from lithair_sqla.schema.names import literal

__all__ = ["GuardShape", "guard_body", "key_expression", "row_expression", "same_key", "truncate_body"]

_MOST_PAIRS: Final = 50
"""A function takes a hundred arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardShape:
    """Everything a guard's text depends on."""

    stream: str
    columns: tuple[ColumnValue, ...]
    hidden: tuple[str, ...]
    keys: tuple[ColumnValue, ...]
    created: str
    updated: str
    deleted: str
    rules: tuple[tuple[str, tuple[str, ...]], ...]
    schema_version: int
    snapshot_frequency: int
    snapshots_kept: int
    refuses_foreign_writes: bool
    captures_truncate: bool
    tenant_id: int
    node_id: int | None

    @property
    def columns_json(self) -> str:
        """The recorded shape: one object a column, in the table's order, those of the key with their place in it."""
        places = {key.name: place for place, key in enumerate(self.keys)}
        return json.dumps(
            [
                {"name": column.name, "type": column.sql_type}
                | ({"key": places[column.name]} if column.name in places else {})
                for column in self.columns
            ]
        )

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when a column comes, goes or changes its type."""
        return sha256(self.columns_json.encode()).hexdigest()[:16]


def key_expression(keys: tuple[ColumnValue, ...], row: str) -> str:
    """Write the stream's key of ``row``: the primary key's text; several columns as a JSON array of their texts."""
    if len(keys) == 1 and not keys[0].nullable:
        return keys[0].key(row)
    return f"jsonb_build_array({', '.join(key.key(row) for key in keys)})::text"


def row_expression(shape: GuardShape, row: str) -> str:
    """Write all columns of ``row`` as one JSON object."""
    text = f"to_jsonb({row}.*)"
    for name in shape.hidden:
        text += f" - {literal(name)}"
    special = [f"{literal(column.name)}, {column.encode(row)}" for column in shape.columns if column.is_special]
    for start in range(0, len(special), _MOST_PAIRS):
        text += f" || jsonb_build_object({', '.join(special[start : start + _MOST_PAIRS])})"
    for column in shape.columns:
        if column.perhaps_virtual:
            text = f"({text}) - CASE WHEN {row}.{column.quoted} IS NULL THEN {literal(column.name)} ELSE '' END"
    return text


def same_key(shape: GuardShape, left: str, right: str) -> str:
    """Write the condition that two rows have the same key; an index on the key can answer it."""
    return " AND ".join(key.same_key(left, right) for key in shape.keys)


def _reread(shape: GuardShape, target: str) -> str:
    """A row that was written again within the same statement has its newer image in the table, not in NEW.

    NEW must keep its type, for which plans have been made: a partition's is its own.
    """
    names = ", ".join(f"fresh.{column.quoted}" for column in shape.columns)
    into = ", ".join(f"new.{column.quoted}" for column in shape.columns)
    return f"""\
    IF new.xmax <> '0'::xid THEN
      SELECT t.* INTO fresh FROM {target} t WHERE {same_key(shape, "t", "new")};
      IF NOT FOUND THEN
        RETURN NULL;
      ELSIF tg_relid = {literal(target)}::regclass THEN
        new := fresh;
      ELSE
        SELECT {names} INTO {into};
      END IF;
    END IF;"""


def _comparisons(shape: GuardShape) -> str:
    return "\n".join(
        f"    IF record_image_ne(ROW(new.{column.quoted}), ROW(old.{column.quoted})) THEN "
        f"data := data || jsonb_build_object({literal(column.name)}, "
        f"{column.encode('new') if column.is_special else 'new.' + column.quoted}); END IF;"
        for column in shape.columns
    )


def _rules(shape: GuardShape) -> str:
    text = ""
    for event, columns in shape.rules:
        names = ", ".join(literal(column) for column in columns)
        text += f"""\
    IF data - ARRAY[{names}] = '{{}}' THEN
      type := {literal(event)};
    END IF;
"""
    return text


def _key_change(shape: GuardShape, target: str) -> str:
    changed = " OR ".join(f"record_image_ne(ROW(new.{key.quoted}), ROW(old.{key.quoted}))" for key in shape.keys)
    return f"""\
    IF {changed} THEN
      old_key := {key_expression(shape.keys, "old")};
      IF old_key <> key THEN
        IF NOT EXISTS (SELECT FROM {target} t WHERE {same_key(shape, "t", "old")}) THEN
{_capture_delete(shape, "old_key", "jsonb_build_object('moved_to', key)")}
        END IF;
        data := {row_expression(shape, "new")};
        kind := 'c';
        type := {literal(shape.created)};
        meta := jsonb_build_object('moved_from', old_key);
      END IF;
    END IF;"""


def _capture_delete(shape: GuardShape, key: str, meta: str) -> str:
    return f"""\
          PERFORM lithair.capture_delete({shape.tenant_id}, {literal(shape.stream)}, {key}, {literal(shape.deleted)},
            {shape.schema_version}::smallint, {row_expression(shape, "old")}, {meta}, {_node(shape)});"""


def _node(shape: GuardShape) -> str:
    return "NULL::int" if shape.node_id is None else str(shape.node_id)


def _snapshot(shape: GuardShape) -> str:
    if shape.snapshot_frequency == 0:
        return ""
    fingerprint = literal(shape.fingerprint)
    return f"""
  IF version % {shape.snapshot_frequency} = 0 AND kind <> 'd' THEN
    -- A row that this transaction wrote before may hold changes of the same statement whose event is still to come.
    IF kind = 'u' AND tg_op = 'UPDATE' AND lithair.is_own(old.xmin) THEN
      SELECT lithair.state_at(s.id, s.first_position, s.snapshot_position, {fingerprint}, drawn, '{{}}') INTO data
        FROM lithair.streams s WHERE s.id = stream;
    ELSE
      data := {row_expression(shape, "new")};
    END IF;
    PERFORM lithair.take_snapshot(stream, version, drawn, data, {shape.schema_version}::smallint, {fingerprint},
      {shape.snapshots_kept});
  END IF;"""


def _announced(shape: GuardShape) -> str:
    if not shape.refuses_foreign_writes:
        return ""
    return """\
  IF coalesce(current_setting('lithair.session', true), '') NOT IN (pg_current_xact_id()::text, 'autocommit') THEN
    RAISE EXCEPTION '% of %.% refused: it takes writes only from sessions that announce themselves',
        tg_op, tg_table_schema, tg_table_name
      USING ERRCODE = 'LT400', HINT =
        'Write through an ORM session of the application, or declare Persistence(foreign_writes="capture").';
  END IF;
"""


def _replayed(target: str) -> str:
    """A rebuild writes rows that the log already has: only the owner can hold the checkpoint that says so."""
    return f"""\
  IF current_setting('lithair.replay', true) <> '' THEN
    IF EXISTS (SELECT FROM lithair.checkpoints c WHERE c.name = 'replay:' || {literal(target)}::regclass::oid
        AND c.holder = pg_current_xact_id()::text::bigint) THEN
      RETURN NULL;
    END IF;
  END IF;
"""


_TRANSACTION: Final = """\
  IF current_setting('lithair.advertised', true) = pg_current_xact_id()::text THEN
    transaction := nullif(current_setting('lithair.transaction', true), '')::bigint;
  END IF;
  low := coalesce(transaction, lithair.advertise());"""
"""The transaction's first position, which is NULL until it has drawn one, and a lower bound of what it will draw."""

_DRAW: Final = """\
  drawn := nextval('lithair.position'::regclass);
  IF transaction IS NULL THEN
    transaction := set_config('lithair.transaction', drawn::text, true)::bigint;
  END IF;
  IF drawn % {{check_every}} = 0 OR (drawn % {{width}} < 8192 AND drawn >= {{width}}) THEN
    PERFORM lithair.extend_log(p_from => drawn, p_through => drawn);
  END IF;"""

_CONTEXT: Final = """\
  IF current_setting('lithair.context', true) <> '' THEN
    context := current_setting('lithair.context')::jsonb;
    actor := coalesce(context->>'actor', actor);
    correlation := (context->>'correlation_id')::uuid;
    causation := (context->>'causation_id')::uuid;
    meta := nullif(coalesce(context->'meta', '{}') || coalesce(meta, '{}'), '{}');
  END IF;
  IF current_setting('lithair.origin', true) <> '' THEN
    meta := current_setting('lithair.origin')::jsonb || coalesce(meta, '{}');
  END IF;"""


def guard_body(shape: GuardShape, target: str) -> str:
    """Write the body of the row trigger's function for a table called ``target``."""
    stream = literal(shape.stream)
    version = f"{shape.schema_version}::smallint"
    return f"""\
DECLARE
  fresh {target}%ROWTYPE;
  data jsonb := '{{}}';
  meta jsonb;
  context jsonb;
  actor text := session_user;
  correlation uuid;
  causation uuid;
  key text;
  old_key text;
  kind "char";
  type text;
  stream bigint;
  version bigint;
  status smallint;
  low bigint;
  drawn bigint;
  transaction bigint;
BEGIN
{_replayed(target)}{_announced(shape)}\
  IF tg_op = 'INSERT' THEN
{_reread(shape, target)}
    data := {row_expression(shape, "new")};
    key := {key_expression(shape.keys, "new")};
    kind := 'c';
    type := {literal(shape.created)};
  ELSIF tg_op = 'UPDATE' THEN
{_reread(shape, target)}
{_comparisons(shape)}
    IF data = '{{}}' THEN
      -- A partition may have its columns in another order than the row that was read again.
      IF tg_relid = {literal(target)}::regclass AND NOT record_image_ne(new, old) THEN
        RETURN NULL;
      END IF;
      data := lithair.changed_columns({row_expression(shape, "new")}, {row_expression(shape, "old")});
      IF data = '{{}}' THEN
        RETURN NULL;
      END IF;
      meta := '{{"guard": "generic"}}';
    ELSIF has_column_privilege({literal(target)}::regclass, tg_argv[0]::smallint, 'SELECT') IS NOT NULL THEN
      -- The number behind the last column that the guard was made for is a column by now.
      data := lithair.changed_columns({row_expression(shape, "new")}, {row_expression(shape, "old")}) || data;
      meta := '{{"guard": "generic"}}';
    END IF;
    key := {key_expression(shape.keys, "new")};
    kind := 'u';
    type := {literal(shape.updated)};
{_rules(shape)}{_key_change(shape, target)}
  ELSE
    key := {key_expression(shape.keys, "old")};
    kind := 'd';
    type := {literal(shape.deleted)};
  END IF;

{_TRANSACTION}
  IF kind <> 'd' THEN
    INSERT INTO lithair.streams AS s (tenant_id, name, key, version, first_position)
    VALUES ({shape.tenant_id}, {stream}, key, 1, low)
    ON CONFLICT ON CONSTRAINT {{{{streams_identity}}}} DO UPDATE SET version = s.version + 1
    RETURNING s.id, s.version, s.status INTO stream, version, status;
  ELSE
    INSERT INTO lithair.streams AS s (tenant_id, name, key, version, first_position, status)
    SELECT {shape.tenant_id}, {stream}, key, 1, low, 1
     WHERE NOT EXISTS (SELECT FROM {target} t WHERE {same_key(shape, "t", "old")})
    ON CONFLICT ON CONSTRAINT {{{{streams_identity}}}} DO UPDATE
      SET version = s.version + 1, status = CASE s.status WHEN 0 THEN 1 ELSE 3 END
    RETURNING s.id, s.version, s.status INTO stream, version, status;
    IF NOT FOUND THEN
      RETURN NULL;
    END IF;
  END IF;
  IF (version = 1) <> (kind = 'c') OR status <> (kind = 'd')::int THEN
    IF kind <> 'c' THEN
      PERFORM lithair.log_event({shape.tenant_id}, stream, version, 'b', {literal(shape.stream + "Baseline")},
        {version}, {row_expression(shape, "old")}, NULL, NULL, {_node(shape)});
      UPDATE lithair.streams s SET version = s.version + 1, status = (kind = 'd')::int
       WHERE s.id = stream RETURNING s.version INTO version;
      transaction := current_setting('lithair.transaction')::bigint;
    ELSIF status <> 0 THEN
      UPDATE lithair.streams s SET status = 0 WHERE s.id = stream;
    ELSIF version > 1 THEN
      kind := 'u';
      type := {literal(shape.updated)};
    END IF;
  END IF;

{_DRAW}
{_CONTEXT}
  INSERT INTO lithair.events (position, stream_id, version, transaction_id, recorded_at, tenant_id, node_id,
    schema_version, kind, type, correlation_id, causation_id, actor, data, meta)
  VALUES (drawn, stream, version, transaction, clock_timestamp(), {shape.tenant_id}, {_node(shape)},
    {version}, kind, type, correlation, causation, actor, data, meta);{_snapshot(shape)}
  RETURN NULL;
END"""


def truncate_body(shape: GuardShape, target: str) -> str:
    """Write the body of the statement trigger that logs TRUNCATE as one delete a row.

    TRUNCATE of a partitioned table fires it for the table and for each partition: a row is logged once.
    """
    key, meta = key_expression(shape.keys, "old"), "'{\"truncate\": true}'"
    return f"""\
DECLARE
  old record;
BEGIN
  FOR old IN SELECT t.* FROM {target} t WHERE tg_relid IN ({literal(target)}::regclass, t.tableoid)
      ORDER BY {", ".join("t." + key.quoted for key in shape.keys)} LOOP
    IF NOT EXISTS (SELECT FROM lithair.streams s WHERE s.tenant_id = {shape.tenant_id}
        AND s.name = {literal(shape.stream)} AND s.key = {key} AND s.status = 1) THEN
{_capture_delete(shape, key, meta)}
    END IF;
  END LOOP;
  RETURN NULL;
END"""
