-- Ten minutes and six hours of everything and of each kind, added up from their minutes and hours. A sketch is those it is
-- made of, with spaces between them, until it is made compact.
insert into buckets (
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
)
select
    600,
    start - (start % 600000000 + 600000000) % 600000000 as begun,
    series,
    sum(succeeded),
    sum(partial),
    sum(failed),
    sum(timed_out),
    sum(cancelled),
    sum(crashed),
    sum(timed),
    least(sum(duration_micros), 9223372036854775807),
    max(max_micros),
    least(sum(rows), 9223372036854775807),
    least(sum(tokens_input), 9223372036854775807),
    least(sum(tokens_output), 9223372036854775807),
    least(sum(cost_nano), 9223372036854775807),
    string_agg(sketch, ' ')
from buckets
where resolution = 60 and (series = 'all' or series ^@ ('kind' || chr(31)))
group by begun, series;

insert into buckets (
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
)
select
    21600,
    start - (start % 21600000000 + 21600000000) % 21600000000 as begun,
    series,
    sum(succeeded),
    sum(partial),
    sum(failed),
    sum(timed_out),
    sum(cancelled),
    sum(crashed),
    sum(timed),
    least(sum(duration_micros), 9223372036854775807),
    max(max_micros),
    least(sum(rows), 9223372036854775807),
    least(sum(tokens_input), 9223372036854775807),
    least(sum(tokens_output), 9223372036854775807),
    least(sum(cost_nano), 9223372036854775807),
    string_agg(sketch, ' ')
from buckets
where resolution = 3600 and (series = 'all' or series ^@ ('kind' || chr(31)))
group by begun, series;
