-- When the last bar began that a pair's features were computed from.
alter table pairs add column last_bar_at bigint;

-- By the columns it needs, so that a new one of the table does not become one of the view.
create or replace view feature_freshness as
select
    symbol,
    timeframe,
    execlog_instant(last_computed_at) as last_computed_at,
    data_point_count,
    case
        when ranked_at is null then 'missing'
        when now - ranked_at < 3600000000 then 'fresh'
        when now - ranked_at < 86400000000 then 'aging'
        else 'stale'
    end as status,
    case when last_computed_at is not null then greatest(now - last_computed_at, 0) / 1000000 end as staleness_seconds,
    execlog_instant(greatest(said_at, known_at)) as updated_at
from (
    select
        symbol, timeframe, last_computed_at, data_point_count, ranked_at, said_at, known_at,
        (extract(epoch from statement_timestamp()) * 1000000)::bigint as now
    from pairs
    where monitored
) as monitored_pairs;
