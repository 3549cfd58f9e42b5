-- Days of subjects, namespaces, actors and engines, added up from their hours. The sketch of a day is those of its hours,
-- with spaces between them, until it is made compact.
insert into buckets (
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
)
select
    86400,
    start - (start % 86400000000 + 86400000000) % 86400000000 as day,
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
where resolution = 3600 and series <> 'all' and not series ^@ ('kind' || chr(31))
group by day, series;
