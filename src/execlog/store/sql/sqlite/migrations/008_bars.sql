-- When the last bar began that a pair's features were computed from.
alter table pairs add column last_bar_at integer;
