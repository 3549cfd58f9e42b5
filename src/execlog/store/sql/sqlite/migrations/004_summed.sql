-- How far the statistics cells go: executions numbered up to `summed` are counted in them, those above are the tail, which
-- questions add up themselves and `store/sqlite/summing.py` counts in a few thousand at a time. One row.
create table summed (
    number integer not null
) strict;

insert into summed (number) select coalesce(max(number), 0) from executions;
