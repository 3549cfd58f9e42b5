-- The executions with a text, in the order of time: those that have a common text are found from their newest on. A search
-- for a rare one does not say this condition, and so cannot be planned as a walk along all of them.
create index executions_texts on executions (created_at) where octet_length(searched) > 0;
