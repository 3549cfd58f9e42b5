-- Ten minutes and six hours of everything and of each kind, added up from their minutes and hours. A sketch is those it is
-- made of, with spaces between them, until it is made compact.
insert into buckets (
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
)
select
    600, start - (start % 600000000 + 600000000) % 600000000, series, succeeded, partial, failed, timed_out,
    cancelled, crashed, timed, duration_micros, max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
from buckets
where resolution = 60 and (series = 'all' or (series >= 'kind' || char(31) and series < 'kind' || char(32)))
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

insert into buckets (
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
)
select
    21600, start - (start % 21600000000 + 21600000000) % 21600000000, series, succeeded, partial, failed, timed_out,
    cancelled, crashed, timed, duration_micros, max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
from buckets
where resolution = 3600 and (series = 'all' or (series >= 'kind' || char(31) and series < 'kind' || char(32)))
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
