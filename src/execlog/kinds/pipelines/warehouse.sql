-- Bars and features, in a database of their own beside the history.

-- name: bars_table
create table if not exists bars (
    symbol text not null,
    timeframe text not null,
    at integer not null,
    open real,
    high real,
    low real,
    close real not null,
    volume real,
    primary key (symbol, timeframe, at)
) strict, without rowid;

-- name: features_table
create table if not exists feature_values (
    symbol text not null,
    timeframe text not null,
    feature text not null,
    at integer not null,
    value real not null,
    primary key (symbol, timeframe, feature, at)
) strict, without rowid;

-- name: insert_bars
-- A bar that is there already as it comes is left alone, so that what changes can be counted.
insert into bars (symbol, timeframe, at, open, high, low, close, volume)
select
    :symbol, :timeframe, value ->> 'at', value ->> 'open', value ->> 'high', value ->> 'low', value ->> 'close',
    value ->> 'volume'
from json_each(:bars)
where true
on conflict (symbol, timeframe, at) do update set
    open = excluded.open,
    high = excluded.high,
    low = excluded.low,
    close = excluded.close,
    volume = excluded.volume
where (open, high, low, close, volume) is not (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume);

-- name: bars
select at, close, open, high, low, volume
from bars
where symbol = :symbol and timeframe = :timeframe
order by at;

-- name: clear_features
delete from feature_values
where symbol = :symbol and timeframe = :timeframe and feature in (select value from json_each(:names));

-- name: insert_features
insert into feature_values (symbol, timeframe, feature, at, value)
select :symbol, :timeframe, f.key, v.value ->> 0, v.value ->> 1
from json_each(:features) as f
cross join json_each(f.value) as v;

-- name: features
select feature, at, value
from feature_values
where symbol = :symbol and timeframe = :timeframe and (:feature is null or feature = :feature)
order by feature, at;

-- name: sizes
select (select count(*) from bars), (select count(*) from feature_values);
