# pipeline/guance-account.p: a line is one JSON object.
# Functions: https://docs.guance.com/en/pipeline/use-pipeline/pipeline-built-in-function/
json(_, event)
json(_, level, status)
json(_, logger)
json(_, request_id)
json(_, trace_id)
json(_, span_id)
json(_, route)
json(_, method)
json(_, ms)
json(_, timestamp, time)
default_time(time, "+0")
