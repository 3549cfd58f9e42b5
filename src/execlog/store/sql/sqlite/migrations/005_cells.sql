-- The cells in a table with a rowid: rows with long sketches were slow to find their way among.
alter table buckets rename to cells_before;

create table buckets (
    resolution integer not null,
    start integer not null,
    series text not null,
    succeeded integer not null default 0,
    partial integer not null default 0,
    failed integer not null default 0,
    timed_out integer not null default 0,
    cancelled integer not null default 0,
    crashed integer not null default 0,
    timed integer not null default 0,
    duration_micros integer not null default 0,
    max_micros integer not null default 0,
    rows integer not null default 0,
    tokens_input integer not null default 0,
    tokens_output integer not null default 0,
    cost_nano integer not null default 0,
    sketch text not null default '+'
) strict;

insert into buckets (
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
)
select
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
from cells_before
order by resolution, start, series;

drop table cells_before;

create unique index buckets_cell on buckets (resolution, start, series);

-- Days of subjects, namespaces, actors and engines, added up from their hours. The sketch of a day is those of its hours,
-- with spaces between them, until it is made compact.
insert into buckets (
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
)
select
    86400, start - (start % 86400000000 + 86400000000) % 86400000000, series, succeeded, partial, failed, timed_out,
    cancelled, crashed, timed, duration_micros, max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
from buckets
where resolution = 3600 and series <> 'all' and (series < 'kind' || char(31) or series >= 'kind' || char(32))
on conflict (resolution, start, series) do update set
    succeeded = succeeded + excluded.succeeded,
    partial = partial + excluded.partial,
    failed = failed + excluded.failed,
    timed_out = timed_out + excluded.timed_out,
    cancelled = cancelled + excluded.cancelled,
    crashed = crashed + excluded.crashed,
    timed = timed + excluded.timed,
    duration_micros = min(duration_micros + excluded.duration_micros, 9223372036854775807),
    rows = min(rows + excluded.rows, 9223372036854775807),
    tokens_input = min(tokens_input + excluded.tokens_input, 9223372036854775807),
    tokens_output = min(tokens_output + excluded.tokens_output, 9223372036854775807),
    cost_nano = min(cost_nano + excluded.cost_nano, 9223372036854775807),
    max_micros = max(max_micros, excluded.max_micros),
    sketch = sketch || ' ' || excluded.sketch;
